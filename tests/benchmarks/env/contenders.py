# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who validates an env file, each as a process of its own: `env_validate`, and what applications use."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import re
import sys
import typing as t

from benchmarks import peers
from benchmarks.env.work import Work
from benchmarks.memory import Watch
from benchmarks.process import Ended, Program

_ROOT = pathlib.Path(__file__).resolve().parents[3]
_HERE = pathlib.Path(__file__).resolve().parent
_MODULE = "ansible_collections.tria.production.plugins.modules.env_validate"
_TIMEOUT = 300.0  # s
_PYTHON = ("python-dotenv==1.2.4", "pydantic-settings==2.16.3")
# marks of errors, then of warnings
_WRONG_OF_VARLOCK = re.compile(
    "^[\N{CROSS MARK}\N{BLACK QUESTION MARK ORNAMENT}\N{OCTAGONAL SIGN}\N{FACE WITH MONOCLE}]", re.MULTILINE
)
_NODE = ("node@22.23.3", "dotenv@18.0.10", "envalid@8.2.0", "varlock@1.20.0")  # varlock needs Node.js 22
_OURS = {"PYTHONPATH": str(_ROOT / ".build")}


@dataclasses.dataclass(frozen=True)
class Sample:
    """One validation: seconds of the process, seconds inside it without its start, peak in MB, variables found wrong.

    `told` is what it says to people.
    """

    seconds: float
    inside: float
    mb: float
    wrong: int
    told: str


# How a contender is called for a piece of work, with its environment, and what it printed: seconds inside, wrong ones.
Call = t.Callable[[Work], t.Tuple[t.List[str], t.Dict[str, str]]]
Reading = t.Callable[[Ended], t.Tuple[float, int]]
Contender = t.Tuple[Call, Reading]


def measure(contender: Contender, work: Work) -> Sample:
    """Validates once; raises `RuntimeError` when that is no validation."""
    call, read = contender
    argv, environment = call(work)
    program = Program(argv, env=environment, cwd=work.folder, timeout=_TIMEOUT)
    watch = Watch(program.pid)
    ended = program.finish()
    watch.stop()
    inside, wrong = read(ended)
    return Sample(ended.seconds, inside, watch.own_bytes / 1e6, wrong, ended.stdout + ended.stderr)


def _told(ended: Ended) -> tuple[float, int]:
    """What our scripts print, of us and of libraries."""
    if ended.code:
        raise RuntimeError(f"no validation (status {ended.code}): {ended.stderr[-2000:]}")
    told = json.loads(ended.stdout)
    return told["seconds"], told["wrong"]


def _told_by_module(ended: Ended) -> tuple[float, int]:
    if ended.code:
        raise RuntimeError(f"no validation (status {ended.code}): {ended.stdout[-2000:]} {ended.stderr[-2000:]}")
    return ended.seconds, len({finding["variable"] for finding in json.loads(ended.stdout)["findings"]})


def _module(work: Work) -> tuple[list[str], dict[str, str]]:
    """As Ansible runs it on the host, without Ansible's own start."""
    options = {
        "files": [str(work.folder / ".env")],
        "schema": json.loads((work.folder / "schema.json").read_text(encoding="utf-8")),
        "fail_on": "never",
        "_ansible_remote_tmp": str(work.folder),
    }
    arguments = work.folder / "arguments.json"
    arguments.write_text(json.dumps({"ANSIBLE_MODULE_ARGS": options}), encoding="utf-8")
    return [sys.executable, "-m", _MODULE, str(arguments)], _OURS


OURS: dict[str, Contender] = {
    "engine": (lambda work: ([sys.executable, str(_HERE / "ours.py"), str(work.folder)], _OURS), _told),
    "module": (_module, _told_by_module),
}

TELL_THEIR_TIME = ("pydantic", "envalid")  # of peers; that of others is their whole process


def python() -> str:
    """An interpreter that has python-dotenv and pydantic-settings."""
    return peers.python(peers.FOLDER / "env-python", *_PYTHON)


def all_peers() -> dict[str, Contender]:
    """The peers by name; provides them where they are missing."""
    interpreter = python()
    modules = peers.node(peers.FOLDER / "env-node", *_NODE)
    node = str(modules / ".bin" / "node")
    varlock = [node, str(modules / "varlock" / "bin" / "cli.js"), "load"]
    return {
        "pydantic": (lambda work: ([interpreter, str(_HERE / "pydantic_peer.py"), str(work.folder)], {}), _told),
        "envalid": (
            lambda work: ([node, str(_HERE / "envalid_peer.mjs"), str(work.folder), str(modules)], {}),
            _told,
        ),
        "varlock": (lambda work: (varlock, {"NO_COLOR": "1"}), _told_by_varlock),
    }


def _told_by_varlock(ended: Ended) -> tuple[float, int]:
    """It marks each wrong variable in what it writes for people; its whole process is what there is to measure."""
    wrong = len(_WRONG_OF_VARLOCK.findall(ended.stderr))
    if ended.code and not wrong:
        wrong = 1  # the file as a whole
    return ended.seconds, wrong
