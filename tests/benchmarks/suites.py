# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which suites of `make bench` and `make faults` run."""

from __future__ import annotations

import typing as t

Suite = t.TypeVar("Suite")


def chosen(suites: dict[str, Suite], only: str) -> list[Suite]:
    """The suite called `only`, or all; ends the program when there is no such suite."""
    if only and only not in suites:
        raise SystemExit(f"ONLY={only}: there is no such suite. There is: {', '.join(suites)}.")
    return [suites[only]] if only else list(suites.values())
