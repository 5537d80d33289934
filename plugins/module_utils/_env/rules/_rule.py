# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a rule is, and a finding. Private to the collection."""

from __future__ import annotations

import dataclasses
import typing as t

ERROR = "error"
WARNING = "warning"


@dataclasses.dataclass(frozen=True)
class Rule:
    """`id` and `name` are stable: waivers and readers of reports rely on them. `message` is a finding's default."""

    id: str
    name: str
    severity: str
    message: str
    remedy: str
    example: str


@dataclasses.dataclass(frozen=True)
class Finding:
    """One violation. `line` is 0 where there is none. No field ever holds a value or a part of one."""

    rule: Rule
    variable: str
    file: str
    line: int
    message: str
    remedy: str

    def as_dict(self) -> dict[str, t.Any]:
        return {
            "file": self.file,
            "line": self.line,
            "variable": self.variable,
            "rule": self.rule.id,
            "name": self.rule.name,
            "severity": self.rule.severity,
            "message": self.message,
            "remedy": self.remedy,
        }
