# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Backups on a schedule: of a server in a container; on a host with systemd; on a host with cron alone."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
import typing as t
import uuid

import pytest
import yaml
from ansible_collections.tria.production.plugins.module_utils._backup import manifest, schedule
from backup_server import OPTIONS, Postgres, until
from test_example_project import ROOT, wait_until_up

PASSWORD = "pa'ss \"wo$rd\" C4nary-91c2"
INSTALL = (
    "apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends"
    " postgresql python3-zstandard cron prometheus-node-exporter >/dev/null"
)
UNIT, FACT = "tria-backup-shop", "/etc/ansible/facts.d/shop_backup.fact"
OF_THE_SCHEDULE = (
    f"find /etc /var/backups /var/cache /var/lib/prometheus -name '*{UNIT}*' -o -name 'shop_backup*'"
    " -o -name 'tria_backup*' -o -name '.schedule-*' -o -path '/etc/tria.production/backups/*'"
)


# --- the installed program, and a server in a container ---------------------------------------------------------------


@pytest.fixture(name="installed")
def installed_fixture(tmp_path: pathlib.Path, server: Postgres, dest: pathlib.Path) -> t.Callable[..., list[str]]:
    """Installs a schedule as on a host with cron; gives what cron would run."""
    names = {"schedules": "etc", "facts": "facts.d", "units": "units", "crontabs": "cron.d", "systemd": "none"}
    places = schedule.Places("shop", **{name: str(tmp_path / each) for name, each in names.items()})
    (tmp_path / "cron.d").mkdir()

    def install(**options: t.Any) -> list[str]:
        when = {"name": "shop", "calendar": None, "cron": "10 3 * * *", "delay": 0}
        when["metrics"] = str(tmp_path / "metrics")
        container = {"name": server.name, "project": None, "service": "postgres"}
        schedule.ensure({"dest": str(dest), "container": container, **OPTIONS, **when, **options}, places=places)
        return [sys.executable, places.program, "run"]

    return install


def run(command: list[str]) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"]}
    return subprocess.run(command, env=environment, cwd="/", capture_output=True, text=True, timeout=120, check=False)


def told(command: list[str]) -> dict[str, t.Any]:
    return json.loads(run(command[:2]).stdout)


def test_the_program_backs_a_container_up(installed: t.Any, dest: pathlib.Path, server: Postgres) -> None:
    command = installed()
    done = run(command)
    assert done.returncode == 0, done.stderr
    (made,) = manifest.published(str(dest))
    assert made.verified == OPTIONS["verify"] and made.tables == int(
        server.value("SELECT count(*) FROM pg_tables WHERE schemaname IN ('public', 'odd schema')")
    )
    fact = told(command)
    assert (fact["last_success"], fact["last_error"], fact["failures"]) == (made.created_at, None, 0)
    assert server.dumping() == 0


def test_a_full_disk(installed: t.Any, dest: pathlib.Path, tmp_path: pathlib.Path, small_disk: t.Any) -> None:
    dest.mkdir()
    small_disk(dest, "4m")
    command = installed()
    with open(dest / "ballast", "wb") as file:
        file.write(bytes(3 << 20))
    done = run(command)
    assert done.returncode == 1 and "MiB free" in done.stderr and manifest.published(str(dest)) == []
    assert told(command)["last_error"]["remedy"].startswith("Free disk space")
    metrics = (tmp_path / "metrics" / "tria_backup_shop.prom").read_text()
    assert "\ntria_backup_last_run_success{" in metrics and "last_success_timestamp" not in metrics


def test_a_disk_without_room_for_a_word(
    installed: t.Any, dest: pathlib.Path, tmp_path: pathlib.Path, small_disk: t.Any
) -> None:
    """Nothing can be written beside the backups then; the metrics, which are elsewhere, say it."""
    dest.mkdir()
    small_disk(dest, "1m")
    command = installed()
    with pytest.raises(OSError), open(dest / "ballast", "wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    done = run(command)
    assert done.returncode == 1 and "No space left on device" in done.stderr
    metrics = (tmp_path / "metrics" / "tria_backup_shop.prom").read_text()
    assert 'tria_backup_failures{schedule="shop"' in metrics and metrics.splitlines()[-1].endswith(" 0")


def test_a_container_that_is_gone(installed: t.Any) -> None:
    command = installed(container={"name": "nobody", "project": None, "service": "postgres"})
    done = run(command)
    assert done.returncode == 1 and "container nobody: does not exist" in done.stderr
    assert told(command)["last_error"]["culprit"] == "container nobody"


# --- hosts of their own -----------------------------------------------------------------------------------------------


class Host:
    """A container that is a host: PostgreSQL with a database `shop`, node_exporter."""

    def __init__(self, name: str) -> None:
        self.name = name

    def shell(self, script: str, check: bool = True) -> str:
        command = ["docker", "exec", self.name, "sh", "-ec", script]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done.stdout if check else done.stdout + done.stderr

    def play(self, tmp_path: pathlib.Path, *tasks: dict[str, t.Any], check_mode: bool = False) -> dict[str, t.Any]:
        """Runs tasks on the host; gives the result of the last one, with `output` and `status`."""
        host = {"ansible_connection": "community.docker.docker", "ansible_python_interpreter": "/usr/bin/python3"}
        last = {**tasks[-1], "register": "last"}
        file = {"content": "{{ last | to_json }}", "dest": str(tmp_path / "last.json")}
        kept = {"ansible.builtin.copy": file, "delegate_to": "localhost", "check_mode": False}
        play = {"hosts": "all", "gather_facts": False, "tasks": [*tasks[:-1], {"block": [last], "always": [kept]}]}
        (tmp_path / "play.yml").write_text(yaml.safe_dump([play]))
        (tmp_path / "hosts.yml").write_text(yaml.safe_dump({"all": {"hosts": {self.name: host}}}))
        command = [sys.executable, "-m", "ansible", "playbook", str(tmp_path / "play.yml"), "-i"]
        command += [str(tmp_path / "hosts.yml")] + (["--check"] if check_mode else [])
        environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_STDOUT_CALLBACK": "default"}
        options = {"capture_output": True, "text": True, "timeout": 300}
        done = subprocess.run(command, cwd=ROOT, env=environment, check=False, **options)
        assert (tmp_path / "last.json").exists(), done.stdout + done.stderr
        assert PASSWORD not in done.stdout
        result = json.loads((tmp_path / "last.json").read_text())
        return {**result, "output": done.stdout + done.stderr, "status": done.returncode}

    def metrics(self) -> dict[str, float]:
        """As node_exporter hands them to Prometheus."""
        address = "http://127.0.0.1:9100/metrics"
        script = f"import urllib.request as u; print(u.urlopen('{address}', timeout=5).read().decode())"
        lines = self.shell(f'python3 -c "{script}"').splitlines()
        found = {line.partition("{")[0]: float(line.split()[-1]) for line in lines if line.startswith("tria_backup")}
        errors = [line for line in lines if line.startswith("node_textfile_scrape_error")]
        assert errors == ["node_textfile_scrape_error 0"]
        return found

    def fact(self) -> dict[str, t.Any]:
        return json.loads(self.shell(FACT))


@pytest.fixture(name="host", scope="module")
def host_fixture() -> t.Iterator[Host]:
    host = Host(f"tria-test-schedule-{uuid.uuid4().hex[:8]}")
    command = ["docker", "run", "--detach", "--name", host.name, "--privileged", "--cgroupns=host"]
    command += ["--volume=/sys/fs/cgroup:/sys/fs/cgroup:rw", "--tmpfs=/run", "--tmpfs=/run/lock"]
    subprocess.run([*command, os.environ["TRIA_TEST_HOST_IMAGE"]], check=True, capture_output=True)
    try:
        wait_until_up(host.name)
        host.shell(INSTALL)
        sql = f"CREATE ROLE backup SUPERUSER LOGIN PASSWORD $w${PASSWORD}$w$; CREATE DATABASE shop OWNER backup"
        for each in sql.split("; "):
            subprocess.run(
                ["docker", "exec", "--interactive", "--user", "postgres", host.name, "psql", "-q"],
                input=each, text=True, check=True, capture_output=True,
            )
        rows = "CREATE TABLE item AS SELECT g FROM generate_series(1, 1000) g"
        host.shell(f'su postgres -c "psql -q -d shop -c \'{rows}\'"')
        yield host
    finally:
        subprocess.run(["docker", "rm", "--force", "--volumes", host.name], check=True, capture_output=True)


def scheduled(**options: t.Any) -> dict[str, t.Any]:
    arguments = {
        "name": "shop",
        "calendar": "*-*-* 03:10:00",
        "cron": "10 3 * * *",
        "delay": 60,
        "metrics": "/var/lib/prometheus/node-exporter",
        "dest": "/var/backups/shop",
        "login_host": "127.0.0.1",
        "login_user": "backup",
        "login_password": PASSWORD,
        "dbname": "shop",
    }
    return {"tria.production.pg_backup_schedule": {**arguments, **options}}


def health(max_age: float) -> dict[str, t.Any]:
    target = {"name": "backup", "backup": {"dest": "/var/backups/shop", "dbname": "shop", "max_age": max_age}}
    return {"tria.production.service_health": {"targets": [target]}}


@pytest.mark.slow
def test_a_host_with_systemd(host: Host, tmp_path: pathlib.Path) -> None:
    """From nothing to a schedule that runs, fails, is told of, and is taken away; in the order of its life."""
    # check mode, installing, again
    assert host.play(tmp_path, scheduled(), check_mode=True)["changed"] and host.shell(OF_THE_SCHEDULE) == ""
    first = host.play(tmp_path, scheduled())
    assert first["changed"] and first["schedule"]["last_success"] is None, first["output"]
    assert first["schedule"]["next_due"][10:16] in ("T03:10", "T03:11")
    again = host.play(tmp_path, scheduled())
    assert not again["changed"] and again["files"] == [], again["output"]
    assert PASSWORD not in host.shell(f"systemctl cat {UNIT}.service {UNIT}.timer; systemctl show {UNIT}.service")
    assert "no backup was due yet" in host.play(tmp_path, health(26))["results"][0]["message"]
    units = f"/etc/systemd/system/{UNIT}.service /etc/systemd/system/{UNIT}.timer"
    assert UNIT not in host.shell(f"systemd-analyze verify {units}", check=False)

    # a run, as everybody sees it
    host.shell(f"systemctl start {UNIT}.service")
    assert "backed up to /var/backups/shop/shop-" in host.shell(f"journalctl --unit {UNIT} --output cat")
    fact, metrics = host.fact(), host.metrics()
    assert fact["last_success"] and fact["verified"] == "archive" and fact["failures"] == 0 and fact["next_due"]
    assert metrics["tria_backup_last_run_success"] == 1
    assert metrics["tria_backup_last_success_size_bytes"] == fact["size_bytes"]
    known = host.play(tmp_path, {"ansible.builtin.setup": {"filter": "ansible_local"}})["ansible_facts"]
    assert known["ansible_local"]["shop_backup"]["last_success"] == fact["last_success"]
    seen = host.play(tmp_path, health(26))["results"][0]
    assert seen["status"] == "pass" and seen["data"]["path"] == fact["path"]
    found = host.play(tmp_path, health(0.00001))
    assert found["failed"] and found["culprit"] == "backup" and found["remedy"]
    assert "hours are allowed" in found["cause"]
    modes = "stat -c %a /etc/tria.production/backups/shop/options.json /var/backups/shop /var/backups/shop/*"
    assert host.shell(modes).split() == ["600", "700", "600", "600", "600"]

    # the server stops: told by the unit, the metrics, the fact and the check; the backup before stays
    host.shell("systemctl stop postgresql")
    host.shell(f"systemctl start {UNIT}.service", check=False)
    assert host.shell(f"systemctl is-failed {UNIT}.service") == "failed\n"
    assert host.metrics()["tria_backup_last_run_success"] == 0 and host.fact()["last_success"] == fact["last_success"]
    seen = host.play(tmp_path, health(26))["results"][0]
    assert seen["status"] == "warn" and "psql ended with status 2" in seen["message"]
    host.shell("systemctl start postgresql; mv /var/backups/shop /var/backups/moved")
    host.shell(f"systemctl start {UNIT}.service", check=False)
    assert "Read-only file system: '/var/backups/shop'" in host.shell(f"journalctl --unit {UNIT} --output cat")
    assert host.metrics()["tria_backup_last_run_success"] == 0
    host.shell("mv /var/backups/moved /var/backups/shop")

    # another time, a stopped timer, a time that is none
    changed = host.play(tmp_path, scheduled(calendar="*-*-* *:*:0/5", delay=0))
    assert [pathlib.Path(each).suffix for each in changed["files"]] == [".timer", ".json"], changed["output"]
    until(lambda: host.fact()["last_success"] > fact["last_success"], 60)
    host.shell(f"systemctl disable --now {UNIT}.timer")
    assert host.play(tmp_path, scheduled())["changed"]
    until(lambda: host.fact()["next_due"], 20)
    refused = host.play(tmp_path, scheduled(calendar="at night"))
    assert refused["failed"] and refused["culprit"] == "calendar" and refused["remedy"]

    # taken away
    gone = {"tria.production.pg_backup_schedule": {"name": "shop", "state": "absent"}}
    assert host.play(tmp_path, gone, check_mode=True)["changed"] and host.shell(f"systemctl is-active {UNIT}.timer")
    assert host.play(tmp_path, gone)["changed"] and host.shell(OF_THE_SCHEDULE) == ""
    assert not host.play(tmp_path, gone)["changed"]
    assert UNIT not in host.shell("systemctl list-units --all --no-legend; systemctl list-timers --all --no-legend")
    assert host.shell("ls /var/backups/shop/*.json") and "tria_backup_failures" not in host.metrics()


@pytest.mark.slow
def test_a_host_with_cron_alone(host: Host, tmp_path: pathlib.Path) -> None:
    """The same host without systemd: nobody but cron starts the program."""
    image = f"{host.name}:cron"
    subprocess.run(["docker", "commit", host.name, image], check=True, capture_output=True)
    other = Host(f"{host.name}-cron")
    command = ["docker", "run", "--detach", "--name", other.name, "--privileged", "--tmpfs=/run"]
    command += [f"--network=container:{host.name}", image, "cron", "-f"]
    try:
        subprocess.run(command, check=True, capture_output=True)
        made = other.play(tmp_path, scheduled(cron="* * * * *"))
        assert made["changed"] and made["schedule"]["next_due"], made["output"]
        assert not other.play(tmp_path, scheduled(cron="* * * * *"))["changed"]
        before = other.fact()["last_success"]
        until(lambda: other.fact()["last_success"] != before, 100)
        assert other.fact()["last_error"] is None and other.fact()["verified"] == "archive"
        refused = other.play(tmp_path, scheduled(cron=""))
        assert refused["failed"] and "has no systemd" in refused["msg"]
    finally:
        subprocess.run(["docker", "rm", "--force", "--volumes", other.name], check=False, capture_output=True)
        subprocess.run(["docker", "rmi", image], check=True, capture_output=True)
