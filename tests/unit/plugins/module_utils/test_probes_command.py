# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Kind command, with real programs; and what a signal to the whole run leaves behind: nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from probe_peers import look

from ansible_collections.tria.production.plugins.module_utils import _probes
from ansible_collections.tria.production.plugins.module_utils._probes._base import Session


def sh(script, **options):
    return look("command", argv=["/bin/sh", "-c", script], **options)


def all_gone(mark):
    """Whether they are, at the latest when the kernel and init have done their part."""
    end = time.monotonic() + 0.5
    while alive(mark) and time.monotonic() < end:
        time.sleep(0.01)
    return not alive(mark)


def alive(mark):
    """Processes with `mark` among their arguments, zombies not."""
    found = []
    for number in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{number}/cmdline", "rb") as cmdline:
                if mark.encode() in cmdline.read().split(b"\0"):
                    found.append(int(number))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def descriptors():
    return len(os.listdir("/proc/self/fd"))


def test_good():
    before = descriptors()
    seen = sh('echo "{\\"a\\": {\\"b\\": 1}}"; echo careful >&2', json={"a.b": 1}, contains='"b": 1')
    assert seen.status == "pass" and seen.data["rc"] == 0
    assert (seen.data["stdout_tail"], seen.data["stderr_tail"]) == (['{"a": {"b": 1}}'], ["careful"])
    assert descriptors() == before


def test_it_is_not_late():
    assert min(look("command", argv=["true"]).duration_ms for _time in range(5)) < 40


@pytest.mark.parametrize(
    "script, options, expected",
    [
        ("echo oops >&2; exit 3", {}, "exit code 3 instead of 0: oops"),
        ("exit 0", {"rc": [2, 3]}, "exit code 0 instead of 2 or 3"),
        ("kill -SEGV $$", {}, "killed by SIGSEGV instead of 0"),
        ("echo yes", {"contains": "no"}, "the output does not contain 'no'"),
        ("echo no >&2", {"contains": "no"}, "the output does not contain 'no'"),
        ("echo x", {"json": {"a": 1}}, "the output is not JSON"),
        ("echo '{}'", {"json": {"a": 1}}, "a is missing"),
    ],
)
def test_each_expectation_is_held(script, options, expected):
    seen = sh(script, **options)
    assert seen.status == "fail" and expected in seen.message and not seen.permanent and seen.phase == "exit"


def test_what_cannot_be_run_is_final(tmp_path):
    plain = tmp_path / "plain"
    plain.write_text("x")
    for argv, chdir, expected in (
        (["no-such-program"], None, "no-such-program: No such file"),
        ([str(plain)], None, "Permission denied"),
        (["true"], str(tmp_path / "none"), "none: No such file"),
        (["true"], str(plain), "Not a directory"),
        ([], None, "argv is empty"),
    ):
        seen = look("command", argv=argv, chdir=chdir)
        assert (seen.status, seen.phase, seen.permanent) == ("fail", "start", True) and expected in seen.message
    plain.chmod(0o755)
    plain.write_bytes(b"\x7fELFx")
    assert "Exec format error" in look("command", argv=[str(plain)]).message
    assert "null byte" in look("command", argv=["true", "a\0b"]).message


def test_directory_environment_and_input(tmp_path):
    seen = sh('pwd; echo "$GREETING"; cat', chdir=str(tmp_path), environment={"GREETING": 7}, stdin="x" * 200000)
    assert seen.data["stdout_tail"][-1].startswith("xxx")
    assert sh('pwd; echo "$GREETING"', chdir=str(tmp_path), environment={"GREETING": 7}).data["stdout_tail"] == [
        str(tmp_path), "7",
    ]
    assert sh("cat").data["stdout_tail"] == []
    assert sh("exec <&-; sleep 0.05", stdin="x" * 200000).status == "pass"


def test_no_shell_comes_in_between():
    assert look("command", argv=["echo", "$HOME; exit 3"]).data["stdout_tail"] == ["$HOME; exit 3"]


def test_secrets_do_not_show():
    seen = sh('echo "$DB_PASSWORD"; echo key hunter22-more; exit 1', secrets=["hunter22-more"],
              environment={"DB_PASSWORD": "pass-word-5"})
    assert seen.status == "fail" and "hunter22" not in str(seen) and "pass-word-5" not in str(seen)


def test_a_flood_of_output_is_bounded_and_control_characters_go():
    seen = sh("yes 0123456789 | head -c 3000000; printf 'end\\033[31m'; exit 1")
    assert seen.data["stdout_tail"][-1].endswith("end") and len(str(seen.data)) < 5000
    assert "only the last 65536 bytes" in sh("yes | head -c 100000", contains="x").message


@pytest.mark.parametrize(
    "script",
    ["sleep 30", "exec >&- 2>&-; sleep 30", "trap '' TERM INT HUP; sleep 30", "yes >&2", "sleep 30 & wait"],
)
def test_one_that_hangs_is_killed_with_its_children(script):
    mark, before = uuid.uuid4().hex, descriptors()
    begun = time.monotonic()
    seen = look("command", argv=["/bin/sh", "-c", f"echo begun; {script}", mark], timeout=0.4)
    assert 0.35 < time.monotonic() - begun < 1.2
    assert seen.status == "fail" and seen.phase == "answer" and "did not end within 0.4 s" in seen.message
    assert seen.data["stdout_tail"][:1] == ["begun"] and seen.data["rc"] is None
    assert all_gone(mark) and descriptors() == before


@pytest.mark.parametrize("script", ["sleep 31", "while :; do echo y; done"])
def test_a_child_that_keeps_the_pipes_holds_up_nothing(script):
    mark = uuid.uuid4().hex
    begun = time.monotonic()
    seen = look("command", argv=["/bin/sh", "-c", f"sh -c '{script}; :' {mark} & echo done"])
    assert seen.status == "pass" and "done" in seen.data["stdout_tail"] + ["done"] * (script != "sleep 31")
    assert time.monotonic() - begun < 0.6 and all_gone(mark)


def test_one_that_left_the_group_holds_up_nothing():
    mark = uuid.uuid4().hex
    begun = time.monotonic()
    seen = look("command", argv=["/bin/sh", "-c", f"setsid sh -c 'sleep 3; :' {mark} & echo done"], timeout=1.5)
    assert seen.status == "pass" and time.monotonic() - begun < 1
    for number in alive(mark):
        os.killpg(number, signal.SIGKILL)


def test_check_mode():
    seen = sh("exit 3", check_mode=True)
    assert seen.status == "skip" and "not run in check mode" in seen.message
    assert sh("exit 3", check_mode=True, read_only=True).status == "fail"


def test_a_user_is_for_containers():
    validator = ArgumentSpecValidator(_probes.argument_spec())
    result = validator.validate({"targets": [{"name": "x", "command": {"argv": ["true"], "user": "me"}}]})
    assert any("user" in message for message in result.error_messages)


RUN = """
import sys
sys.path[:0] = {path!r}
from probe_peers import entries
from ansible_collections.tria.production.plugins.module_utils import _health, _waiting
argv = ["/bin/sh", "-c", "sleep 77 & sleep 78", {mark!r}]
each = [dict(name=str(number), timeout=60, command=dict(argv=argv)) for number in range({count})]
print("begun", flush=True)
if {waiting}:
    _waiting.wait(entries(*each), _waiting.Settings(60))
else:
    _health.check(entries(*each), 60)
"""


@pytest.mark.parametrize("waiting, count, number", [
    (True, 200, signal.SIGTERM), (False, 40, signal.SIGTERM), (True, 2, signal.SIGHUP),
])
def test_a_signal_ends_the_run_and_leaves_nothing(waiting, count, number):
    mark = uuid.uuid4().hex
    script = RUN.format(path=[one for one in sys.path if one], mark=mark, waiting=waiting, count=count)
    run = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        assert run.stdout.readline() == b"begun\n"
        end = time.monotonic() + 20
        while len(alive(mark)) < count and time.monotonic() < end:
            time.sleep(0.1)
        assert len(alive(mark)) == count
        begun = time.monotonic()
        run.send_signal(number)
        assert run.wait(10) == 128 + number
        assert time.monotonic() - begun < 1
        assert all_gone(mark)
    finally:
        run.kill()
        _output, errors = run.communicate()
    assert errors == b""


def test_a_session_gives_the_handlers_back_and_heeds_a_late_signal():
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as caught:
        with Session() as session:
            try:
                os.kill(os.getpid(), signal.SIGTERM)
                time.sleep(5)
            finally:
                os.kill(os.getpid(), signal.SIGHUP)  # the way out is not interrupted
                session.hide("x")
    assert caught.value.code == 128 + signal.SIGHUP and session.cancelled.is_set()
    with pytest.raises(SystemExit) as caught:
        with Session() as session:
            session.close = lambda: os.kill(os.getpid(), signal.SIGTERM)
    assert caught.value.code == 143
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_session_leaves_an_ignored_signal_alone():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Session():
            os.kill(os.getpid(), signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
