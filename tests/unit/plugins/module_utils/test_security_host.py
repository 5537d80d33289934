# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The rules for a host: each fault is planted in files, programs or answers of the kernel."""

from __future__ import annotations

import datetime
import json
import os
import socket
import subprocess
import time

import pytest

from ansible_collections.tria.production.plugins.module_utils import _ports
from ansible_collections.tria.production.plugins.module_utils._backup import manifest
from ansible_collections.tria.production.plugins.module_utils._security import host, rules

OPTIONS = {
    "secret_files": [], "disk_paths": ["/"], "min_disk_percent": 0, "min_inodes_percent": 0, "public_ports": [443],
    "backup_path": None, "max_backup_age": 26, "project_src": None,
}


@pytest.fixture()
def machine(tmp_path, monkeypatch):
    """A good host of files: nothing of the real one is looked at, but for what a test asks."""
    for name in ("proc", "bin", "lists"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr(host, "PROC", str(tmp_path / "proc"))
    monkeypatch.setattr(host, "DAEMON_CONFIG", str(tmp_path / "daemon.json"))
    monkeypatch.setattr(host, "DOCKER_SOCKET", str(tmp_path / "docker.sock"))
    monkeypatch.setattr(host, "APT_LISTS", str(tmp_path / "lists"))
    monkeypatch.setattr(host, "SEARCH_PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    monkeypatch.setattr(host._ports, "published", lambda: ([], ""))
    monkeypatch.setattr(host._host, "kernel_clock_synchronised", lambda: True)
    program(tmp_path, "sshd", "echo permitrootlogin without-password; echo passwordauthentication no")
    program(tmp_path, "apt", "echo 'Listing...'")
    program(tmp_path, "iptables", "exit 1")
    (tmp_path / "lists" / "example_Packages").write_text("", encoding="utf-8")
    return tmp_path


def program(machine, name, script):
    path = machine / "bin" / name
    path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    path.chmod(0o755)


def dockerd(machine, *arguments):
    folder = machine / "proc" / "42"
    folder.mkdir(exist_ok=True)
    (folder / "comm").write_text("dockerd\n", encoding="utf-8")
    (folder / "cmdline").write_text("\0".join(["/usr/bin/dockerd", *arguments, ""]), encoding="utf-8")


def seen(rule, **options):
    """(status, message) of each subject of one rule."""
    found = list(host.observe({**OPTIONS, **options}))
    assert {one.rule.name for one in found} == {one.name for one in rules.GROUPS["The host"]}
    return {one.subject: (one.status, one.message) for one in found if one.rule.name == rule}


@pytest.mark.parametrize(
    "arguments",
    [["-H", "tcp://0.0.0.0:2375"], ["--host=tcp://127.0.0.1:2375"], ["-Htcp://10.0.0.1:2375", "--tls"]],
)
def test_the_docker_api_on_open_tcp(machine, arguments):
    dockerd(machine, "-H", "unix:///var/run/docker.sock", *arguments)
    assert seen("docker_api")["dockerd"][0] == "fail"


def test_the_docker_api_in_the_configuration(machine):
    assert seen("docker_api")["dockerd"][0] == "skip"
    config = {"hosts": ["fd://", "tcp://0.0.0.0:2376"]}
    (machine / "daemon.json").write_text(json.dumps(config), encoding="utf-8")
    assert seen("docker_api")["dockerd"] == ("fail", "listens on tcp://0.0.0.0:2376 without tlsverify")
    (machine / "daemon.json").write_text(json.dumps({**config, "tlsverify": True}), encoding="utf-8")
    assert seen("docker_api")["dockerd"] == ("pass", "")
    (machine / "daemon.json").write_text("{", encoding="utf-8")
    assert seen("docker_api")["dockerd"][0] == "error"


def test_a_docker_api_that_asks_for_certificates(machine):
    dockerd(machine, "-H", "tcp://0.0.0.0:2376", "--tlsverify")
    assert seen("docker_api")["dockerd"] == ("pass", "")


def test_the_mode_of_the_docker_socket(machine, monkeypatch):
    path = str(machine / "docker.sock")
    assert seen("docker_socket_mode")[path] == ("skip", "does not exist")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
    os.chmod(path, 0o660)
    real = os.stat
    state = list(real(path))
    monkeypatch.setattr(host.os, "stat", lambda where: os.stat_result(state) if where == path else real(where))
    state[4], state[5] = 0, 0
    assert seen("docker_socket_mode")[path] == ("pass", "")
    state[0] |= 0o006
    assert seen("docker_socket_mode")[path] == ("fail", "has mode 0666")
    state[0] &= ~0o007
    state[4], state[5] = 1000, 54321
    assert seen("docker_socket_mode")[path] == ("fail", "belongs to uid 1000, belongs to the group 54321")


def test_secret_files(machine):
    path = machine / "env"
    path.write_text("PASSWORD=x\n", encoding="utf-8")
    path.chmod(0o600)
    link, absent = machine / "link", machine / "absent"
    link.symlink_to(path)
    given = [str(path), str(link), str(absent)]
    found = seen("secret_files", secret_files=given)
    assert [found[one] for one in given] == [
        ("pass", ""), ("fail", "is a symbolic link"), ("skip", "does not exist")
    ]
    path.chmod(0o640)
    assert seen("secret_files", secret_files=given[:1])[str(path)] == ("fail", "has mode 0640")
    assert seen("secret_files")[""][0] == "inapplicable"


def test_secret_files_in_git(machine):
    path = machine / "prod.env"
    path.write_text("PASSWORD=x\n", encoding="utf-8")
    path.chmod(0o600)
    git = ["git", "-C", str(machine), "-c", "init.defaultBranch=main"]
    subprocess.run([*git, "init", "--quiet"], check=True)
    assert seen("secret_files", secret_files=[str(path)])[str(path)] == ("pass", "")
    subprocess.run([*git, "add", "prod.env"], check=True)
    assert seen("secret_files", secret_files=[str(path)])[str(path)] == ("fail", "is tracked by git")


def test_a_secret_file_of_somebody_else(machine, monkeypatch):
    path = machine / "env"
    path.write_text("", encoding="utf-8")
    path.chmod(0o600)
    state = list(os.lstat(path))
    state[4] = 4242
    real = os.lstat
    monkeypatch.setattr(host.os, "lstat", lambda where: os.stat_result(state) if where == str(path) else real(where))
    assert seen("secret_files", secret_files=[str(path)])[str(path)] == ("fail", "belongs to uid 4242")


@pytest.mark.parametrize(
    "change, told",
    [
        ({"f_bavail": 3}, "has 3.0 % of its space free, 10 % needed"),
        ({"f_favail": 1}, "has 1.0 % of its inodes free, 5 % needed"),
        ({"f_flag": os.ST_RDONLY}, "is mounted read-only"),
        ({"f_files": 0, "f_favail": 0}, ""),
    ],
)
def test_disks(machine, monkeypatch, change, told):
    values = {"f_bavail": 50, "f_blocks": 100, "f_favail": 50, "f_files": 100, "f_flag": 0, **change}
    monkeypatch.setattr(host.os, "statvfs", lambda _path: type("State", (), values))
    found = seen("disk", disk_paths=["/opt/none/of/it"], min_disk_percent=10, min_inodes_percent=5)
    assert found == {"/opt/none/of/it": ("fail" if told else "pass", told)}


@pytest.mark.parametrize("answer, status", [(True, "pass"), (False, "fail"), (None, "skip")])
def test_the_clock(machine, monkeypatch, answer, status):
    monkeypatch.setattr(host._host, "kernel_clock_synchronised", lambda: answer)
    assert seen("clock")[""][0] == status


def test_ssh_logins(machine):
    assert seen("sshd")["sshd"] == ("pass", "")
    program(machine, "sshd", "echo permitrootlogin yes; echo passwordauthentication yes; echo port 22")
    assert seen("sshd")["sshd"] == ("fail", "PermitRootLogin is yes, passwordauthentication is yes")
    program(machine, "sshd", "echo 'no hostkeys available' >&2; exit 1")
    assert seen("sshd")["sshd"] == ("error", "sshd failed: no hostkeys available")
    (machine / "bin" / "sshd").unlink()
    assert seen("sshd")["sshd"] == ("skip", "is not installed")


def test_security_updates(machine):
    assert seen("security_updates")[""] == ("pass", "")
    program(machine, "apt", "echo 'bash/stable 5.2 amd64 [upgradable from: 5.1]'")
    assert seen("security_updates")[""] == ("pass", "")
    old = time.time() - 20 * 86400
    os.utime(machine / "lists" / "example_Packages", (old, old))
    assert seen("security_updates")[""] == ("skip", "apt's package lists are 20 days old: apt-get update")
    program(machine, "apt", "echo 'libc6/stable-security 2.36 amd64 [upgradable from: 2.35]'")
    assert seen("security_updates")[""] == ("fail", "1 pending: libc6")
    (machine / "lists" / "example_Packages").unlink()
    assert seen("security_updates")[""][0] == "skip"


def test_published_ports_and_the_firewall(machine, monkeypatch):
    published = [_ports.Published("127.0.0.1", 5432, "db", "shop"), _ports.Published("0.0.0.0", 443, "edge", "shop")]
    monkeypatch.setattr(host._ports, "published", lambda: (published, ""))
    assert seen("firewall") == {"": ("pass", "")}
    published.append(_ports.Published("0.0.0.0", 9000, "admin", ""))
    status, message = seen("firewall")["port 9000"]
    assert status == "fail" and message.startswith("admin publishes it")
    program(machine, "iptables", "echo '-A DOCKER-USER -i eth0 -j DROP'")
    assert seen("firewall")["port 9000"][0] == "skip"
    monkeypatch.setattr(host._ports, "published", lambda: ([], "the Docker Engine does not answer"))
    assert seen("firewall") == {"": ("skip", "the Docker Engine does not answer")}


def backup(folder, hours, verified="archive"):
    made = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(hours=hours)
    (folder / "shop.dump").write_bytes(b"dump")
    record = manifest.Manifest(
        created_at=made.isoformat(timespec="seconds"), dbname="shop", source={}, globals=None, compression="zstd",
        dump=manifest.File("shop.dump", 4, ""), archive_bytes=4, database_size_bytes=9, server_version="15",
        pg_dump_version="15", entries=1, tables=1, verified=verified, duration_s=1.0,
    )
    (folder / "shop.dump.json").write_bytes(record.as_json())


def test_backups(machine):
    assert seen("backup_age")[""][0] == "inapplicable"
    path = str(machine)
    assert seen("backup_age", backup_path=path)[path] == ("fail", "holds no complete backup")
    backup(machine, 2)
    assert seen("backup_age", backup_path=path)[path] == ("pass", "")
    backup(machine, 30, "none")
    assert seen("backup_age", backup_path=path)[path] == (
        "fail", "its newest backup is 30 hours old, 26 are allowed, its newest backup was not verified"
    )


@pytest.mark.parametrize(
    ("hours", "previous", "status"), [(2, "", "skip"), (30, "", "fail"), (2, "20260101T000000Z-0", "fail")]
)
def test_a_stack_that_was_just_deployed_first_needs_no_backup_yet(machine, hours, previous, status):
    made = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(hours=hours)
    record = {"created_at": made.isoformat(timespec="seconds"), "previous": previous}
    (machine / "release.json").write_text(json.dumps(record), encoding="utf-8")
    path = str(machine)
    assert seen("backup_age", backup_path=path, project_src=path)[path][0] == status


def test_a_program_that_hangs_is_an_error(machine, monkeypatch):
    monkeypatch.setattr(host, "_PROGRAM_S", 0.2)
    program(machine, "sshd", "exec sleep 5")
    assert seen("sshd")["sshd"] == ("error", "sshd did not end within 0.2 s")
