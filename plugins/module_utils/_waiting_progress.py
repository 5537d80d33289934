# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a wait still waits for, written down while it waits, for whoever looks. Private to the collection."""

from __future__ import annotations

import contextlib
import json
import os
import time
import typing as t

from ansible_collections.tria.production.plugins.module_utils import _redact

if t.TYPE_CHECKING:
    from ansible_collections.tria.production.plugins.module_utils._probes._base import Session
    from ansible_collections.tria.production.plugins.module_utils._waiting_watch import Watch

_EVERY = 1.0  # s; also before the first time: a short wait writes nothing
_MOST = 20  # names in the file
_LONGEST = 120  # characters of a reason


class Progress:
    """A new file with mode 0600 that says what is missing, replaced at most once a second, gone at the end.

    It holds JSON: `waited` and `timeout` (s), `pending` (list of `name` and `why`, which holds no secret) and `more`, the
    number of targets that did not fit. With an empty path nothing is written. A file that cannot be written must not
    harm the wait: then there is none.
    """

    def __init__(self, path: str, timeout: float, session: Session) -> None:
        self._path = path
        self._timeout = timeout
        self._session = session
        self._begun = time.monotonic()
        self._ours: list[str] = []
        self.due: t.Optional[float] = self._begun + _EVERY if path else None

    def note(self, watches: t.Iterable[Watch]) -> None:
        """Writes down which of them are not ready, unless it was done within the last second."""
        now = time.monotonic()
        if self.due is None or now < self.due:
            return
        missing = [watch for watch in watches if not watch.ready]
        told = {
            "waited": round(now - self._begun, 1),
            "timeout": self._timeout,
            "pending": [{"name": watch.target.name, "why": self._why(watch)} for watch in missing[:_MOST]],
            "more": len(missing[_MOST:]),
        }
        try:
            self._write(json.dumps(told))
            self.due = now + _EVERY
        except OSError:
            self.due = None

    def _why(self, watch: Watch) -> str:
        if watch.seen is None:
            return "no answer yet"
        if watch.seen.good:
            return "good, not yet for long enough"
        return _redact.printable(self._session.clean(watch.seen.message))[:_LONGEST]

    def _write(self, content: str) -> None:
        """Whole or not at all. What is there already is not touched: in a folder for all it could be a trap."""
        if not self._ours:
            os.close(self._create(self._path))
        beside = f"{self._path}.new"
        with os.fdopen(self._create(beside), "w", encoding="utf-8") as stream:
            stream.write(content)
        os.replace(beside, self._path)

    def _create(self, path: str) -> int:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        self._ours.append(path)
        return descriptor

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.due = None
        for path in set(self._ours):
            with contextlib.suppress(FileNotFoundError):  # renamed, as a rule
                os.unlink(path)
