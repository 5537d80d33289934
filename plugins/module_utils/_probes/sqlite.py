# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Kind `sqlite`: a database file with its tables, rows, migration head. Private to the collection.

Nothing is written, not even beside the file: what this account leaves there, that of the application may be unable to
open. SQLite would make the two files of a write-ahead log (`-wal`, `-shm`) also for readers.
"""

from __future__ import annotations

import os
import pathlib
import stat
import threading
import typing as t

from ansible_collections.tria.production.plugins.module_utils._probes import _base, _schema

DOCUMENTATION = (
    r"""
sqlite:
  description:
    - An SQLite database on the host, opened read-only. Nothing is created, neither the file nor others beside it.
    - One that an application has open, with a write-ahead log too, is read as it is at that moment.
  type: dict
  suboptions:
    path:
      description: The database file.
      type: path
      required: true
    integrity:
      description: Also runs C(PRAGMA quick_check), which reads the whole file.
      type: bool
      default: false
"""
    + _schema.DOCUMENTATION
)
CATEGORY = "Database"
LIBRARIES = ()
SPEC: dict[str, t.Any] = {
    "options": {
        "path": {"type": "path", "required": True},
        "integrity": {"type": "bool", "default": False},
        **_schema.OPTIONS,
    },
}

_MAGIC = b"SQLite format 3\0"
_WAL = b"\x02\x02"  # behind the magic and the size of a page: the version of the format, to write and to read
_BUSY_SECONDS = 0.5  # that another one's commit may take; SQLite does not notice in this time that it was cancelled
_CHECK_EVERY = 10000  # instructions of SQLite's machine, less than a millisecond
_MOST_FAULTS = 5  # of quick_check
_DAMAGED = "Stop the application and restore the file from a backup."
_REMEDIES = {  # what SQLite says -> remedy
    "locked": "See who keeps it locked (fuser), or try again.",
    "malformed": _DAMAGED,
    "readonly database": "Its writer ended amid a change. Let the application open it once, which takes that back.",
    "unable to open": "Let this account read the file, and the folder that it is in.",
}
# By path. Locks on files belong to the process: the end of one look at a file would undo those of another one.
_TURNS: dict[pathlib.Path, threading.Lock] = {}


def probe(options: dict[str, t.Any], attempt: _base.Attempt) -> _base.Outcome:
    """Looks into the file and makes every check that is asked for; all shortfalls are reported at once."""
    path = pathlib.Path(os.path.realpath(options["path"]))
    turn = _TURNS.setdefault(path, threading.Lock())
    if not turn.acquire(timeout=attempt.budget.remaining()):
        raise TimeoutError(f"another target kept {path} busy for {attempt.budget.seconds:.3g} s")
    try:
        return _look(path, options, attempt.budget)
    finally:
        turn.release()


def _look(path: pathlib.Path, options: dict[str, t.Any], budget: _base.Budget) -> _base.Outcome:
    data: dict[str, t.Any] = {"path": str(path)}
    at_rest = _verify(path)
    database = _Database(path, at_rest, budget)
    try:
        if options["integrity"]:  # first: what a damaged file says of its tables is worth nothing
            _check_integrity(database, data)
        data["table_count"] = database.query("SELECT count(*) FROM sqlite_master WHERE type = 'table'")[0][0]
        problems = _schema.shortfalls(database, options, data)
    finally:
        database.close()
        if at_rest and _beside(path, "-shm").exists():
            raise _base.ProbeFailure(f"{path} was opened while it was read", "Look again.", "query", retry_in=0.1)
    if problems:
        raise _schema.failure(problems, data)
    return _base.Outcome(f"{path} answers", data)


class _Database:
    """A connection that can only read; translates errors to `ProbeFailure`."""

    def __init__(self, path: pathlib.Path, at_rest: bool, budget: _base.Budget) -> None:
        import sqlite3  # which not every Python has, and which no other kind should pay for

        self._sqlite3 = sqlite3
        self._path = path
        self._budget = budget
        # readonly_shm: no file beside it is made; immutable: none is asked for, nor any lock taken
        address = f"{path.as_uri()}?mode=ro&{'immutable' if at_rest else 'readonly_shm'}=1"
        try:
            self._connection = sqlite3.connect(address, timeout=min(_BUSY_SECONDS, budget.remaining()), uri=True)
        except sqlite3.Error as exc:
            raise self._failure(exc) from exc
        self._connection.set_progress_handler(self._is_over, _CHECK_EVERY)

    def query(self, statement: str, arguments: tuple[t.Any, ...] = ()) -> list[tuple[t.Any, ...]]:
        try:
            return self._connection.execute(statement, arguments).fetchall()
        except self._sqlite3.Error as exc:
            self._budget.remaining()  # says so where it was that
            raise self._failure(exc) from exc

    def exists(self, table: str) -> bool:
        wanted = "SELECT 1 FROM sqlite_master WHERE type IN ('table', 'view') AND name = ? COLLATE NOCASE"
        return bool(self.query(wanted, (table,)))

    def count(self, table: str, most: int) -> int:
        return self.query(f"SELECT count(*) FROM (SELECT 1 FROM {_quoted(table)} LIMIT ?)", (most,))[0][0]

    def column(self, table: str, name: str) -> list[t.Any]:
        # with its table, as SQLite takes a quoted name that no column has for a text
        return [row[0] for row in self.query(f"SELECT {_quoted(table)}.{_quoted(name)} FROM {_quoted(table)}")]

    def definition(self) -> list[tuple[t.Any, ...]]:
        return self.query("SELECT type, name, tbl_name, sql FROM sqlite_master")

    def close(self) -> None:
        self._connection.close()

    def _is_over(self) -> bool:
        try:
            self._budget.remaining()
        except (TimeoutError, _base.Cancelled):
            return True
        return False

    def _failure(self, exc: Exception) -> _base.ProbeFailure:
        remedies = [remedy for sign, remedy in _REMEDIES.items() if sign in str(exc)]
        return _base.ProbeFailure(f"{self._path}: {exc}", (remedies or ["See what SQLite means by that."])[0], "query")


def _verify(path: pathlib.Path) -> bool:
    """Whether the database has a write-ahead log that nobody uses; raises `ProbeFailure` for what is no database."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise _base.ProbeFailure(f"{path} is not a file", "Correct path.", "file", permanent=True)
        with path.open("rb") as file:
            head = file.read(len(_MAGIC) + 4)
        log = _beside(path, "-wal")
        unread = log.exists() and log.stat().st_size > 0
    except (FileNotFoundError, NotADirectoryError) as exc:
        remedy = "Let the application create it, or correct path."
        raise _base.ProbeFailure(f"{path} does not exist", remedy, "file", gone=True) from exc
    except OSError as exc:
        cause = f"cannot read {path}: {exc.strerror}"
        raise _base.ProbeFailure(cause, "Let this account read it.", "file", permanent=True) from exc
    if not head:
        raise _base.ProbeFailure(f"{path} is empty", "Let the application create its tables.", "file")
    if not head.startswith(_MAGIC):
        cause = f"{path} is not an SQLite database, or is encrypted"
        raise _base.ProbeFailure(cause, "Correct path.", "file", permanent=True)
    at_rest = head.endswith(_WAL) and not _beside(path, "-shm").exists()
    if at_rest and unread:
        cause = f"{path} has a write-ahead log (-wal) that its application has not taken in"
        raise _base.ProbeFailure(cause, "Let the application open it once.", "file")
    return at_rest


def _check_integrity(database: _Database, data: dict[str, t.Any]) -> None:
    found = [str(row[0]) for row in database.query(f"PRAGMA quick_check({_MOST_FAULTS})")]
    if found != ["ok"]:
        raise _base.ProbeFailure(f"it is damaged: {'; '.join(found)}", _DAMAGED, "integrity", data=data)
    data["integrity"] = "ok"


def _beside(path: pathlib.Path, ending: str) -> pathlib.Path:
    return path.with_name(path.name + ending)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
