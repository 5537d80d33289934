# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Certificates of a real authority, good and wrong in every way that a client refuses."""

from __future__ import annotations

import re
import subprocess

import pytest
from authority import Authority
from cryptography import x509 as library

from ansible_collections.tria.production.plugins.module_utils import _x509, _x509_making
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


def refusal(chain, key, names=("shop.example.com",), ca_path=None):
    with pytest.raises(ProductionError) as error:
        _x509.verify(chain, key, names, ca_path)
    return str(error.value)


@pytest.mark.parametrize("names", [("shop.example.com",), ("shop.example.com", "127.0.0.1", "::1"), ("*.example.com",)])
def test_a_good_certificate(authority, names):
    found = _x509.verify(*authority.issue(*names), names, str(authority.root))
    assert found.names == names and 59 < found.days_left() < 60
    assert (found.subject, found.issuer) == (f"commonName={names[0]}", "commonName=Test Intermediate")
    assert not found.self_signed and re.fullmatch(r"([0-9A-F]{2}:){31}[0-9A-F]{2}", found.fingerprint)


def test_a_folder_of_authorities(authority):
    subprocess.run(["openssl", "rehash", str(authority.root.parent)], check=True)
    found = _x509.verify(*authority.issue("a.example"), ("a.example",), str(authority.root.parent))
    assert found.names == ("a.example",)


@pytest.mark.parametrize(
    ("asked", "options", "expected"),
    [
        (("shop.example.com", "api.example.com"), {}, r"for shop.example.com,.+does not cover it \(api.example.com\)"),
        (("10.1.2.3",), {}, r"does not cover it \(10\.1\.2\.3\)"),
        (("shop.example.com",), {"days": (-20, -10)}, r"has expired .+Remedy: Renew it\."),
        (("shop.example.com",), {"days": (10, 20)}, r"is not valid yet .+clock"),
        (("shop.example.com",), {"chain": False}, r"has an incomplete chain.+after the leaf"),
        (("shop.example.com",), {"usage": library.oid.ExtendedKeyUsageOID.CLIENT_AUTH}, r"is not one of a server"),
    ],
)
def test_what_a_client_refuses(authority, asked, options, expected):
    said = refusal(*authority.issue("shop.example.com", **options), asked, str(authority.root))
    assert said.startswith("certificate: ") and re.search(expected, said), said


def test_an_authority_that_is_not_trusted(authority):
    assert "nothing here trusts" in refusal(*authority.issue("shop.example.com"))


def test_a_self_signed_one_that_nobody_trusts():
    key = _x509_making.make_key()
    said = refusal(_x509_making.make_self_signed(("shop.example.com",), key, 10), key)
    assert "is self-signed, and nothing here trusts it" in said


def test_a_key_of_another(authority):
    chain, key = authority.issue("shop.example.com")[0], authority.issue("shop.example.com")[1]
    assert refusal(chain, key).startswith("private_key: does not belong to the certificate.")


def test_a_chain_in_the_wrong_order(authority):
    chain, key = authority.issue("shop.example.com")
    leaf, intermediate, _rest = chain.split("-----END CERTIFICATE-----\n")
    end = "-----END CERTIFICATE-----\n"
    assert "first certificate" in refusal(intermediate + end + leaf + end, key)


def test_a_key_with_a_passphrase_is_not_asked_for(authority, tmp_path):
    chain, key = authority.issue("shop.example.com")
    (tmp_path / "key").write_text(key)
    command = ["openssl", "pkcs8", "-topk8", "-in", str(tmp_path / "key"), "-passout", "pass:secret"]
    encrypted = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert refusal(chain, encrypted).startswith("private_key: is encrypted")


@pytest.mark.parametrize(
    ("chain", "key", "expected"),
    [
        ("", "-----BEGIN PRIVATE KEY-----", "certificate: there is no certificate"),
        ("-----BEGIN CERTIFICATE-----", "", "private_key: there is no private key"),
        (
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----",
            "-----BEGIN PRIVATE KEY-----\n",
            "cannot use it",
        ),
    ],
)
def test_no_pem(chain, key, expected):
    assert expected in refusal(chain, key)


def test_a_ca_path_that_is_not_there(authority):
    assert refusal(*authority.issue("shop.example.com"), ca_path="/nowhere.pem").startswith("ca_path: /nowhere.pem")


def test_names():
    assert _x509.canonical(["Shop.Example.COM.", "127.0.0.1", "[::1]", "0:0::1", "*.a.b"]) == (
        "shop.example.com", "127.0.0.1", "::1", "*.a.b"
    )


@pytest.mark.parametrize("name", ["", "münchen.de", "a b", "https://a.example", "a..b", "-a.b", "a.*.b", "127.0.0.1/8"])
def test_what_is_no_name(name):
    with pytest.raises(ProductionError, match="neither a host name nor an address"):
        _x509.canonical([name])
    with pytest.raises(ProductionError, match="there is none"):
        _x509.canonical([])


def test_a_self_signed_certificate_is_its_own_authority(tmp_path):
    names = ("shop.example.com", "127.0.0.1", "*.shop.example.com")
    key = _x509_making.make_key()
    chain = _x509_making.make_self_signed(names, key, 90)
    (tmp_path / "ca.pem").write_text(chain)
    found = _x509.verify(chain, key, names, str(tmp_path / "ca.pem"))
    assert found.self_signed and found.names == names and 89 < found.days_left() <= 90
    assert not library.load_pem_x509_certificate(chain.encode()).extensions.get_extension_for_class(
        library.BasicConstraints
    ).value.ca


def test_a_signing_request():
    key = _x509_making.make_key()
    request = library.load_pem_x509_csr(_x509_making.make_request(("shop.example.com", "127.0.0.1"), key).encode())
    names = request.extensions.get_extension_for_class(library.SubjectAlternativeName).value
    assert request.is_signature_valid
    assert [str(name.value) for name in names] == ["shop.example.com", "127.0.0.1"]
