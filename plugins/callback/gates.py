# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The live view: one line for each gate, check and change, instead of a banner for each task."""

from __future__ import annotations

DOCUMENTATION = r"""
name: gates
type: stdout
short_description: Live view of a deploy, gate by gate
version_added: 0.1.0
description:
  - Shows a line for every gate, for every check that a gate made, and for every change to a host. With C(-v) and more it is
    the default callback, task by task.
extends_documentation_fragment:
  - ansible.builtin.default_callback
  - ansible.builtin.result_format_callback
requirements:
  - set as stdout in configuration
"""

import time
import typing as t

from ansible.plugins.callback.default import CallbackModule as Default

MARKS = {"pass": "✓", "warn": "⚠", "fail": "❌", "error": "❌", "skip": "-"}
GATE = "Gate: "
# Modules that may take long: said when they begin, so that nobody wonders what is waited for.
SLOW = {
    "apt": "installing packages",
    "debian_image": "building a root file system",
    "docker_compose_v2": "starting services in the order of their dependencies",
    "docker_image_build": "building images",
    "pg_backup": "backing the database up",
    "readiness_wait": "waiting until everything is ready",
    "source_archive": "packing the project",
}


class CallbackModule(Default):
    """Ansible's default callback, made brief while nobody asks for more."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "tria.production.gates"

    def __init__(self) -> None:
        super().__init__()
        self._gate = ""
        self._gate_started = 0.0
        self._said: set[str] = set()
        self._hosts: set[str] = set()

    @property
    def _brief(self) -> bool:
        return self._display.verbosity == 0

    def _line(self, text: str, color: str | None = None) -> None:
        self._display.display(text, color=color)

    def v2_playbook_on_play_start(self, play: t.Any) -> None:
        if not self._brief:
            return super().v2_playbook_on_play_start(play)
        self._end_gate()
        self._line(f"\n🚀 {play.get_name()}\n" + "=" * 60)

    def v2_playbook_on_task_start(self, task: t.Any, is_conditional: bool) -> None:
        if not self._brief:
            return super().v2_playbook_on_task_start(task, is_conditional)
        name = task.get_name().rpartition(" : ")[2]
        if name.startswith(GATE):
            self._begin_gate(name[len(GATE) :])
        doing = SLOW.get(task.action.rpartition(".")[2])
        if doing and doing not in self._said:
            self._said.add(doing)
            self._line(f"  … {doing}", "bright gray")

    def v2_runner_on_start(self, host: t.Any, task: t.Any) -> None:
        self._hosts.add(host.get_name())
        super().v2_runner_on_start(host, task)

    def v2_playbook_on_handler_task_start(self, task: t.Any) -> None:
        if not self._brief:
            super().v2_playbook_on_handler_task_start(task)

    def v2_playbook_on_include(self, included_file: t.Any) -> None:
        if not self._brief:
            super().v2_playbook_on_include(included_file)

    def v2_runner_on_ok(self, result: t.Any) -> None:
        if not self._brief:
            return super().v2_runner_on_ok(result)
        task, answer = _task(result), _answer(result)
        self._handle_warnings(answer)
        if task.action.rpartition(".")[2] == "debug":
            message = answer.get("msg", "")
            return self._line("\n".join(message if isinstance(message, list) else [str(message)]))
        self._checks(result)
        if answer.get("changed"):
            self._line(f"  ~ {_host(result)}: {task.get_name().rpartition(' : ')[2]}", "yellow")

    def v2_runner_item_on_ok(self, result: t.Any) -> None:
        if not self._brief:
            super().v2_runner_item_on_ok(result)

    def v2_runner_on_skipped(self, result: t.Any) -> None:
        if not self._brief:
            super().v2_runner_on_skipped(result)

    def v2_runner_item_on_skipped(self, result: t.Any) -> None:
        if not self._brief:
            super().v2_runner_item_on_skipped(result)

    def v2_runner_on_failed(self, result: t.Any, ignore_errors: bool = False) -> None:
        if not self._brief:
            return super().v2_runner_on_failed(result, ignore_errors)
        self._checks(result)
        answer = _answer(result)
        text = answer.get("msg") or answer.get("stderr") or str(answer)
        self._line(f"❌ {_host(result)}: {_task(result).get_name().rpartition(' : ')[2]}\n{text}", "red")

    def v2_runner_on_unreachable(self, result: t.Any) -> None:
        self._line(f"❌ {_host(result)}: cannot be reached: {_answer(result).get('msg', '')}", "red")

    def _begin_gate(self, name: str) -> None:
        if name == self._gate:
            return  # another host of the same gate
        self._end_gate()
        self._gate, self._gate_started = name, time.monotonic()
        self._said.clear()
        self._line(f"\n🔧 {name}")

    def _end_gate(self) -> None:
        if self._gate:
            self._line(f"  {self._gate}: {time.monotonic() - self._gate_started:.1f} s", "bright gray")
        self._gate = ""

    def _checks(self, result: t.Any) -> None:
        """The results of a module that made checks; with several hosts each line names its own."""
        host = f" [{_host(result)}]" if len(self._hosts) > 1 else ""
        for check in _answer(result).get("results", []):
            if not isinstance(check, dict) or "category" not in check or "status" not in check:
                return  # the results of a loop
            took = f" ({check['duration_ms']:.0f}ms)" if check.get("duration_ms", 0) >= 1 else ""
            color = {"pass": None, "skip": "bright gray", "warn": "yellow"}.get(check["status"], "red")
            message = f"\n    {check['message']}" if check["status"] in ("warn", "fail", "error") else ""
            self._line(f"{MARKS[check['status']]} {check['category']}: {check['name']}{took}{host}{message}", color)


def _task(result: t.Any) -> t.Any:
    return getattr(result, "task", None) or result._task


def _answer(result: t.Any) -> dict[str, t.Any]:
    found = getattr(result, "result", None)
    return found if isinstance(found, dict) else result._result


def _host(result: t.Any) -> str:
    host = getattr(result, "host", None) or result._host
    return host.get_name()
