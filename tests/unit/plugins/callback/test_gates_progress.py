# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the live view says while a task takes long, and that it says nothing more when the task or the run is over."""

from __future__ import annotations

import contextlib
import os
import pathlib
import re
import signal
import socket
import time

import pytest
from view_runs import Plays

SOON = "0.4"
STAMP = r"\d\d:\d\d:\d\d "


def sleep(seconds: float, module: str = "answers", **more: object) -> dict:
    return {"name": "Sleep well", module: {"sleep": seconds, **more}}


def wait(timeout: float, *ports: int) -> dict:
    targets = [{"name": f"port {number}", "tcp": {"port": port}} for number, port in enumerate(ports)]
    return {"name": "Wait", "tria.production.readiness_wait": {"timeout": timeout, "targets": targets}}


def words(output: str) -> list[str]:
    return [line for line in output.splitlines() if line.startswith("  … ")]


def closed_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


def test_a_long_task_keeps_talking_and_a_short_one_is_silent(plays: Plays) -> None:
    done = plays.run([sleep(0), sleep(2.5)], TRIA_VIEW_PROGRESS=SOON)

    said = words(done.output)
    assert len(said) >= 2
    assert all(re.fullmatch(rf"  … {STAMP}still at: Sleep well · \d s", line) for line in said)
    assert [line[-3] for line in said] == sorted(line[-3] for line in said)
    assert done.lines.index(said[-1]) < done.lines.index("PLAY RECAP " + done.output.split("PLAY RECAP ")[1].split("\n")[0])


def test_silence_is_kept_where_it_is_asked_for(plays: Plays) -> None:
    assert not words(plays.run([sleep(1.5)]).output)  # 30 s have not passed
    assert not words(plays.run([sleep(1.5, "pg_backup")], TRIA_VIEW_PROGRESS="0").output)
    assert not words(plays.run([sleep(1.5, "pg_backup")], TRIA_VIEW="quiet", TRIA_VIEW_PROGRESS=SOON).output)


def test_on_a_terminal_there_is_no_time_of_day(plays: Plays) -> None:
    done = plays.run_in_terminal([sleep(2)], NO_COLOR="1", TRIA_VIEW_PROGRESS=SOON)
    assert re.search(r"^  … still at: Sleep well · \d s$", done.output, re.MULTILINE)
    assert not re.search(STAMP, done.output) and "\r" not in done.output


def test_a_known_task_says_what_it_does_and_on_what(plays: Plays) -> None:
    images = [{"image": "shop/web:1"}, {"image": "shop/api:2"}]
    build = {
        **sleep(1.5, "docker_image_build", name="{{ image.image }}", answer={"changed": True}),
        "loop": "{{ images }}",
        "loop_control": {"loop_var": "image", "label": "{{ image.image }}"},
    }
    done = plays.run(
        [build, sleep(1, "pg_backup", name="x"), {**sleep(0, "docker_image_build", name="never"), "when": False}],
        play={"vars": {"images": images}},
        TRIA_VIEW_PROGRESS="1",
    )

    said = [re.sub(STAMP, "", line) for line in words(done.output)]
    assert said[0] == "  … building images shop/web:1, shop/api:2"
    assert any(re.fullmatch(r"  … still building images shop/web:1 \(0 of 2 done\) · \d s", line) for line in said)
    assert any(re.fullmatch(r"  … still building images shop/api:2 \(1 of 2 done\) · \d s", line) for line in said)
    assert "  … backing up database" in said
    assert re.search(r"^  ~ here: Sleep well: shop/web:1 \(\d s\)$", done.output, re.MULTILINE)
    assert done.output.count("  ~ here: Sleep well") == 2 and "never" not in done.output


@pytest.mark.parametrize(
    ("options", "said"), [((), "restoring database"), (("--check",), "verifying a backup of database")]
)
def test_a_restore_is_no_backup(plays: Plays, options: tuple[str, ...], said: str) -> None:
    done = plays.run([sleep(1.5, "pg_restore", name="x")], options=options, TRIA_VIEW_PROGRESS="1")
    assert f"  … {said}" in [re.sub(STAMP, "", line) for line in words(done.output)]


def left_behind(port: int) -> list[pathlib.Path]:
    """Files of a wait for this port; others may be waiting as well."""
    found = []
    for path in pathlib.Path("/tmp").glob(".readiness-*"):
        with contextlib.suppress(FileNotFoundError):
            found += [path] if f"port {port}:" in path.read_text(encoding="utf-8") else []
    return found


@pytest.mark.parametrize("connection", ["local", "ssh"])
def test_a_wait_says_what_is_missing_and_why(plays: Plays, connection: str) -> None:
    """The connection plugin is the real one; its program runs what it is told on this machine."""
    program = plays.folder / "ssh"
    program.write_text('#!/bin/sh\nfor last; do :; done\nexec /bin/sh -c "$last"\n', encoding="utf-8")
    program.chmod(0o700)
    there_by = {"vars": {"ansible_connection": connection, "ansible_ssh_executable": str(program)}}
    said = []
    with socket.create_server(("127.0.0.1", 0)) as there:
        ports = there.getsockname()[1], closed_port()
        why = f"cannot connect to 127.0.0.1 port {ports[1]}: Connection refused"
        with plays.start([wait(30, *ports)], play=there_by, TRIA_VIEW_PROGRESS="1") as process:
            while not (said and re.fullmatch(rf"  … still waiting for port 1 \({why}\) · \d+ s of 30 s", said[-1])):
                assert process.poll() is None, said
                said.append(re.sub(STAMP, "", process.stdout.readline().decode().rstrip("\n")))
            with socket.create_server(("127.0.0.1", ports[1])):
                rest, _nothing = process.communicate(timeout=60)

    assert process.returncode == 0, rest.decode()
    assert "  … waiting for port 0, port 1" in said
    assert not left_behind(ports[1])


def test_hosts_that_wait_for_the_same_share_a_line(plays: Plays) -> None:
    done = plays.run([wait(5, closed_port())], hosts="app1,app2", TRIA_VIEW_PROGRESS="1")

    assert done.status == 2
    assert re.search(r"still waiting for port 0 \(.*refused\) · \d s of 5 s \[app\d, app\d\]$", done.output, re.MULTILINE)


def test_a_wait_that_cannot_be_looked_at_says_so_and_goes_on(plays: Plays) -> None:
    deaf = {"vars": {"ansible_connection": "deaf"}}
    done = plays.run([wait(3, closed_port())], play=deaf, TRIA_VIEW_PROGRESS="1")

    assert re.search(r"\(what is missing cannot be seen: .*the line is dead\)$", done.output, re.MULTILINE)
    assert "❌ Network: port 0" in done.lines


def test_attempts_are_counted(plays: Plays) -> None:
    again = {**sleep(0), "until": False, "retries": 2, "delay": 1}
    done = plays.run([again], TRIA_VIEW_PROGRESS=SOON)

    assert re.search(r"still at: Sleep well, attempt 3 of 3 · \d s", done.output)
    assert "RETRYING" not in done.output


def test_what_is_shown_is_not_held_back(plays: Plays) -> None:
    with plays.start([sleep(4)], TRIA_VIEW_PROGRESS=SOON) as process:
        while not process.stdout.readline().startswith("  … ".encode()):
            assert process.poll() is None
        heard = time.monotonic()
        process.communicate(timeout=60)
    assert time.monotonic() - heard > 2


def test_a_run_that_nobody_reads_any_more_goes_on(plays: Plays) -> None:
    mark = plays.folder / "mark"
    touch = {"name": "Touch", "ansible.builtin.copy": {"content": "x", "dest": str(mark), "mode": "0600"}}
    with plays.start([sleep(1.5), {**touch, "loop": [1]}, touch], TRIA_VIEW_PROGRESS=SOON) as process:
        process.stdout.readline()
        process.stdout.close()
        process.wait(timeout=60)
    assert mark.exists()


def test_a_run_that_is_cancelled_has_no_more_to_say(plays: Plays) -> None:
    for number, patience in ((signal.SIGINT, 0.05), (signal.SIGTERM, 0.05)):
        with plays.start([sleep(30)], TRIA_VIEW_PROGRESS=str(patience)) as process:
            while not process.stdout.readline().startswith("  … ".encode()):
                assert process.poll() is None
            os.killpg(process.pid, number)
            begun = time.monotonic()
            rest, _nothing = process.communicate(timeout=60)
        assert time.monotonic() - begun < 10
        after = rest.decode().partition("interrupted")[2]
        assert "…" not in after and (number == signal.SIGTERM or "interrupted" in rest.decode())
