# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""When a line of a crontab is due, as cron reads it. Private to the collection."""

from __future__ import annotations

import datetime
import re

_FIELDS = (("minute", 0, 59), ("hour", 0, 23), ("day of the month", 1, 31), ("month", 1, 12), ("day of the week", 0, 7))
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_BY_NAME = {3: {name: number for number, name in enumerate(_MONTHS, 1)}, 4: {name: i for i, name in enumerate(_DAYS)}}
_SHORT = {
    "@hourly": "0 * * * *", "@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *", "@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *",
}
_PART = re.compile(r"(?:(?P<all>\*)|(?P<first>\w+)(?:-(?P<last>\w+))?)(?:/(?P<step>\d+))?")
_FARTHEST_DAYS = 8 * 366 + 1  # a 29th of February may be eight years away


class Cron:
    """The five fields of a line, or one of `@hourly` to `@yearly`; raises `ValueError` with what is wrong."""

    def __init__(self, expression: str) -> None:
        fields = _SHORT.get(expression.strip(), expression).split()
        if len(fields) != len(_FIELDS):
            raise ValueError(f"it has {len(fields)} fields instead of minute, hour, day, month and day of the week")
        values = [_values(text, number) for number, text in enumerate(fields)]
        self._minutes, self._hours, self._days, self._months, weekdays = values
        self._weekdays = {each % 7 for each in weekdays}
        self._either = not fields[2].startswith("*") and not fields[4].startswith("*")
        if self.next(datetime.datetime(2000, 1, 1)) is None:
            raise ValueError("there is no such day")

    def next(self, after: datetime.datetime) -> datetime.datetime | None:
        """The first time after that one, both as the clock on the wall shows it; None when there is none."""
        for days in range(_FARTHEST_DAYS):
            day = after.date() + datetime.timedelta(days=days)
            if self._on(day):
                for hour in sorted(self._hours):
                    for minute in sorted(self._minutes):
                        moment = datetime.datetime.combine(day, datetime.time(hour, minute))
                        if moment > after:
                            return moment
        return None

    def _on(self, day: datetime.date) -> bool:
        """Restricted both by the day of the month and by that of the week, a line is due on either."""
        fits = (day.day in self._days, day.isoweekday() % 7 in self._weekdays)
        return day.month in self._months and (any(fits) if self._either else all(fits))


def _values(text: str, number: int) -> set[int]:
    """The numbers that one field means."""
    title, lowest, highest = _FIELDS[number]
    found: set[int] = set()
    for part in text.split(","):
        match = _PART.fullmatch(part)
        if not match:
            raise ValueError(f"{part!r} is no {title}")
        step = int(match["step"] or 1)
        first = lowest if match["all"] else _number(match["first"], number)
        last = _number(match["last"], number) if match["last"] else highest if match["all"] or match["step"] else first
        if not lowest <= first <= last <= highest or step < 1:
            raise ValueError(f"{part!r} is no {title} ({lowest} to {highest})")
        found.update(range(first, last + 1, step))
    return found


def _number(text: str, number: int) -> int:
    if text.isdigit():
        return int(text)
    try:
        return _BY_NAME.get(number, {})[text.lower()]
    except KeyError:
        raise ValueError(f"{text!r} is no {_FIELDS[number][0]}") from None
