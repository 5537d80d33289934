# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A schedule on a host without systemd: what is installed, what its program does. Tools are small scripts."""

from __future__ import annotations

import datetime
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time
import typing as t

import pytest
from backup_tools import OPTIONS

from ansible_collections.tria.production.plugins.module_utils._backup import cron, folder, manifest, record, schedule
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError


class Host:
    """What a schedule is installed into: a host's folders below one of the test's own."""

    def __init__(self, root: pathlib.Path) -> None:
        self.root, self.dest = root, root / "backups"
        names = {"schedules": "etc", "facts": "facts.d", "units": "units", "crontabs": "cron.d", "systemd": "systemd"}
        self.places = schedule.Places("shop", **{name: str(root / each) for name, each in names.items()})
        (root / "cron.d").mkdir()

    def params(self, **options: t.Any) -> dict[str, t.Any]:
        when = {"name": "shop", "calendar": None, "cron": "10 3 * * *", "delay": 0}
        when["metrics"] = str(self.root / "metrics")
        return {**OPTIONS, **when, "state": "present", "dest": str(self.dest), **options}

    def ensure(self, check_mode: bool = False, **options: t.Any) -> dict[str, t.Any]:
        return schedule.ensure(self.params(**options), check_mode, self.places)

    def remove(self, check_mode: bool = False) -> dict[str, t.Any]:
        return schedule.remove(self.places.name, check_mode, self.places)

    def command(self) -> list[str]:
        """What cron would run."""
        line = pathlib.Path(self.places.crontab).read_text().splitlines()[-1]
        return line.split(" root ")[1].replace(" >/dev/null", "").split()

    def run(self) -> subprocess.CompletedProcess[str]:
        return subprocess.run(self.command(), env=bare(), cwd="/", capture_output=True, text=True, check=False)

    def fact(self) -> dict[str, t.Any]:
        """As Ansible reads it: by running the file."""
        done = subprocess.run([self.places.fact], env=bare(), cwd="/", capture_output=True, text=True, check=True)
        return json.loads(done.stdout)

    def metrics(self) -> dict[str, float]:
        lines = (self.root / "metrics" / "tria_backup_shop.prom").read_text().splitlines()
        return {line.partition("{")[0]: float(line.split()[-1]) for line in lines if not line.startswith("#")}

    def files(self) -> set[str]:
        found = (path for path in self.root.rglob("*") if path.is_file() or path.is_symlink())
        return {str(path.relative_to(self.root)) for path in found}


def bare() -> dict[str, str]:
    """The environment of cron: nothing leads to this collection, or to Ansible."""
    return {"PATH": os.environ["PATH"]}


@pytest.fixture
def host(tmp_path: pathlib.Path, tools: t.Any) -> Host:
    (tmp_path / "host").mkdir()
    return Host(tmp_path / "host")


INSTALLED = {
    "etc/shop/pg_backup", "etc/shop/options.json", "facts.d/shop_backup.fact", "cron.d/tria-backup-shop",
    "backups/.schedule-shop.json",
}  # fmt: skip


# --- installing -------------------------------------------------------------------------------------------------------


def test_check_mode_says_and_writes_nothing(host: Host) -> None:
    result = host.ensure(check_mode=True)
    assert result["changed"] and len(result["files"]) == len(INSTALLED) and host.files() == set()


def test_it_is_installed_once(host: Host) -> None:
    assert host.ensure()["changed"] and host.files() == INSTALLED
    again = host.ensure()
    assert not again["changed"] and again["files"] == [] and not host.ensure(check_mode=True)["changed"]
    assert os.stat(host.places.options).st_mode & 0o777 == 0o600
    others = [path for path in host.root.rglob("*") if path.is_file() and str(path) != host.places.options]
    assert not [path for path in others if "s3cret-pw" in path.read_text(errors="replace")]
    crontab = pathlib.Path(host.places.crontab).read_text()
    assert re.search(r"^10 3 \* \* \* root \S+ \S+/pg_backup run >/dev/null$", crontab, re.M)


@pytest.mark.parametrize("damage", [b"", b"#!/bin/sh\n"])
def test_what_somebody_changed_is_put_right(host: Host, damage: bytes) -> None:
    host.ensure()
    pathlib.Path(host.places.program).write_bytes(damage)
    os.chmod(host.places.options, 0o644)
    result = host.ensure()
    assert result["files"] == sorted([host.places.options, host.places.program])
    assert os.stat(host.places.options).st_mode & 0o777 == 0o600 and host.fact()["name"] == "shop"


def test_another_time_and_another_folder(host: Host) -> None:
    host.ensure()
    host.run()
    host.dest = host.root / "elsewhere"
    result = host.ensure(cron="20 4 * * *", metrics=None)
    assert result["schedule"]["next_due"] and host.files() >= {"elsewhere/.schedule-shop.json"}
    left = {each for each in host.files() if each.startswith("backups/.schedule") or each.startswith("metrics")}
    assert left == set(), "whoever looks at these would think that nothing runs any more"


def test_it_is_taken_away(host: Host) -> None:
    host.ensure()
    assert host.run().returncode == 0
    backups = {name for name in host.files() if name.startswith("backups/shop-")}
    assert backups and host.remove(check_mode=True)["changed"] and host.files() > INSTALLED
    assert host.remove()["changed"] and host.files() - {"backups/.pg_backup.lock"} == backups
    assert not host.remove()["changed"] and not os.path.exists(host.places.folder)


@pytest.mark.parametrize(
    ("options", "culprit", "words"),
    [
        ({"cron": None, "calendar": "daily"}, "cron", "this host has no systemd"),
        ({"cron": "61 3 * * *"}, "cron", "'61' is no minute"),
        ({"cron": "10 3 * * *\n* * * * * root true"}, "cron", "more than one line"),
        ({"delay": -1}, "delay", "is -1"),
        ({"keep_last": 0}, "keep_last", "is 0"),
        ({"jobs": 2}, "jobs", "Only format=directory"),
        ({"verify_restore_up_to": "much"}, "verify_restore_up_to", "is not a size"),
        ({"compression_level": 23}, "compression_level", "23 is not a level of zstd"),
    ],
)
def test_what_would_never_run_is_refused(host: Host, options: dict[str, t.Any], culprit: str, words: str) -> None:
    with pytest.raises(ProductionError, match=re.escape(words)) as raised:
        host.ensure(**options)
    assert raised.value.culprit == culprit and raised.value.remedy and host.files() == set()


def test_a_name_that_leads_elsewhere_is_refused(host: Host) -> None:
    for act in (lambda: schedule.ensure(host.params(name="../shop")), lambda: schedule.remove("../shop")):
        with pytest.raises(ProductionError, match="no name for a unit"):
            act()


def test_a_host_without_cron(host: Host) -> None:
    os.rmdir(host.places.crontabs)
    with pytest.raises(ProductionError, match="has no cron"):
        host.ensure()


def test_a_place_that_cannot_be_written(host: Host) -> None:
    (host.root / "etc").write_text("a file")
    with pytest.raises(ProductionError) as raised:
        host.ensure()
    assert "etc" in raised.value.culprit and raised.value.remedy


def test_odd_folders_in_a_unit(tmp_path: pathlib.Path) -> None:
    (tmp_path / "systemd").mkdir()
    places = schedule.Places("shop", systemd=str(tmp_path / "systemd"))
    options = {**OPTIONS, "dest": '/var/my "100 %" backups', "dbname": "sh%p\nExecStartPre=/bin/false"}
    settings = {"name": "shop", "calendar": "daily", "cron": None, "metrics": "/var/metrics", "options": options}
    service = schedule._files(settings, 5, places)[places.service][0].splitlines()
    assert 'ReadWritePaths="-/var/my \\"100 %%\\" backups" "-/var/metrics"' in service
    started = [line for line in service if line.startswith("ExecStart")]
    assert started == [f"ExecStart={sys.executable} {places.program} run"]
    assert f"TimeoutStartSec={int(OPTIONS['timeout']) + 120}" in service


def test_the_service_may_write_where_copies_are_written() -> None:
    nothing = dict.fromkeys(("rclone", "restic", "config"))
    copies = [
        {**nothing, "rclone": "box:backups", "config": "/etc/rclone/box.conf"},
        {**nothing, "rclone": "/mnt/share", "config": "/etc/rclone/share.conf"},
        {**nothing, "restic": "/mnt/disk"},
        {**nothing, "restic": "s3:https://s3.example.com/b"},
    ]
    settings = {"metrics": None, "options": {"dest": "/opt/backups", "copies": copies}}
    assert schedule._written(settings) == ["/opt/backups", "/etc/rclone", "/mnt/share", "/mnt/disk"]


# --- running ----------------------------------------------------------------------------------------------------------


def test_a_run_makes_a_verified_backup_and_tells_of_it(host: Host) -> None:
    assert host.ensure()["schedule"]["last_success"] is None
    done = host.run()
    assert done.returncode == 0 and "backed up to" in done.stdout, done.stderr
    (made,) = manifest.published(str(host.dest))
    fact, metrics = host.fact(), host.metrics()
    assert made.verified == "archive" and fact["verified"] == "archive" and fact["last_success"] == made.created_at
    assert (fact["size_bytes"], fact["duration_s"]) == (made.dump.size_bytes, made.duration_s)
    assert (fact["last_error"], fact["failures"], fact["running_since"]) == (None, 0, None) and fact["last_run"]
    assert metrics["tria_backup_last_success_timestamp_seconds"] == pytest.approx(record.seconds(made.created_at))
    assert metrics["tria_backup_last_success_size_bytes"] == made.dump.size_bytes
    assert (metrics["tria_backup_last_run_success"], metrics["tria_backup_verified_backups"]) == (1, 1)
    assert {os.stat(path).st_mode & 0o777 for path in host.dest.iterdir()} == {0o600}


def test_it_needs_no_ansible(host: Host) -> None:
    host.ensure()
    without = (
        "import sys, runpy; sys.modules['ansible'] = None; sys.argv = [sys.argv[1], 'run'];"
        " runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    command = [sys.executable, "-c", without, host.places.program]
    done = subprocess.run(command, env=bare(), cwd="/", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "backed up to" in done.stdout


def test_a_failed_run_is_told_and_counted(host: Host, tools: t.Any) -> None:
    host.ensure()
    assert host.run().returncode == 0
    tools(pg_dump="echo 'no such thing s3cret-pw' >&2; exit 1")
    for count in (1, 2):
        done = host.run()
        assert done.returncode == 1 and "pg_dump ended with status 1" in done.stderr
        assert "s3cret-pw" not in done.stdout + done.stderr + json.dumps(host.fact())
        fact, metrics = host.fact(), host.metrics()
        assert "pg_dump ended" in fact["last_error"]["cause"] and fact["last_error"]["remedy"]
        assert (metrics["tria_backup_last_run_success"], metrics["tria_backup_failures"]) == (0, count)
        assert metrics["tria_backup_last_success_timestamp_seconds"] > 0 and fact["last_success"], "of the one before"
    tools(pg_dump="head -c 100000 /dev/zero")
    assert host.run().returncode == 0 and host.metrics()["tria_backup_failures"] == 0


def test_a_killed_run_is_told_and_the_next_one_cleans_up(host: Host, tools: t.Any) -> None:
    host.ensure()
    tools(pg_dump="head -c 100000 /dev/zero; exec sleep 30")
    with subprocess.Popen(host.command(), env=bare(), stdout=subprocess.DEVNULL, start_new_session=True) as process:
        until(lambda: list(host.dest.glob(".partial-*")))
        assert host.fact()["running_since"] and host.fact()["last_error"] is None
        os.killpg(process.pid, signal.SIGKILL)
    fact = host.fact()
    assert fact["running_since"] is None and "did not come to its end" in fact["last_error"]["cause"]
    tools(pg_dump="exit 1")
    assert host.run().returncode == 1 and host.fact()["failures"] == 2, "the killed one counts"
    assert not list(host.dest.glob(".partial-*"))


def test_a_stopped_run_leaves_nothing_and_says_so(host: Host, tools: t.Any) -> None:
    host.ensure()
    tools(pg_dump="head -c 100000 /dev/zero; exec sleep 30")
    with subprocess.Popen(host.command(), env=bare(), stderr=subprocess.PIPE, text=True) as process:
        until(lambda: list(host.dest.glob(".partial-*")))
        process.terminate()
        said = process.communicate(timeout=20)[1]
    assert process.returncode == 1 and "stopped by SIGTERM" in said
    assert "stopped by SIGTERM" in host.fact()["last_error"]["cause"] and not list(host.dest.glob(".partial-*"))


def test_what_nobody_thought_of_is_told_too(host: Host, tools: t.Any) -> None:
    host.ensure()
    tools(psql="echo no json")
    done = host.run()
    assert done.returncode == 1 and "Traceback" in done.stderr
    assert host.fact()["last_error"]["culprit"] == "JSONDecodeError" and host.metrics()["tria_backup_failures"] == 1


def test_it_waits_for_another_backup(host: Host) -> None:
    host.ensure()
    with folder.Lock(str(host.dest)) as lock:
        lock.record({"pid": os.getpid()})
        process = subprocess.Popen(host.command(), env=bare(), stdout=subprocess.DEVNULL)
        until(lambda: host.fact()["running_since"])
        time.sleep(1.0)
        assert process.poll() is None
        lock.record({})
    assert process.wait(timeout=20) == 0 and host.fact()["failures"] == 0


def test_another_backup_that_takes_too_long(host: Host) -> None:
    host.ensure(timeout=2.0)
    with folder.Lock(str(host.dest)):
        done = host.run()
    assert done.returncode == 1 and "another backup or restore is at work" in host.fact()["last_error"]["cause"]


def test_backups_of_releases_that_are_there_are_kept(host: Host) -> None:
    releases = host.root / "releases"
    (releases / "r1").mkdir(parents=True)
    host.ensure(keep_last=1, keep_labels_in=str(releases), label="r1")
    host.run()
    host.ensure(keep_last=1, keep_labels_in=str(releases), label="scheduled")
    for _each in range(3):
        assert host.run().returncode == 0
    labels = [each.label for each in manifest.published(str(host.dest))]
    assert sorted(labels) == ["r1", "scheduled"]
    (releases / "r1").rmdir()
    assert host.run().returncode == 0
    assert [each.label for each in manifest.published(str(host.dest))] == ["scheduled"]


def test_metrics_that_cannot_be_written_do_not_hide_the_backup(host: Host) -> None:
    host.ensure()
    (host.root / "metrics").rmdir()
    done = host.run()
    assert done.returncode != 0 and "metrics" in done.stderr, "somebody has to see to it"
    assert host.fact()["last_error"] is None and len(manifest.published(str(host.dest))) == 1


def test_odd_names_in_metrics(tmp_path: pathlib.Path) -> None:
    runs = record.Runs("shop", 'o"dd\\na\nme', record.now())
    runs.begin()
    runs.end(None)
    assert 'dbname="o\\"dd\\\\na\\nme"' in record.metrics(runs, str(tmp_path))


def test_a_fact_never_fails_a_play(host: Host) -> None:
    host.ensure()
    os.unlink(host.places.options)
    assert "options.json" in host.fact()["error"]


def until(condition: t.Callable[[], t.Any]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end, "the awaited state was not reached"
        time.sleep(0.02)


# --- when cron is due -------------------------------------------------------------------------------------------------

SUNDAY = datetime.datetime(2026, 11, 22, 10, 0)


@pytest.mark.parametrize(
    ("expression", "due"),
    [
        ("10 3 * * *", "2026-11-23 03:10"),
        ("0 10 * * *", "2026-11-23 10:00"),
        ("*/15 * * * *", "2026-11-22 10:15"),
        ("5-59/20 9-17 * * *", "2026-11-22 10:05"),
        ("0 0 29 2 *", "2028-02-29 00:00"),
        ("0 4 1 * mon", "2026-11-23 04:00"),
        ("0 4 */2 * mon", "2026-11-23 04:00"),
        ("0 4 * jan-mar 7", "2027-01-03 04:00"),
        ("0 4 1,15 * *", "2026-12-01 04:00"),
        ("@weekly", "2026-11-29 00:00"),
    ],
)
def test_the_next_time(expression: str, due: str) -> None:
    assert f"{cron.Cron(expression).next(SUNDAY):%Y-%m-%d %H:%M}" == due


@pytest.mark.parametrize(
    "expression",
    ["10 3 * *", "60 * * * *", "0 0 31 2 *", "a * * * *", "*/0 * * * *", "@reboot", "1--2 * * * *", "9-5 * * * *"],
)
def test_what_is_no_time(expression: str) -> None:
    with pytest.raises(ValueError):
        cron.Cron(expression)
