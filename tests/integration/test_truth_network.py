# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The truth about servers, networks and clocks that misbehave: verdict, time to it and words, of both modules."""

from __future__ import annotations

import contextlib
import datetime
import os
import pathlib
import random
import signal
import socket
import struct
import threading
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from probe_stack import (
    LATE,
    SteppedClock,
    answer_of,
    by_name,
    children,
    elsewhere,
    health,
    http,
    never_ready,
    peer,
    refused,
    refused_at_once,
    start_module,
    wait,
)

DAY = datetime.timedelta(days=1)


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def at(kind, port, timeout=0.4, **options):
    return {"name": "it", "timeout": timeout, kind: {"port": port, **options}}


# --- servers that accept and then do not serve ------------------------------------------------------------------------


@pytest.mark.parametrize("kind, options", [("http", {}), ("redis", {}), ("postgres", {"dbname": "x"})])
def test_accepts_and_never_answers(kind, options):
    with peer("silent") as (port, _pid):
        target = http(port, "it", timeout=0.4) if kind == "http" else at(kind, port, **options)
        error = never_ready(target, "no answer within", "answer")
    assert error.details["attempts"] >= 2, "an attempt ends by its own timeout, not with the wait"


def test_slow_drip():
    with peer("drip") as (port, _pid):
        never_ready(http(port, timeout=0.4), "no answer within", "answer")


def test_resets():
    with peer("reset") as (port, _pid):
        error = never_ready(http(port), "Connection reset by peer", "response")
        assert error.details["attempts"] > 5, "a reset is known at once, so there is time for many attempts"
        never_ready(at("redis", port), "Connection reset by peer", "answer")


def test_flapping_is_not_ready_when_it_has_to_last():
    with peer("flap", "0.25") as (port, _pid):
        error = refused(http(port), timeout=2.0, stable_for=1.0)
    result = error.details["results"][0]["data"]
    assert error.took >= 2.0 and result["flaps"] >= 2 and not result["ready"]
    assert {"GET answered 200", "status 503 instead of 200"} <= {entry["message"] for entry in result["timeline"]}


def test_flapping_is_not_ready_when_it_has_to_succeed_often_enough():
    with peer("flap", "0.1") as (port, _pid):
        error = refused(http(port), timeout=1.5, successes=10)
    assert error.details["results"][0]["data"]["flaps"] >= 2


def test_what_was_ready_and_flaps_no_more_is_ready():
    with peer("good") as (port, _pid):
        found = wait(http(port), stable_for=0.5, successes=5)
    assert 0.5 <= found["elapsed"] < 1.5 and found["results"][0]["data"]["attempts"] >= 5


@pytest.mark.parametrize("kind", ["http", "tcp"])
def test_a_stopped_server_still_accepts_connections(kind):
    with peer("good") as (port, pid):
        os.kill(pid, signal.SIGSTOP)
        if kind == "tcp":  # all that this kind promises is that the kernel accepts
            assert wait(at("tcp", port))["overall_status"] == "healthy"
        else:
            never_ready(http(port, timeout=0.4), "no answer within", "answer")


def test_a_server_that_goes_on_is_noticed():
    with peer("good") as (port, pid):
        os.kill(pid, signal.SIGSTOP)
        resumed = []

        def resume():
            resumed.append(time.monotonic())
            os.kill(pid, signal.SIGCONT)

        timer = threading.Timer(0.8, resume)
        timer.start()
        timer.join(0)
        wait(http(port))
        latency = time.monotonic() - resumed[0]
        timer.join()
    assert latency < 0.5, "the request that the kernel had kept is answered at once"


def test_a_server_stopped_after_it_was_ready_is_not_ready():
    late = socket.socket()
    late.bind(("127.0.0.1", 0))
    with peer("good") as (port, pid), late:
        timers = [threading.Timer(0.3, os.kill, (pid, signal.SIGSTOP)), threading.Timer(1.8, late.listen)]
        for timer in timers:
            timer.start()
        error = refused(http(port, timeout=0.4), at("tcp", late.getsockname()[1]), timeout=3.0)
    assert error.culprit == "api" and "no answer within" in error.cause
    assert by_name(error.details)["it"]["data"]["ready"] and error.details["results"][0]["data"]["flaps"] == 1


@pytest.mark.parametrize("module, options", [("service_health", {}), ("readiness_wait", {"timeout": 1.0})])
def test_a_socket_that_connects_to_itself_is_no_server(module, options):
    """On loopback the kernel may give a connect the very port it goes to; here, where there is no other, it must."""
    one = 'ip link set lo up && echo 40000 40000 > /proc/sys/net/ipv4/ip_local_port_range && exec "$@"'
    options = {**options, "targets": [{"name": "it", "tcp": {"port": 40000}}]}
    found = answer_of(start_module(module, options, "unshare", "--net", "sh", "-c", one, "-"))
    assert found["failed"] and "cannot connect to 127.0.0.1 port 40000: " in found["cause"]


# --- names ------------------------------------------------------------------------------------------------------------

NXDOMAIN, SERVFAIL = 3, 2


@contextlib.contextmanager
def name_server(code=None):
    """A name server that answers every question with this code, or with nothing at all; yields its address."""
    address = f"127.{random.randint(1, 254)}.{random.randint(0, 254)}.53"
    closing = threading.Event()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((address, 53))
        sock.settimeout(0.05)

        def serve():
            while not closing.is_set():
                with contextlib.suppress(TimeoutError):
                    question, client = sock.recvfrom(512)
                    if code is not None:
                        flags = struct.pack(">H", 0x8180 | code)
                        sock.sendto(question[:2] + flags + question[4:6] + bytes(6) + question[12:], client)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield address
        finally:
            closing.set()
            thread.join()


def with_name_server(tmp_path, address, request):
    """Runs the request where /etc/resolv.conf names this server alone."""
    configuration = tmp_path / "resolv.conf"
    configuration.write_text(f"nameserver {address}\n")
    own = 'mount --bind "$1" /etc/resolv.conf && shift && exec "$@"'
    return elsewhere(request, "unshare", "--mount", "sh", "-c", own, "-", str(configuration))


@pytest.mark.parametrize(
    "code, expected",
    [
        (NXDOMAIN, "the name shop.example does not resolve: Name or service not known"),
        (SERVFAIL, "the name shop.example does not resolve: Temporary failure in name resolution"),
        (None, "the name shop.example was not resolved within"),
    ],
)
def test_names_that_do_not_resolve(tmp_path, code, expected):
    targets = [
        http(80, host="shop.example", timeout=0.5),
        {"name": "cache", "timeout": 0.5, "redis": {"host": "shop.example"}},
        {"name": "database", "timeout": 0.5, "postgres": {"host": "shop.example", "dbname": "x"}},
    ]
    with name_server(code) as address:
        found = with_name_server(tmp_path, address, {"targets": targets, "settings": {"timeout": 1.2}})
    assert 1.2 <= found["took"] < 1.2 + LATE and found["looked_for"] < 1.2 + LATE
    assert found["exited_after"] < LATE, "the resolver must not hold up the end of the process"
    assert found["waited"]["phase"] == "connect" and found["waited"]["attempts"] >= 2
    results = found["waited"]["results"] + found["looked"]["results"]
    assert len(results) == 6
    for one in results:
        assert one["status"] == "fail" and expected in one["message"], one
        assert ("resolv.conf" if code is None else "host name") in one["remedy"]


# --- certificates -----------------------------------------------------------------------------------------------------


def certificate(folder, name="localhost", days=(-1, 1), signer=None):
    """Makes one, signed by `signer` or by itself: the certificate, its key and the file with both."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.timezone.utc)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    builder = x509.CertificateBuilder().subject_name(subject).public_key(key.public_key())
    builder = builder.issuer_name(signer[0].subject if signer else subject).serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now + days[0] * DAY).not_valid_after(now + days[1] * DAY)
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
    builder = builder.add_extension(x509.BasicConstraints(ca=signer is None, path_length=None), critical=True)
    signed = builder.sign(signer[1] if signer else key, hashes.SHA256())
    plain = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file = folder / f"{signed.serial_number}.pem"
    file.write_bytes(signed.public_bytes(serialization.Encoding.PEM) + plain)
    return signed, key, file


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return certificate(tmp_path_factory.mktemp("authority"), "authority")


@pytest.mark.parametrize(
    "options, expected",
    [
        ({"days": (-3, -1)}, "certificate has expired"),
        ({"days": (1, 3)}, "certificate is not yet valid"),
        ({"name": "other.example"}, "Hostname mismatch, certificate is not valid for 'localhost'"),
    ],
)
def test_wrong_certificates_end_the_wait_at_once(tmp_path, authority, options, expected):
    _certificate, _key, file = certificate(tmp_path, signer=authority, **options)
    with peer("tls", str(file)) as (port, _pid):
        target = http(port, scheme="https", host="localhost", ca_path=str(authority[2]))
        error = refused_at_once(target, f"the certificate of localhost is not valid: {expected}", "tls")
    assert "Renew the certificate" in error.remedy


def test_self_signed_and_unknown_signers_end_the_wait_at_once(tmp_path, authority):
    for signer, expected in ((None, "self-signed certificate"), (authority, "unable to get local issuer certificate")):
        with peer("tls", str(certificate(tmp_path, signer=signer)[2])) as (port, _pid):
            error = refused_at_once(http(port, scheme="https", host="localhost"), expected, "tls")
        assert "ca_path" in error.remedy


def test_the_right_certificate_is_good(tmp_path, authority):
    with peer("tls", str(certificate(tmp_path, signer=authority)[2])) as (port, _pid):
        target = http(port, scheme="https", host="localhost", ca_path=str(authority[2]))
        assert wait(target)["elapsed"] < LATE and health(target)["api"]["status"] == "pass"


def test_no_tls_at_all():
    with peer("good") as (port, _pid):
        never_ready(http(port, scheme="https"), "TLS handshake with 127.0.0.1 failed", "tls")
    with peer("silent") as (port, _pid):
        never_ready(http(port, scheme="https", timeout=0.4), "failed: no answer within", "tls")


# --- the process ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", ["+3600", "-3600"])
def test_a_clock_that_is_set_during_the_wait_changes_no_deadline(tmp_path, step):
    options = {"timeout": 2.0, "targets": [{"name": "it", "tcp": {"port": free_port()}}]}
    with SteppedClock(tmp_path, options) as clock:
        begun = time.monotonic()
        clock.set(step)
        answer = clock.answer()
        assert 1.5 < time.monotonic() - begun < 2.0 + LATE + 0.5  # the process has to end too
    assert answer["failed"] and 2.0 <= answer["elapsed"] < 2.0 + LATE and "Connection refused" in answer["cause"]


@pytest.mark.parametrize("module, options", [("service_health", {}), ("readiness_wait", {"startup_grace": 60})])
def test_sigterm_ends_the_module_at_once_and_leaves_nothing(module, options):
    with socket.create_server(("127.0.0.1", 0)) as hole:
        hole.settimeout(10)
        targets = [
            http(hole.getsockname()[1], "hole", timeout=60), {"name": "closed", "tcp": {"port": free_port()}},
            {"name": "child", "timeout": 60, "command": {"argv": ["sleep", "60"]}},
            {"name": "container", "container": {"project": "tria-none", "service": "none"}},
        ]
        process = start_module(module, {"timeout": 60, "targets": targets, **options})
        connections, received = [], b""
        while not received.startswith(b"GET /"):  # whether the cheap connect comes to that or one after it
            connections.append(hole.accept()[0])
            connections[-1].settimeout(5)
            received = connections[-1].recv(65536)
        family = set()
        while not family:  # the command's process, and whatever else there is
            family = children(process.pid)
        begun = time.monotonic()
        process.terminate()
        with process:
            process.communicate(timeout=10)
        assert time.monotonic() - begun < 1.0 and process.returncode != 0
        for connection in connections:
            with connection:
                assert connection.recv(65536) == b"", "the other side sees that the connection is closed"
        assert not [pid for pid in {process.pid} | family if pathlib.Path(f"/proc/{pid}").exists()]


@pytest.mark.parametrize("behaviour", ["good", "silent"])
def test_the_module_process_ends_with_its_verdict(behaviour):
    with peer(behaviour) as (port, _pid):
        process = start_module("readiness_wait", {"timeout": 1.0, "targets": [http(port)]})
        answer = answer_of(process)
    assert bool(answer.get("failed")) == (behaviour == "silent") == bool(process.returncode)
