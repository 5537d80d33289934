# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""TLS at the edge of a real stack: issued by a real ACME server, renewed, self-signed, given; and what is refused."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import importlib
import json
import os
import ssl
import subprocess
import sys
import threading
import time

import pytest
from acme_server import Pebble
from deployed_stack import ROOT, DeployedStack, free_port, project_copy, snapshot

sys.path.append(str(ROOT / "tests" / "unit" / "plugins" / "module_utils"))
authority_module = importlib.import_module("authority")

NAMES = ["localhost", "shop.example.com"]
SELF_SIGNED = {"certificates_source": "selfsigned", "certificates_names": NAMES}


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return authority_module.Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def edge(tmp_path_factory):
    """A stack of its own, not deployed yet."""
    stack = DeployedStack("triatls", tmp_path_factory.mktemp("triatls"))
    stack.source = project_copy(tmp_path_factory.mktemp("project"), {})
    stack.tls_port = free_port()
    stack.environment = {"EDGE_TLS_PORT": stack.tls_port}
    stack.server = stack.root / "tls" / "server"
    stack.remove()
    yield stack
    stack.remove()


@pytest.fixture(scope="module")
def acme(tmp_path_factory, authority, edge):
    """Variables of a deploy whose certificate an ACME server issues."""
    pebble = Pebble(tmp_path_factory.mktemp("pebble"), edge.port, *authority.issue("localhost"), authority.root)
    try:
        pebble.wait()
        os.environ["SSL_CERT_FILE"] = str(authority.root)  # what the ACME client on the host trusts
        yield {
            "certificates_source": "acme",
            "certificates_names": NAMES,
            "certificates_acme_directory": pebble.directory,
            "certificates_acme_terms_agreed": True,
            "certificates_acme_email": "operations@example.com",
            "certificates_ca_path": str(pebble.roots),
        }
    finally:
        os.environ.pop("SSL_CERT_FILE", None)
        pebble.stop()


@pytest.fixture(scope="module")
def issued(edge, acme):
    """The stack, deployed for the first time with a certificate that was issued meanwhile; `run` is that deploy."""
    edge.first_run = edge.deploy(**acme)
    assert edge.first_run.status == 0, edge.first_run.output
    return edge


def ask(edge, path, ca=None, host="localhost", headers=None):
    """Status and headers of an answer over TLS when `ca` is given, else over plain HTTP."""
    if ca:
        context = ssl.create_default_context(cafile=str(ca))
        connection = http.client.HTTPSConnection(host, edge.tls_port, timeout=10, context=context)
    else:
        connection = http.client.HTTPConnection("127.0.0.1", edge.port, timeout=10)
    with contextlib.closing(connection):
        connection.request("GET", path, headers=headers or {})
        answer = connection.getresponse()
        return answer.status, answer.headers


def presented(edge) -> str:
    """SHA-256 of the certificate that the edge presents."""
    chain = ssl.get_server_certificate(("127.0.0.1", edge.tls_port))
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(chain)).hexdigest()


class Visitors:
    """As a context: somebody makes one request after the other, each over a connection of its own."""

    def __init__(self, edge) -> None:
        self._port = edge.tls_port
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._visit)
        self.answers = 0
        self.failures: list[str] = []
        self.certificates: set[str] = set()

    def __enter__(self) -> Visitors:
        self._thread.start()
        return self

    def __exit__(self, *_exception) -> None:
        time.sleep(0.5)  # the last certificate is to be seen as well
        self._stop.set()
        self._thread.join()

    def _visit(self) -> None:
        context = ssl._create_unverified_context()  # both certificates are looked at below
        while not self._stop.is_set():
            try:
                client = http.client.HTTPSConnection("127.0.0.1", self._port, timeout=10, context=context)
                with contextlib.closing(client):
                    client.request("GET", "/edge-health")
                    self.certificates.add(hashlib.sha256(client.sock.getpeercert(binary_form=True)).hexdigest())
                    assert client.getresponse().status == 200
                self.answers += 1
            except (OSError, http.client.HTTPException, AssertionError) as exc:
                self.failures.append(repr(exc))


def test_a_first_deploy_with_a_certificate_of_an_acme_authority(issued, acme):
    gates = issued.first_run.gates
    order = ["plan", "certificates", "rollout", "certificate order", "readiness", "validation"]
    assert [gate for gate in gates if gate in order] == order
    assert ask(issued, "/api/v1/health/readiness", acme["certificates_ca_path"])[0] == 200
    assert not list((issued.server / "challenges").iterdir())
    report = [one for checks in issued.report()["categories"].values() for one in checks]
    (found,) = [check for check in report if check["name"] == "TLS"]
    assert found["status"] == "pass" and "Pebble" in found["data"]["issuer"]
    assert f"https://localhost:{issued.tls_port}" in issued.first_run.output


def test_the_key_is_the_edges_alone(issued):
    key = (issued.server / "current" / "privkey.pem").stat()
    assert (key.st_uid, oct(key.st_mode)) == (101, "0o100400")
    assert oct((issued.root / "tls").stat().st_mode) == "0o40700"
    one = issued.containers()["edge"]["HostConfig"]
    assert one["ReadonlyRootfs"] and one["CapDrop"] == ["ALL"]
    assert [mount["RW"] for mount in issued.containers()["edge"]["Mounts"]] == [False, False]


def test_nothing_to_do(issued, acme):
    before = presented(issued)
    again = issued.deploy(**acme)
    assert (again.status, again.changed) == (0, 0), again.output
    assert "certificate order" not in again.gates and presented(issued) == before


def test_a_renewal_drops_no_request(issued, acme):
    before, pair = presented(issued), os.readlink(issued.server / "current")
    running = issued.containers()["edge"]["Id"]
    with Visitors(issued) as visitors:
        run = issued.playbook("certificates", **acme, certificates_renew_days=4000)
        assert run.status == 0, run.output
    after = presented(issued)
    assert before != after and visitors.certificates == {before, after}
    assert visitors.answers > 20 and not visitors.failures
    assert os.readlink(issued.server / "current") != pair and issued.containers()["edge"]["Id"] == running
    assert ask(issued, "/health", acme["certificates_ca_path"])[0] == 200


def test_an_order_that_fails_changes_nothing(issued, acme):
    before = presented(issued)
    wrong = {**acme, "certificates_acme_directory": acme["certificates_acme_directory"] + "/nothing"}
    run = issued.playbook("certificates", **wrong, certificates_renew_days=4000)
    assert run.status != 0 and "HTTP status 404" in run.output and not (issued.root / "lock").exists()
    assert presented(issued) == before and not list((issued.server / "challenges").iterdir())


def test_a_certificate_for_other_names_drops_no_request(issued):
    issued.playbook("certificates", **SELF_SIGNED)
    before = presented(issued)
    names = {**SELF_SIGNED, "certificates_names": ["localhost", "127.0.0.1"]}
    with Visitors(issued) as visitors:
        run = issued.playbook("certificates", **names)
        assert run.status == 0 and run.changed == 1, run.output
    assert visitors.certificates == {before, presented(issued)} and not visitors.failures
    assert ask(issued, "/health", issued.server / "current" / "fullchain.pem", "127.0.0.1")[0] == 200
    again = issued.playbook("certificates", **names)
    assert (again.status, again.changed) == (0, 0), again.output


def test_plain_http_leads_to_https(issued):
    for path in ("/", "/health?a=1", "/docs"):
        status, headers = ask(issued, path, headers={"Host": f"127.0.0.1:{issued.port}"})
        assert (status, headers["Location"]) == (308, f"https://127.0.0.1:{issued.tls_port}{path}")
        assert "Strict-Transport-Security" not in headers
    assert ask(issued, "/edge-health")[0] == 200
    assert ask(issued, "/.well-known/acme-challenge/nothing")[0] == 404


@pytest.mark.parametrize("path", ["/health", "/edge-health", "/no/such/page", "/.git/config"])
def test_hsts_is_sent_once_over_https(issued, path):
    headers = ask(issued, path, issued.server / "current" / "fullchain.pem")[1]
    assert headers.get_all("Strict-Transport-Security") == ["max-age=31536000; includeSubDomains"]


@pytest.mark.parametrize(
    ("version", "accepted"), [("-tls1", False), ("-tls1_1", False), ("-tls1_2", True), ("-tls1_3", True)]
)
def test_versions_of_tls(issued, version, accepted):
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{issued.tls_port}", version, "-cipher", "ALL:@SECLEVEL=0"]
    ended = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=10, check=False)
    assert (ended.returncode == 0) is accepted, ended.stderr
    assert "New, TLS" in ended.stdout if accepted else "alert protocol version" in ended.stderr
    assert version != "-tls1_2" or "TLS session ticket:" not in ended.stdout


def test_no_security_rule_is_violated(issued):
    options = {
        "areas": ["compose", "containers", "front"],
        "project_src": str(issued.root / "current"),
        "files": ["compose.yaml", "compose.tls.yaml", "compose.release.yaml"],
        "profiles": ["sandbox"],
        "project_name": issued.name,
        "url": f"https://localhost:{issued.tls_port}",
        "http_url": f"http://localhost:{issued.port}",
        "ca_path": str(issued.server / "current" / "fullchain.pem"),
        "paths": ["/", "/health"],
        "protected_paths": ["/users/profile"],
        "fail_on": "degraded",
    }
    command = [sys.executable, "-m", "ansible", "adhoc", "localhost", "-i", str(ROOT / "inventories" / "local"),
               "-m", "tria.production.security_check", "-a", json.dumps(options)]
    environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 0, ended.stdout
    assert "SEC401" in ended.stdout and "SEC403" in ended.stdout


def wrong_pairs(authority):
    chain, key = authority.issue(*NAMES)
    return {
        "private_key: does not belong to the certificate": (chain, authority.issue(*NAMES)[1]),
        "has expired": authority.issue(*NAMES, days=(-9, -1)),
        "does not cover it (shop.example.com)": authority.issue("localhost"),
        "has an incomplete chain": authority.issue(*NAMES, chain=False),
        "": (chain, key),
    }


def test_what_is_given_is_refused_before_anything_changes(issued, authority):
    files, running = snapshot(issued.server), issued.running()
    given = {
        "certificates_source": "provided",
        "certificates_names": NAMES,
        "certificates_ca_path": str(authority.root),
    }
    change = {"TAX_RATE": 0.09}  # a release that waits to be rolled out, and must not be
    for playbook, (expected, (chain, key)) in zip(("deploy", *["certificates"] * 4), wrong_pairs(authority).items()):
        run = issued.playbook(
            playbook, **given, certificates_certificate=chain, certificates_private_key=key, environment=change
        )
        assert (run.status != 0) is bool(expected), run.output
        if not expected:
            assert ask(issued, "/health", authority.root)[0] == 200
            continue
        assert expected in run.output and key not in run.output
        assert snapshot(issued.server) == files and issued.running() == running
        assert playbook != "deploy" or run.gates[-1] == "certificates"


def test_whom_the_edge_believes(issued):
    """A proxy that terminates TLS before the edge is believed by address; nobody else is."""
    claim = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "198.51.100.7", "X-Forwarded-Host": "shop.example.com"}
    assert ask(issued, "/health", headers=claim)[0] == 308
    networks = issued.containers()["edge"]["NetworkSettings"]["Networks"]
    gateway = networks[f"{issued.name}_public"]["Gateway"]
    run = issued.deploy(**SELF_SIGNED, environment={"EDGE_TRUSTED_PROXIES": f"{gateway}/32, 2001:db8::/32"})
    assert run.status == 0, run.output
    status, headers = ask(issued, "/health", headers=claim)
    assert status == 200 and headers["Strict-Transport-Security"]
    status, headers = ask(issued, "/edge-health", headers=claim)
    assert headers["Strict-Transport-Security"]
    assert ask(issued, "/health", headers={"X-Forwarded-For": "198.51.100.7"})[0] == 308
    command = ["docker", "logs", issued.containers()["edge"]["Id"]]
    log = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "198.51.100.7" in log.stdout
