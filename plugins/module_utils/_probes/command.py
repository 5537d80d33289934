# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Kind `command`: a program ends as expected, on the host or in a container. Private to the collection."""

from __future__ import annotations

import json
import signal
import typing as t

from ansible_collections.tria.production.plugins.module_utils import _docker, _redact
from ansible_collections.tria.production.plugins.module_utils._probes import (
    _base,
    _compose,
    _expect,
    _process,
    container,
)

DOCUMENTATION = r"""
command:
  description:
    - A program, run without a shell on the host of the task or in a container, that ends in time and as expected.
    - On the host, it and whatever it started in its process group are killed when the attempt ends.
    - In a container, it is killed when its time is up and the Docker Engine is that of this host. The Engine itself
      cannot end it; on another host it goes on.
    - In check mode it is not run, unless it is O(targets[].command.read_only); the result is C(skip).
  type: dict
  suboptions:
    argv:
      description: The program and its arguments. Secrets belong into O(targets[].command.stdin) or the environment.
      type: list
      elements: str
      required: true
    chdir:
      description: Directory to run it in.
      type: path
    environment:
      description:
        - Environment variables to add. Values of those whose name says that they are secret are masked in messages. Put
          them into O(secrets) too, which masks them in Ansible's own record of the options.
      type: dict
      default: {}
    stdin:
      description: What it reads from its standard input. By default there is nothing to read.
      type: str
    rc:
      description: Exit codes that are good.
      type: list
      elements: int
      default: [0]
    contains:
      description: Text that its standard output must contain.
      type: str
    json:
      description:
        - What the JSON document on its standard output must contain. Keys may be dotted paths; list items are numbers.
      type: dict
    read_only:
      description: Whether it changes nothing, and so is run in check mode too.
      type: bool
      default: false
    user:
      description: User to run it as in the container, by default the container's own.
      type: str
    project:
      description: Compose project, or name of the Swarm stack. With C(service), runs it in a container of that service.
      type: str
    service:
      description: The service as the Compose or stack file names it, see C(project).
      type: str
"""
CATEGORY = "Command"
LIBRARIES = ()
SPEC: dict[str, t.Any] = {
    "options": {
        "argv": {"type": "list", "elements": "str", "required": True},
        "chdir": {"type": "path"},
        "environment": {"type": "dict", "default": {}},
        "stdin": {"type": "str"},
        "rc": {"type": "list", "elements": "int", "default": [0]},
        "contains": {"type": "str"},
        "json": {"type": "dict"},
        "read_only": {"type": "bool", "default": False},
        "user": {"type": "str"},
        **_base.COMPOSE_OPTIONS,
    },
    "required_together": _base.COMPOSE_TOGETHER,
    "required_by": {"user": ["service"]},
}

_LINES, _CHARACTERS = 20, 2000  # of each stream that a result shows
_NOT_RUNNABLE = "Install the program, or correct argv, chdir and user."
_NOT_BEGUN, _ENGINE_SAYS = (126, 127), ("OCI runtime exec failed", "unable to find user")


def probe(options: dict[str, t.Any], attempt: _base.Attempt) -> _base.Outcome:
    """Runs the program and holds its exit code and output against every expectation at once."""
    if attempt.session.check_mode and not options["read_only"]:
        return _base.Outcome("the program is not run in check mode", skipped=True)
    if not options["argv"]:
        raise _base.ProbeFailure("argv is empty", "Name a program.", "start", permanent=True)
    output, program = _process.Output(), options["argv"][0]
    data: dict[str, t.Any] = {}
    try:
        if options["service"]:
            _run_in_container(options, attempt, output, data)
        else:
            _run(options, attempt, output)
    except _process.Late as exc:
        data.update(_shown(output, attempt.session))
        told = f"{program} did not end within {attempt.budget.seconds:.3g} s{_last_words(data)}{exc.aftermath}"
        raise _base.ProbeFailure(told, "Does it hang? Raise timeout if it is only slow.", "answer", data=data) from exc
    data.update(_shown(output, attempt.session))
    problems = _violations(options, output)
    if problems:
        told = f"{program}: {'; '.join(problems)}{_last_words(data)}"
        if options["service"] and output.rc in _NOT_BEGUN and output.stdout.text().startswith(_ENGINE_SAYS):
            raise _base.ProbeFailure(told, _NOT_RUNNABLE, "start", permanent=True, data=data)
        raise _base.ProbeFailure(told, "Read its output (stdout_tail, stderr_tail).", "exit", data=data)
    return _base.Outcome(f"{program} ended with exit code {output.rc}", data)


def _run(options: dict[str, t.Any], attempt: _base.Attempt, output: _process.Output) -> None:
    argv, environment = options["argv"], {name: str(value) for name, value in options["environment"].items()}
    try:
        _process.run(argv, output, attempt, options["chdir"], environment, (options["stdin"] or "").encode())
    except (FileNotFoundError, PermissionError, NotADirectoryError) as exc:
        told = f"{argv[0]} cannot be run: {exc.filename}: {exc.strerror}"
        raise _base.ProbeFailure(told, _NOT_RUNNABLE, "start", permanent=True) from exc
    except (OSError, ValueError) as exc:  # a wrong format, a null byte; or the host has no process to spare
        raise _base.ProbeFailure(f"{argv[0]} cannot be run: {exc}", _NOT_RUNNABLE, "start") from exc


def _run_in_container(
    options: dict[str, t.Any], attempt: _base.Attempt, output: _process.Output, data: dict[str, t.Any]
) -> None:
    service = options["project"], options["service"]
    with attempt.session.docker(attempt.budget.remaining()) as client:
        running = [one for one in _docker.service_containers(client, *service) if one["State"]["Running"]]
    if not running:
        container.locate(attempt.session, *service, attempt.memory, attempt.budget.remaining())  # says what is wrong
        raise _base.ProbeFailure(f"service {service[1]} has no running container", "Look again.", "container")
    data["container"] = _compose.name_of(running[0])
    late = None
    with attempt.session.docker(attempt.budget.remaining()) as client:
        try:
            _process.run_in_container(
                client, running[0], output, attempt, (options["stdin"] or "").encode(),
                cmd=options["argv"], workdir=options["chdir"], user=options["user"] or "",
                environment={name: str(value) for name, value in options["environment"].items()},
            )
        except _process.Late as exc:
            late = exc  # the Engine is not to blame
    if late is not None:
        raise late


def _violations(options: dict[str, t.Any], output: _process.Output) -> list[str]:
    problems, rc = [], output.rc
    if rc not in options["rc"]:
        ending = f"killed by {_signal(-rc)}" if rc is not None and rc < 0 else f"exit code {rc}"
        problems.append(f"{ending} instead of {' or '.join(str(code) for code in options['rc'])}")
    text = output.stdout.text()
    part = f" (of which only the last {_process.KEPT} bytes are kept)" if output.stdout.cut else ""
    if options["contains"] is not None and options["contains"] not in text:
        problems.append(f"the output{part} does not contain {options['contains']!r}")
    if options["json"] is not None:
        try:
            problems += _expect.differences(options["json"], json.loads(text))
        except ValueError:
            problems.append(f"the output{part} is not JSON")
    return problems


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _shown(output: _process.Output, session: _base.Session) -> dict[str, t.Any]:
    return {
        "rc": output.rc,
        "stdout_tail": _tail(output.stdout, session),
        "stderr_tail": _tail(output.stderr, session),
    }


def _tail(stream: _process.Tail, session: _base.Session) -> list[str]:
    """The last lines. Secrets go before anything is cut off: the rest of one at the edge would not be known as one."""
    text = _redact.printable(session.clean(stream.text()))
    if len(text) > _CHARACTERS:
        text = text[-_CHARACTERS:].partition("\n")[2] or text[-_CHARACTERS:]
    return text.splitlines()[-_LINES:]


def _last_words(data: dict[str, t.Any]) -> str:
    said = [line.strip() for line in [*data["stdout_tail"], *data["stderr_tail"]] if line.strip()]
    return f": {said[-1][:300]}" if said else ""
