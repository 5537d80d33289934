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
  - Shows a line for every gate, for every check that was made, and for every change to a host. Checks that failed have
    their message and remedy below, and what was not checked says why.
  - A task that takes long says what it does and on what. After O(progress) seconds of silence there is another line with
    the time it has taken, and M(tria.production.readiness_wait) says what is still missing and why.
  - A failure that the playbook handles itself is shown once and says so. What the run failed of is the last that is
    shown. The time of each gate comes at the end.
  - With C(-v) and more it is the default callback, task by task.
  - Lines name their host as soon as a play has more than one. Control characters in the text of hosts are left out.
  - Colours are Ansible's own, and there are none without a terminal, with E(NO_COLOR) or with C(TERM=dumb). Nothing that
    was shown is ever overwritten. When the output's encoding has no C(✓), marks are C(ok), C(warn), C(FAIL) and C(skip).
extends_documentation_fragment:
  - ansible.builtin.default_callback
  - ansible.builtin.result_format_callback
requirements:
  - set as stdout in configuration
options:
  view:
    description:
      - V(normal) shows everything.
      - V(quiet) shows failures, warnings, changes and what the playbook itself says, above all its verdict.
    type: str
    choices: [normal, quiet]
    default: normal
    env:
      - name: TRIA_VIEW
    ini:
      - section: callback_gates
        key: view
  progress:
    description:
      - Seconds of silence after which a task that still runs is mentioned again, 0 for never.
      - By default 10 on a terminal. Elsewhere it is 30, and the line starts with the time of day.
    type: float
    env:
      - name: TRIA_VIEW_PROGRESS
    ini:
      - section: callback_gates
        key: progress
"""

import contextlib
import functools
import sys
import time
import typing as t

from ansible.plugins.callback.default import CallbackModule as Default

from ansible_collections.tria.production.plugins.plugin_utils import _blocks, _lines
from ansible_collections.tria.production.plugins.plugin_utils._doing import DOING, Doing, doing, module_of, some
from ansible_collections.tria.production.plugins.plugin_utils._lines import Line, block, one_line, plain, seconds
from ansible_collections.tria.production.plugins.plugin_utils._live import Live

GATE = "Gate: "
_TERMINAL = 10.0  # s of silence
_ELSEWHERE = 30.0
_HOSTS = 8  # named with a play
_SCREEN = 20  # lines
Method = t.TypeVar("Method", bound=t.Callable[..., None])


def brief(method: Method) -> Method:
    """`method` as long as nobody asks for more than the live view, with `-v` what the default callback does.

    No word on progress gets between the lines of one event.
    """
    default = getattr(Default, method.__name__)

    @functools.wraps(method)
    def chosen(self: CallbackModule, *args: t.Any, **kwargs: t.Any) -> None:
        if self._display.verbosity:
            default(self, *args, **kwargs)
            return
        with self._live.lock:
            method(self, *args, **kwargs)

    return t.cast(Method, chosen)


class CallbackModule(Default):
    """Ansible's default callback, made brief while nobody asks for more."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "tria.production.gates"

    def __init__(self) -> None:
        super().__init__()
        self._words = _lines.Words(getattr(sys.stdout, "encoding", None) or "ascii")
        self._live = Live(self._write, 0, False)
        self._quiet = False
        self._play: t.Any = None
        self._several = False
        self._begun = time.monotonic()
        self._gate = ""
        self._gate_started = 0.0
        self._gate_seconds: dict[str, float] = {}
        self._failures: list[Line] = []  # what the run fails of
        self._shown = 0  # lines
        self._first_failure = 0  # lines shown before the first of them
        self._last_failure = 0  # and after the last

    # --- the run ------------------------------------------------------------------------------------------------------

    @brief
    def v2_playbook_on_start(self, playbook: t.Any) -> None:
        self._quiet = self.get_option("view") == "quiet"
        terminal = sys.stdout.isatty()
        every = self.get_option("progress")
        every = (_TERMINAL if terminal else _ELSEWHERE) if every is None else every
        self._live = Live(self._write, 0 if self._quiet else max(every, 0), stamped=not terminal)
        self._live.start()

    @brief
    def v2_playbook_on_play_start(self, play: t.Any) -> None:
        self._end_gate()
        self._play = play
        variables = play.get_variable_manager().get_vars(play=play)
        self._several = self._several or len(variables["ansible_play_hosts_all"]) > 1
        batch = variables["ansible_play_batch"]
        part = f": {some(batch, _HOSTS)}" if len(batch) < len(variables["ansible_play_hosts_all"]) else ""
        self._detail(f"\n🚀 {one_line(play.get_name())}{part}\n" + "=" * 60)

    @brief
    def v2_playbook_on_stats(self, stats: t.Any) -> None:
        self._live.stop()
        in_sight = self._shown == self._last_failure and self._shown - self._first_failure <= _SCREEN
        self._end_gate()
        if not self._quiet:
            gates = [f"{name} {took:.1f} s" for name, took in self._gate_seconds.items()]
            whole = seconds(time.monotonic() - self._begun)
            self._detail("\nTime: " + (f"{' · '.join(gates)} · " if gates else "") + f"{whole} in all")
            Default.v2_playbook_on_stats(self, stats)
        if not in_sight:
            self._write(self._failures)

    # --- tasks --------------------------------------------------------------------------------------------------------

    @brief
    def v2_playbook_on_task_start(self, task: t.Any, is_conditional: bool) -> None:
        name = _name(task)
        if name.startswith(GATE):
            self._begin_gate(name[len(GATE) :])

    @brief
    def v2_runner_on_start(self, host: t.Any, task: t.Any) -> None:
        what = Doing() if self._quiet else doing(task, host, self._play)
        self._live.begin(host.get_name(), task, _name(task), what, self._several)

    @brief
    def v2_runner_retry(self, result: t.Any) -> None:
        answer = _answer(result)
        self._live.retry(_host(result), f"attempt {answer['attempts'] + 1} of {answer['retries']}")

    @brief
    def v2_runner_on_ok(self, result: t.Any) -> None:
        step, task, answer = self._live.end(_host(result)), _task(result), _answer(result)
        self._warnings(result)
        if _looped(task):
            told = module_of(task) == "debug" or (step and step.doing.looped and step.done)
        else:
            self._checks(result)
            told = module_of(task) == "debug"
            if told:
                self._say(result)
        if answer.get("changed") and not told:
            self._write([(f"  ~ {_host(result)}: {_name(task)}", "yellow")])

    @brief
    def v2_runner_item_on_ok(self, result: t.Any) -> None:
        task, answer = _task(result), _answer(result)
        self._warnings(result)
        self._checks(result)
        took = self._live.item(_host(result))
        if module_of(task) == "debug":
            self._say(result)
        elif answer.get("changed") and module_of(task) in DOING:
            label = one_line(self._get_item_label(answer))
            self._write([(f"  ~ {_host(result)}: {_name(task)}: {label} ({seconds(took)})", "yellow")])

    @brief
    def v2_runner_on_skipped(self, result: t.Any) -> None:
        self._live.end(_host(result))

    @brief
    def v2_runner_item_on_skipped(self, result: t.Any) -> None:
        self._live.item(_host(result))

    @brief
    def v2_runner_on_failed(self, result: t.Any, ignore_errors: bool = False) -> None:
        self._live.end(_host(result))
        self._warnings(result)
        if not _looped(_task(result)):
            self._checks(result)
        self._failed(result, _why(result), ignore_errors)

    @brief
    def v2_runner_item_on_failed(self, result: t.Any) -> None:
        self._live.item(_host(result))
        self._warnings(result)
        self._checks(result)
        label = one_line(self._get_item_label(_answer(result)))
        text = block(f"{label}: {_why(result)}", "    ")
        self._write([("\n".join([f"❌ {_host(result)}: {_name(_task(result))}", *text]), "red")])

    @brief
    def v2_runner_on_unreachable(self, result: t.Any) -> None:
        self._live.end(_host(result))
        text = f"cannot be reached: {plain(_answer(result).get('msg', '')).strip()}"
        if _task(result).ignore_unreachable:
            self._write([(f"⚠ {_host(result)}: {text}", "yellow")])
            return
        remedy = "Remedy: see that it runs, and that address, user and key in the inventory are right."
        self._final(f"❌ {_host(result)}: {text}\n{remedy}")

    # --- what the default callback would show, and nobody asked for -----------------------------------------------------

    @brief
    def v2_playbook_on_handler_task_start(self, task: t.Any) -> None:
        """Its result tells."""

    @brief
    def v2_playbook_on_include(self, included_file: t.Any) -> None:
        """What is included tells."""

    @brief
    def v2_playbook_on_no_hosts_remaining(self) -> None:
        """Why none is left was said."""

    @brief
    def v2_runner_on_async_poll(self, result: t.Any) -> None:
        """That it still runs is said now and then."""

    @brief
    def v2_runner_on_async_ok(self, result: t.Any) -> None:
        """Its result tells."""

    @brief
    def v2_runner_on_async_failed(self, result: t.Any) -> None:
        """Its result tells."""

    def _print_task_banner(self, task: t.Any) -> None:
        """Not even before a diff."""
        if self._display.verbosity:
            super()._print_task_banner(task)

    def _get_diff(self, difflist: t.Any) -> str:
        return super()._get_diff(_without_controls(difflist))

    # --- lines --------------------------------------------------------------------------------------------------------

    def _write(self, lines: list[Line]) -> None:
        """Shows them now, not when a buffer is full. When nobody reads any more, the run goes on all the same."""
        with self._live.lock, contextlib.suppress(BrokenPipeError):
            for text, color in lines:
                self._display.display(self._words.fit(text), color=color)
                self._shown += text.count("\n") + 1
            if lines:
                sys.stdout.flush()
                self._live.spoke()

    def _detail(self, text: str, color: str | None = None) -> None:
        if not self._quiet:
            self._write([(text, color)])

    def _begin_gate(self, name: str) -> None:
        if name == self._gate:
            return  # another host of the same gate
        self._end_gate()
        self._gate, self._gate_started = name, time.monotonic()
        self._detail(f"\n🔧 {one_line(name)}")

    def _end_gate(self) -> None:
        if self._gate:
            took = time.monotonic() - self._gate_started
            self._gate_seconds[self._gate] = self._gate_seconds.get(self._gate, 0.0) + took
            self._detail(f"  {one_line(self._gate)}: {took:.1f} s", _lines.QUIET)
        self._gate = ""

    def _checks(self, result: t.Any) -> None:
        """The results of a module that made checks; those of a loop are no such results."""
        found = _answer(result).get("results")
        if "censored" in _answer(result):
            return  # Ansible takes the checks for a loop's results and leaves them in
        if isinstance(found, list) and found and all(_lines.is_check(one) for one in found):
            host = _host(result) if self._several else ""
            if self._quiet:
                self._write(self._words.checks(_lines.worth_saying(found), self._gate, host, headings=False))
            else:
                self._write(self._words.checks(found, self._gate, host))

    def _say(self, result: t.Any) -> None:
        """A message. Who wants to hear little hears those of the playbook, not those of its roles."""
        task, answer = _task(result), _answer(result)
        if self._quiet and task._role and not answer.get("changed"):
            return
        message = answer.get("msg")
        if message is None:
            own = ("changed", "failed")
            told = {name: value for name, value in answer.items() if name not in own and not name.startswith("_ansible_")}
            message = [f"{name}: {value}" for name, value in told.items()]
        lines = "\n".join(plain(entry) for entry in (message if isinstance(message, list) else [message])).split("\n")
        if self._several and not task.run_once:
            lines = [f"{_host(result)}: {lines[0]}"] if len(lines) == 1 else [f"{_host(result)}:", *lines]
        self._write([("\n".join(lines), None)])

    def _warnings(self, result: t.Any) -> None:
        answer = _answer(result)
        for warning in answer.pop("warnings", None) or []:
            self._write([(f"⚠ {_host(result)}: {one_line(warning)}", "yellow")])
        self._handle_warnings(answer)  # what is deprecated

    def _failed(self, result: t.Any, text: str, ignored: bool) -> None:
        head = f"{_host(result)}: {_name(_task(result))}"
        if ignored:
            self._write([("\n".join([f"⚠ {head}: failed, and goes on all the same", *block(text, "    ")]), "yellow")])
        elif _blocks.rescued(_task(result)):
            self._write([("\n".join([f"❌ {head}", *block(text, "    ")]), "red")])
            self._write([("  … goes on: the playbook has an answer to this failure", _lines.QUIET)])
        else:
            self._final(f"❌ {head}\n{text}")

    def _final(self, text: str) -> None:
        """What the run fails of; it is shown again at the end unless it is the end."""
        self._first_failure = self._first_failure if self._failures else self._shown
        self._failures.append((text, "red"))
        self._write(self._failures[-1:])
        self._last_failure = self._shown


def _without_controls(value: t.Any) -> t.Any:
    if isinstance(value, dict):
        return {key: _without_controls(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_without_controls(one) for one in value]
    return plain(value) if isinstance(value, str) else value


def _name(task: t.Any) -> str:
    """Without the role's name before it."""
    return one_line(task.get_name().rpartition(" : ")[2])


def _looped(task: t.Any) -> bool:
    return bool(task.loop or task.loop_with)


def _why(result: t.Any) -> str:
    answer = _answer(result)
    return _lines.failure_text(answer, None if "censored" in answer else getattr(result, "exception", None))


def _task(result: t.Any) -> t.Any:
    return getattr(result, "task", None) or result._task


def _answer(result: t.Any) -> dict[str, t.Any]:
    found = getattr(result, "result", None)
    return found if isinstance(found, dict) else result._result


def _host(result: t.Any) -> str:
    host = getattr(result, "host", None) or result._host
    return one_line(host.get_name())
