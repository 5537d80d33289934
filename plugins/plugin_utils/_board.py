# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Notes from the tasks of a run to the callback that shows it. Private to the collection.

Tasks run in forks of `ansible-playbook`; what all of them share is its temporary folder (0700), which Ansible makes for
each run and removes at its end. The callback puts the board up there; without a board nobody looks, and nobody writes.
"""

from __future__ import annotations

import hashlib
import json
import os
import typing as t

from ansible import constants as C


class Board:
    """The folder of notes. `every` is how often (s) a note is looked at."""

    def __init__(self, folder: str, every: float) -> None:
        self._folder = folder
        self.every = every

    @classmethod
    def put_up(cls, every: float) -> Board:
        folder = _folder()
        os.makedirs(folder, mode=0o700, exist_ok=True)
        board = cls(folder, every)
        board.write("board", {"every": every})
        return board

    @classmethod
    def found(cls) -> Board | None:
        """The board of this run; None when nobody has put one up."""
        said = cls(_folder(), 0.0).read("board")
        return cls(_folder(), said["every"]) if said else None

    def write(self, name: str, note: dict[str, t.Any]) -> None:
        """A reader finds the old note or the new one."""
        path = os.path.join(self._folder, name)
        beside = f"{path}.new"
        with open(beside, "w", encoding="utf-8") as stream:
            json.dump(note, stream)
        os.replace(beside, path)

    def read(self, name: str) -> dict[str, t.Any]:
        """The note, {} when there is none."""
        try:
            with open(os.path.join(self._folder, name), encoding="utf-8") as stream:
                return json.load(stream)
        except FileNotFoundError:
            return {}


def note_name(task: str, host: str) -> str:
    """What the note of a task (its UUID) on a host is called; host names may hold anything."""
    return hashlib.sha256(f"{task} {host}".encode()).hexdigest()


def _folder() -> str:
    return os.path.join(C.DEFAULT_LOCAL_TMP, "tria-view")
