# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Host checks: each one with the fault it looks for planted."""

from __future__ import annotations

import errno
import os
import socket
import time

import pytest

from ansible_collections.tria.production.plugins.module_utils import _deps, _docker, _host, _ports
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError

DEBIAN = 'ID=debian\nVERSION_ID="12"\nVERSION_CODENAME=bookworm\n# a comment\nEMPTY=\n'


@pytest.fixture(autouse=True)
def no_engine(monkeypatch):
    """These tests ask no Docker Engine; tests/integration does."""

    def connect(timeout):
        raise ProductionError("Docker Engine", "does not answer")

    monkeypatch.setattr(_docker, "connect", connect)


@pytest.fixture
def debian(tmp_path, monkeypatch):
    path = tmp_path / "os-release"
    path.write_text(DEBIAN)
    monkeypatch.setattr(_host, "OS_RELEASE", str(path))
    return path


@pytest.fixture
def listening():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


def wanted(**changed):
    """Requirements that every machine meets."""
    options = {
        "distributions": {"Debian": ["12"]},
        "architectures": [os.uname().machine],
        "min_cores": 1,
        "min_memory_mb": 1,
        "min_disk_gb": 0,
        "disk_paths": ["/"],
        "min_inodes_percent": 0,
        "ports": [],
        "ports_owned_by": None,
        "clock_sync": "ignored",
        "controller_time": None,
        "max_clock_offset": 30,
        "resolve_names": [],
        "resolve_timeout": 5,
        "writable_paths": [],
    }
    return {**options, **changed}


def failing(**changed):
    """name -> result of what does not pass."""
    try:
        outcome = _host.check_host(wanted(**changed))
    except ProductionError as exc:
        outcome = exc.details
    return {row["name"]: row for row in outcome["results"] if row["status"] not in ("pass", "skip")}


def test_a_good_host_passes(debian):
    outcome = _host.check_host(wanted())
    assert {row["status"] for row in outcome["results"]} <= {"pass", "skip"}
    assert {row["category"] for row in outcome["results"]} == {"Preflight"}
    host = outcome["host"]
    assert (host["distribution"], host["version"], host["codename"]) == ("Debian", "12", "bookworm")
    assert host["memory_mb"] > 100 and host["cores"] >= 1 and host["init"] in ("systemd", "other")


def test_every_shortfall_is_reported_at_once(debian, listening):
    with pytest.raises(ProductionError) as raised:
        _host.check_host(
            wanted(min_cores=10_000, min_memory_mb=10**9, ports=[{"host": "127.0.0.1", "port": listening}])
        )
    message = str(raised.value)
    assert "does not meet 3 requirements" in message
    for name in ("CPU cores", "Memory", f"Port 127.0.0.1:{listening}"):
        assert f"\n- {name}: " in message
    assert raised.value.details["host"]["cores"] == os.cpu_count()


@pytest.mark.parametrize(
    ("content", "allowed", "good"),
    [
        (DEBIAN, {"Debian": ["12"]}, True),
        (DEBIAN, {"debian": [12]}, True),
        (DEBIAN, {"Debian": []}, True),
        (DEBIAN, {"Debian": ["13"], "Ubuntu": ["12"]}, False),
        ("ID=debian\nPRETTY_NAME='trixie/sid'\n", {"Debian": ["12"]}, False),
        ("ID='alpine'\nVERSION_ID=3.20\n", {"Debian": ["12"]}, False),
        ("", {"Debian": ["12"]}, False),
    ],
)
def test_distribution(debian, content, allowed, good):
    debian.write_text(content)
    assert ("Distribution" not in failing(distributions=allowed)) is good


def test_no_os_release_at_all(debian):
    debian.unlink()
    assert failing()["Distribution"]["message"] == "Unknown without a version"


def test_architecture(debian):
    assert failing(architectures=["s390x"])["Architecture"]["remedy"] == "Supported are s390x."


def test_memory_is_what_the_kernel_has(debian, tmp_path, monkeypatch):
    (tmp_path / "meminfo").write_text("MemTotal:  2097152 kB\nMemAvailable:  1048576 kB\nHugePages_Total:  0\n")
    monkeypatch.setattr(_host, "MEMINFO", str(tmp_path / "meminfo"))
    assert failing(min_memory_mb=2049)["Memory"]["message"] == "2048 MB found, 2049 MB needed"
    assert not failing(min_memory_mb=2048)


def test_a_host_that_tells_nothing(debian, monkeypatch):
    monkeypatch.setattr(_host, "MEMINFO", "/nonexistent")
    with pytest.raises(ProductionError, match="tells nothing about itself"):
        _host.check_host(wanted())


def test_disk_and_inodes(debian, tmp_path):
    found = failing(disk_paths=[str(tmp_path / "not/yet/there")], min_disk_gb=10**6, min_inodes_percent=101)
    assert [name.split(" /")[0] for name in found] == ["Disk space", "Inodes"]


def test_paths_of_one_file_system_are_one_check(debian, tmp_path):
    results = _host.check_host(wanted(disk_paths=[str(tmp_path / "a"), str(tmp_path / "b")]))["results"]
    assert [row["name"] for row in results if row["name"].startswith("Disk")] == [
        f"Disk space {tmp_path}/a, {tmp_path}/b"
    ]


def test_a_file_system_without_inodes_is_skipped_with_its_reason(debian, monkeypatch):
    real = os.statvfs("/")
    monkeypatch.setattr(os, "statvfs", lambda path: os.statvfs_result([*real[:5], 0, 0, 0, *real[8:]]))
    [inodes] = [row for row in _host.check_host(wanted())["results"] if row["name"].startswith("Inodes")]
    assert (inodes["status"], inodes["message"]) == ("skip", "this file system has no fixed number of inodes")


def test_writable(debian, tmp_path):
    (tmp_path / "file").write_text("")
    path = str(tmp_path / "file" / "below")
    assert "is not a folder" in failing(writable_paths=[path])[f"Writable {path}"]["message"]
    assert not failing(writable_paths=[str(tmp_path / "not" / "yet")])
    # nobody may create files in /proc, root included
    assert "is not writable for uid" in failing(writable_paths=["/proc/1"])["Writable /proc/1"]["message"]


def test_a_held_port_names_its_holder(debian, listening):
    found = failing(ports=[{"host": "0.0.0.0", "port": listening}])
    assert f"(pid {os.getpid()})" in found[f"Port 0.0.0.0:{listening}"]["message"]
    assert "does not answer" in found[f"Port 0.0.0.0:{listening}"]["message"]


def test_a_port_held_on_another_address_is_free(debian, listening):
    assert not failing(ports=[{"host": "127.0.0.2", "port": listening}])


def test_a_port_that_was_just_closed_is_free(debian):
    with socket.socket() as server, socket.socket() as client:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        client.connect(("127.0.0.1", port))
        server.accept()[0].close()  # leaves TIME_WAIT on the server's side
    assert not failing(ports=[{"host": "127.0.0.1", "port": port}])


def test_an_address_that_is_not_here(debian):
    found = failing(ports=[{"host": "192.0.2.1", "port": 80}])
    assert "cannot be listened on" in found["Port 192.0.2.1:80"]["message"]


def test_a_host_that_is_no_address_is_an_error(debian):
    assert failing(ports=[{"host": "localhost", "port": 80}])["Free ports"]["status"] == "error"


def test_a_low_port_without_privilege_is_judged_by_the_listeners(debian, listening, monkeypatch):
    monkeypatch.setattr(_ports, "bind_error", lambda host, port: errno.EACCES)
    assert failing(ports=[{"host": "127.0.0.1", "port": listening}])
    assert not failing(ports=[{"host": "127.0.0.2", "port": listening}])


def test_publishers_ours_and_others(debian, monkeypatch):
    mine = _ports.Published("0.0.0.0", 80, "tria-edge-1", "tria")
    other = _ports.Published("127.0.0.1", 81, "web", "")
    monkeypatch.setattr(_ports, "published", lambda: ([mine, other], ""))
    ports = [{"host": "127.0.0.1", "port": 80}, {"host": "0.0.0.0", "port": 81}]
    found = failing(ports=ports, ports_owned_by="tria")
    assert list(found) == ["Port 0.0.0.0:81"]
    assert found["Port 0.0.0.0:81"]["message"] == "published by container web"
    assert "docker stop web" in found["Port 0.0.0.0:81"]["remedy"]
    assert "container tria-edge-1 (tria)" in failing(ports=ports)["Port 127.0.0.1:80"]["message"]


def test_without_the_library_the_engine_is_not_asked(monkeypatch):
    def load(name):
        raise _deps.MissingLibrary(name)

    monkeypatch.setattr(_deps, "load", load)
    found, unasked = _ports.published()
    assert found == [] and "without the Python library docker" in unasked


def test_listeners_of_ipv6_and_of_a_kernel_without_it(tmp_path):
    with socket.socket(socket.AF_INET6) as server:
        server.bind(("::1", 0))
        server.listen()
        port = server.getsockname()[1]
        [found] = _ports.listeners(port)
        assert (found.host, found.port) == ("::1", port) and f"(pid {os.getpid()})" in found.holder
    net = tmp_path / "self" / "net"
    net.mkdir(parents=True)
    row = "0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 4711 1"
    (net / "tcp").write_text(f"header\n{row}\n")
    assert _ports.listeners(8080, str(tmp_path)) == [_ports.Listener("127.0.0.1", 8080, "")]


@pytest.mark.parametrize(
    ("policy", "kernel", "status"),
    [
        ("required", False, "fail"),
        ("recommended", False, "warn"),
        ("required", True, "pass"),
        ("required", None, "skip"),
        ("ignored", False, "skip"),
    ],
)
def test_clock_synchronised(debian, monkeypatch, policy, kernel, status):
    monkeypatch.setattr(_host, "kernel_clock_synchronised", lambda: kernel)
    [result] = list(_host._clock_synchronised(policy))
    assert result.status == status


def test_the_kernel_is_really_asked():
    assert _host.kernel_clock_synchronised() in (True, False, None)


@pytest.mark.parametrize(
    ("ahead", "good", "words"),
    [
        (0, True, "agrees with"),
        (_host.TRANSPORT_S + 29, True, "ahead of"),
        (_host.TRANSPORT_S + 40, False, "40 s ahead of the controller"),
        (-20, True, "behind"),
        (-31, False, "31 s behind the controller"),
    ],
)
def test_clock_offset(ahead, good, words):
    [result] = list(_host._clock_offset(time.time() - ahead, 30))
    assert (result.status == "pass") is good
    assert words in result.message


def test_names(debian, monkeypatch):
    found = failing(resolve_names=["localhost", "nowhere.invalid", "a" * 64 + ".example"])
    assert list(found) == ["Resolve nowhere.invalid", f"Resolve {'a' * 64}.example"]

    monkeypatch.setattr(socket, "getaddrinfo", lambda name, port: time.sleep(5))
    started = time.monotonic()
    found = failing(resolve_names=["a.example", "b.example", "c.example"], resolve_timeout=0.2)
    assert time.monotonic() - started < 2, "names are waited for together"
    assert {row["message"] for row in found.values()} == {"no answer within 0.2 s"}


def test_what_cannot_be_looked_at_is_an_error(debian, monkeypatch):
    def unreadable(path):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "statvfs", unreadable)
    assert failing()["Disks"]["status"] == "error"
