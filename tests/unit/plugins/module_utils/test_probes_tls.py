# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Kind tls, against TLS servers on loopback: each thing that can be wrong with a certificate is planted once."""

from __future__ import annotations

import contextlib
import os
import shutil
import ssl
import struct
import subprocess
import threading
import time

import pytest
from probe_peers import free_port, look, server, silence

NAMES = "DNS:localhost,IP:127.0.0.1"


def openssl(*arguments):
    assert shutil.which("openssl")
    return subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, text=True).stdout


class Authority:
    """A root, an intermediate below it, and whatever they sign."""

    def __init__(self, folder):
        self.folder = folder
        self.numbers = iter(range(100, 1000))
        self.root = self.certificate("root", None, "basicConstraints=critical,CA:TRUE")
        self.middle = self.certificate("middle", self.root, "basicConstraints=critical,CA:TRUE")

    def certificate(self, name, issuer, extension=f"subjectAltName={NAMES}", days=60, start=None):
        """Makes a certificate; returns the path of its PEM file, beside which is its key."""
        pem, key, request, extensions = (self.folder / f"{name}.{kind}" for kind in ("pem", "key", "csr", "ext"))
        extensions.write_text(extension)
        openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}/O=Tests", "-keyout", key, "-out", request)
        signer = ["-signkey", key] if issuer is None else ["-CA", issuer, "-CAkey", issuer.with_suffix(".key")]
        if start is None:
            openssl("x509", "-req", "-in", request, "-extfile", extensions, "-days", days, "-out", pem,
                    "-set_serial", next(self.numbers), *signer)
            return pem
        (self.folder / "index.txt").write_text("")
        configuration = self.folder / "ca.cnf"
        configuration.write_text(
            f"[ca]\ndefault_ca=it\n[it]\ndatabase={self.folder}/index.txt\nnew_certs_dir={self.folder}\n"
            "rand_serial=yes\ndefault_md=sha256\npolicy=any\n[any]\ncommonName=supplied\norganizationName=optional\n"
        )
        moments = [time.strftime("%Y%m%d%H%M%SZ", time.gmtime(time.time() + day * 86400)) for day in (start, days)]
        openssl("ca", "-batch", "-notext", "-config", configuration, "-in", request, "-extfile", extensions,
                "-out", pem, "-cert", issuer, "-keyfile", issuer.with_suffix(".key"), "-startdate", moments[0],
                "-enddate", moments[1])
        return pem


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def good(authority):
    return authority.certificate("good", authority.root)


def tls_server(certificate, *chain, before=None, **settings):
    """Serves the certificate and the chain; `before(connection)` is what comes ahead of the handshake."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    whole = certificate.with_suffix(".chain")
    whole.write_text("".join(one.read_text() for one in (certificate, *chain)))
    for name, value in settings.items():
        if name == "ciphers":
            context.set_ciphers(value)
        else:
            setattr(context, name, value)
    context.load_cert_chain(whole, certificate.with_suffix(".key"))

    def handle(connection):
        if before is not None:
            before(connection)
        with context.wrap_socket(connection, server_side=True) as secure:
            secure.recv(1)

    return server(handle)


@contextlib.contextmanager
def seen_of(certificate, *chain, before=None, settings=None, **options):
    with tls_server(certificate, *chain, before=before, **(settings or {})) as port:
        yield look("tls", **{"port": port, "host": "localhost", **options})


def test_good(authority, good):
    with seen_of(good, ca_path=str(authority.root)) as seen:
        assert seen.status == "pass" and "its certificate expires in 59 days (2" in seen.message
    data = seen.data
    assert (data["subject"], data["issuer"]) == ("CN=good, O=Tests", "CN=root, O=Tests")
    assert data["subject_alt_name"] == ["DNS:localhost", "IP Address:127.0.0.1"]
    assert data["version"] in ("TLSv1.2", "TLSv1.3") and data["cipher"] and data["days_left"] == 59
    told = openssl("x509", "-in", good, "-noout", "-fingerprint", "-sha256", "-enddate", "-dateopt", "iso_8601")
    assert data["fingerprint_sha256"].upper() in told
    assert data["not_after"].replace("T", " ") in told and data["not_before"].endswith("Z")


def test_a_folder_of_certificates_and_an_address_as_the_name(authority, good, tmp_path):
    shutil.copy(authority.root, tmp_path / "root.pem")
    openssl("rehash", tmp_path)
    with seen_of(good, ca_path=str(tmp_path), host="127.0.0.1") as seen:
        assert seen.status == "pass"


def test_days_left(authority, good):
    with seen_of(good, ca_path=str(authority.root), min_days=70) as seen:
        assert seen.status == "fail" and seen.permanent and seen.phase == "expiry"
        assert "expires in 59 days" in seen.message and "min_days is 70" in seen.message
    with seen_of(good, ca_path=str(authority.root), warn_days=70) as seen:
        assert seen.status == "warn" and "less than warn_days 70" in seen.message


@pytest.fixture(scope="module")
def bad(authority):
    """Certificates that are not valid, each with the words that must be said of it."""
    return {
        "expired": (authority.certificate("expired", authority.root, start=-10, days=-1), "has expired"),
        "early": (authority.certificate("early", authority.root, start=1, days=100), "is not valid yet"),
        "self": (authority.certificate("self", None), "is self-signed and not trusted here"),
        "elsewhere": (authority.certificate("elsewhere", authority.root, "subjectAltName=DNS:a.test,DNS:b.test"),
                      "is made for another name"),
        "incomplete": (authority.certificate("incomplete", authority.middle),
                       "has an unknown issuer: the chain that is sent is incomplete, or its CA is not trusted here"),
    }


@pytest.mark.parametrize("which", ["expired", "early", "self", "elsewhere", "incomplete"])
def test_an_invalid_certificate_is_final_and_described(authority, bad, which):
    certificate, expected = bad[which]
    with seen_of(certificate, ca_path=str(authority.root)) as seen:
        assert (seen.status, seen.phase, seen.permanent) == ("fail", "tls", True)
    assert f"the certificate of localhost {expected}; presented was CN={which}, O=Tests by CN=" in seen.message
    assert seen.remedy and seen.data["subject"] == f"CN={which}, O=Tests" and seen.data["not_after"] in seen.message
    assert seen.data["not_after"] == _end_of(certificate)


def _end_of(certificate):
    told = openssl("x509", "-in", certificate, "-noout", "-enddate", "-dateopt", "iso_8601").strip()
    return told.partition("=")[2].replace(" ", "T")


def test_the_whole_chain_is_good_and_without_the_root_unknown(authority, bad):
    leaf = bad["incomplete"][0]
    with seen_of(leaf, authority.middle, ca_path=str(authority.root)) as seen:
        assert seen.status == "pass"
    with seen_of(leaf, authority.middle, authority.root) as seen:
        assert seen.permanent and "comes from a CA that is not trusted here" in seen.message
    with seen_of(leaf, authority.middle) as seen:
        assert seen.permanent and "its CA is not trusted here" in seen.message


def test_an_expired_intermediate_is_not_laid_on_the_leaf(authority):
    constraint = "basicConstraints=critical,CA:TRUE"
    old = authority.certificate("old", authority.root, constraint, start=-10, days=-1)
    leaf = authority.certificate("leaf", old)
    with seen_of(leaf, old, ca_path=str(authority.root)) as seen:
        assert seen.permanent and "has a chain in which a CA's certificate has expired" in seen.message


def test_wrong_address_and_a_name_of_its_own(authority, bad, good):
    with seen_of(bad["elsewhere"][0], ca_path=str(authority.root), host="127.0.0.1") as seen:
        assert "is made for another address" in seen.message and "DNS:a.test, DNS:b.test" in seen.message
    with seen_of(bad["elsewhere"][0], ca_path=str(authority.root), server_hostname="b.test") as seen:
        assert seen.status == "pass"
    with seen_of(good, ca_path=str(authority.root), server_hostname=".") as seen:
        assert seen.status == "fail" and seen.permanent


def test_without_verification_the_dates_still_count(bad):
    for which in ("self", "elsewhere", "incomplete"):
        with seen_of(bad[which][0], validate_certs=False) as seen:
            assert seen.status == "pass" and seen.data["subject"] == f"CN={which}, O=Tests"
    for which in ("expired", "early"):
        with seen_of(bad[which][0], validate_certs=False) as seen:
            assert seen.permanent and bad[which][1] in seen.message
    with seen_of(bad["self"][0], validate_certs=False, min_version="TLSv1.3",
                 settings={"maximum_version": ssl.TLSVersion.TLSv1_2}) as seen:
        assert seen.permanent and "speaks TLSv1.2 at most" in seen.message


def test_one_that_is_not_made_for_servers_is_told_by_its_fingerprint(authority):
    extension = f"extendedKeyUsage=clientAuth\nsubjectAltName={NAMES}"
    client = authority.certificate("client", authority.root, extension)
    with seen_of(client, ca_path=str(authority.root)) as seen:
        assert seen.permanent and "purpose" in seen.message and seen.data["fingerprint_sha256"] in seen.message


def test_a_server_with_an_old_protocol(authority, good):
    options = {"ca_path": str(authority.root)}
    with pytest.warns(DeprecationWarning):
        old = tls_server(good, ciphers="ALL:@SECLEVEL=0", minimum_version=ssl.TLSVersion.TLSv1,
                         maximum_version=ssl.TLSVersion.TLSv1_1)
    with old as port:
        seen = look("tls", host="localhost", port=port, **options)
        assert seen.permanent and "speaks TLSv1.1 at most, which is older than min_version TLSv1.2" in seen.message
    with seen_of(good, min_version="TLSv1.3", settings={"maximum_version": ssl.TLSVersion.TLSv1_2}, **options) as seen:
        assert seen.permanent and "speaks TLSv1.2 at most" in seen.message


def test_no_tls_at_all_no_answer_and_nobody(authority):
    def plain(connection):
        connection.recv(100)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with server(plain) as port:
        seen = look("tls", host="localhost", port=port)
        assert (seen.phase, seen.permanent) == ("tls", False) and "TLS handshake with localhost failed" in seen.message
    with server(lambda connection: connection.recv(100)) as port:
        assert look("tls", host="localhost", port=port).phase == "tls"
    with server(silence) as port:
        begun = time.monotonic()
        seen = look("tls", host="localhost", port=port, timeout=0.4)
        assert "no answer within 0.4 s" in seen.message and time.monotonic() - begun < 1
    assert look("tls", port=free_port()).phase == "connect"
    assert look("tls", host="localhost", port=1, ca_path="/nowhere.pem").status == "fail"


def test_starttls_of_postgresql(authority, good):
    def agree(connection):
        assert connection.recv(8) == struct.pack("!ii", 8, 80877103)
        connection.sendall(b"S")

    options = {"starttls": "postgres", "ca_path": str(authority.root)}
    with seen_of(good, before=agree, **options) as seen:
        assert seen.status == "pass"
    for reply, expected in ((b"N", "does not offer TLS"), (b"E", "does not speak PostgreSQL's protocol")):
        with server(lambda connection, reply=reply: (connection.recv(8), connection.sendall(reply))) as port:
            assert expected in look("tls", host="localhost", port=port, **options).message


def test_starttls_of_smtp(authority, good):
    def smtp(offer):
        def before(connection):
            connection.sendall(b"220-hello\r\n220 there\r\n")
            assert connection.recv(100) == b"EHLO localhost\r\n"
            connection.sendall(b"250-me\r\n250 " + offer + b"\r\n")
            assert connection.recv(100) in (b"STARTTLS\r\n", b"")
            connection.sendall(b"220 go\r\n")

        return before

    options = {"starttls": "smtp", "ca_path": str(authority.root)}
    with seen_of(good, before=smtp(b"STARTTLS"), **options) as seen:
        assert seen.status == "pass"
    with server(smtp(b"SIZE")) as port:
        assert "does not offer STARTTLS" in look("tls", host="localhost", port=port, **options).message
    with server(lambda connection: connection.sendall(b"554 no\r\n")) as port:
        assert "said '554 no' instead of 220" in look("tls", host="localhost", port=port, **options).message


def test_no_socket_and_no_thread_is_left(bad):
    before = threading.active_count(), len(os.listdir("/proc/self/fd"))
    with tls_server(bad["self"][0]) as port:
        for options in ({}, {"validate_certs": False}, {"server_hostname": "."}):
            look("tls", host="localhost", port=port, **options)
    after = threading.active_count(), len(os.listdir("/proc/self/fd"))
    assert all(now <= then for now, then in zip(after, before))
