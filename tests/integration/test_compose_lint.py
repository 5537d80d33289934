# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""compose-lint beside the rules of `security_check`: about our own Compose files, and about the same planted faults."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from ansible_collections.tria.production.plugins.module_utils._security import engine
from ansible_collections.tria.production.plugins.modules import security_check
from deployed_stack import EXAMPLE, ROOT

GRAVE = ("critical", "high")
FILES = [EXAMPLE / "compose.yaml", ROOT / "examples" / "project" / "stack" / "compose.yaml"]


def bind(source, target="/x", read_only=False):
    return {"volumes": [{"type": "bind", "source": source, "target": target, "read_only": read_only}]}


PLANTED = {
    "socket": bind("/var/run/docker.sock", read_only=True),
    "containerd": bind("/run/containerd", read_only=True),
    "privileged": {"privileged": True},
    "disk": {"devices": ["/dev/sda:/dev/sda"]},
    "device-rule": {"device_cgroup_rules": ["b *:* rwm"]},
    "all": {"cap_add": ["ALL"]},
    "kernel": {"cap_add": ["SYS_MODULE"]},
    "network-admin": {"cap_add": ["NET_ADMIN"]},
    "clock": {"cap_add": ["SYS_TIME"]},
    "kernel-log": {"cap_add": ["SYSLOG"]},
    "cron": bind("/etc/cron.d"),
    "programs": bind("/usr/local/bin"),
    "engine-data": bind("/var/lib/docker", read_only=True),
    "snapshots": bind("/var/lib/containerd"),
    "keys": bind("/home/me/.ssh", read_only=True),
    "bus": bind("/run/dbus/system_bus_socket"),
    "systemd": bind("/run/systemd", read_only=True),
    "shared-memory": bind("/dev/shm"),
    "homes": bind("/home"),
    "host-network": {"network_mode": "host"},
    "host-processes": {"pid": "host"},
    "unconfined": {"security_opt": ["seccomp:unconfined"]},
    "secret": {"environment": {"DB_PASSWORD": "h7Tq2ZpW8sVd4NxKc1Jr"}},
    "url": {"environment": {"DATABASE_URL": "postgres://app:h7Tq2ZpW8sVd4NxKc1Jr@db/x"}},
}


def linted(path):
    """What compose-lint finds: (service, severity, rule, message)."""
    command = [sys.executable, "-m", "compose_lint", "check", "--format", "json", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    findings = json.loads(done.stdout)["findings"]
    return [(one["service"], one["severity"], one["rule_id"], one["message"]) for one in findings]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.parent.name)
def test_our_compose_files_have_no_grave_finding(path):
    """Nor any other than that images are named by tags, not by digests: a release names them by their content."""
    assert [one for one in linted(path) if one[2] != "CL-0019"] == []


def test_what_it_finds_grave_is_found_by_the_rules_too(tmp_path):
    services = {name: {"image": "debian:12.8", **change} for name, change in PLANTED.items()}
    path = tmp_path / "compose.yaml"
    path.write_text(json.dumps({"name": "planted", "services": services}), encoding="utf-8")
    theirs = {service for service, severity, _rule, _message in linted(path) if severity in GRAVE}
    options = {name: option.get("default") for name, option in security_check.argument_spec().items()}
    found = engine.check({**options, "areas": ["compose"], "project_src": str(tmp_path), "fail_on": "never"})
    ours = {subject for row in found["results"] if row["status"] == "fail" for subject in row["data"]["subjects"]}
    assert theirs == set(PLANTED), "every one of them is grave to compose-lint"
    assert ours == set(PLANTED)
