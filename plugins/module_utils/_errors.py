# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The one error: it names the culprit, the cause and the remedy. Private to the collection."""

from __future__ import annotations

import typing as t


class ProductionError(Exception):
    """What an engine raises when it cannot go on; modules turn it into `fail_json`.

    `culprit` is what is at fault (a variable, a service, a path), `cause` what was observed, `remedy` what to do.
    `details` are further return values of the module.
    """

    def __init__(self, culprit: str, cause: str, remedy: str = "", **details: t.Any) -> None:
        super().__init__(f"{culprit}: {cause}" + (f" Remedy: {remedy}" if remedy else ""))
        self.culprit = culprit
        self.cause = cause
        self.remedy = remedy
        self.details = details

    @classmethod
    def from_os(cls, exc: OSError, remedy: str) -> ProductionError:
        """What the operating system refused (a full disk, a permission), with the path it refused it for."""
        return cls(str(exc.filename or type(exc).__name__), f"{exc.strerror or exc}.", remedy)

    def as_result(self) -> dict[str, t.Any]:
        """Keyword arguments for `AnsibleModule.fail_json`."""
        return {**self.details, "msg": str(self), "culprit": self.culprit, "cause": self.cause, "remedy": self.remedy}
