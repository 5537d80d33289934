# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is put in place, when, and what stays when it cannot be."""

from __future__ import annotations

import os
import pathlib
import stat

import pytest
from authority import Authority
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from ansible_collections.tria.production.plugins.module_utils import _certificates, _x509
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError

NAMES = ["shop.example.com", "127.0.0.1"]
OWNER = os.geteuid()


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def ensure(tmp_path):
    """Runs the engine on a folder of its own, self-signed unless said otherwise."""

    def run(check_mode=False, **options):
        usual = {
            "path": str(tmp_path / "tls"), "source": "selfsigned", "names": NAMES, "certificate": None,
            "private_key": None, "ca_path": None, "renew_days": 30, "valid_days": 90, "owner": OWNER, "reload": None,
        }
        return _certificates.ensure({**usual, **options}, check_mode)

    run.path = tmp_path / "tls"
    run.current = run.path / "server" / "current"
    return run


def in_place(ensure) -> tuple[str, str]:
    return (ensure.current / "fullchain.pem").read_text(), (ensure.current / "privkey.pem").read_text()


def files(ensure) -> dict[str, tuple[int, int]]:
    return {str(path): (path.lstat().st_ino, path.lstat().st_mtime_ns) for path in ensure.path.rglob("*")}


def mode(path: pathlib.Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_self_signed_once(ensure):
    first = ensure()
    assert first["changed"] and first["reason"] == "there is none" and not first["due"]
    assert first["certificate"]["names"] == NAMES and first["certificate"]["days_left"] == 89
    assert _x509.verify(*in_place(ensure), tuple(NAMES), str(ensure.current / "fullchain.pem"))
    before = files(ensure)
    second = ensure()
    assert not second["changed"] and not second["reason"] and files(ensure) == before


def test_modes(ensure):
    ensure()
    folders = ("", "server", "server/challenges", "acme")
    assert [mode(ensure.path / part) for part in folders] == [0o700, 0o755, 0o755, 0o700]
    assert mode(ensure.current / "privkey.pem") == 0o400 and mode(ensure.current / "fullchain.pem") == 0o644
    assert mode(ensure.current) == 0o755
    os.chmod(ensure.current / "privkey.pem", 0o644)
    os.chmod(ensure.path, 0o755)
    assert ensure()["changed"] and not ensure()["changed"]
    assert mode(ensure.current / "privkey.pem") == 0o400 and mode(ensure.path) == 0o700


@pytest.mark.skipif(OWNER != 0, reason="only root gives files away")
def test_the_owner_of_the_key(ensure):
    ensure(owner=101)
    owners = [(ensure.current / name).stat().st_uid for name in ("privkey.pem", "fullchain.pem")]
    assert owners == [101, 0]
    assert ensure(owner=102)["changed"] and (ensure.current / "privkey.pem").stat().st_gid == 102


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"names": ["other.example.com"]}, "the names have changed"),
        ({"names": NAMES[:1]}, "the names have changed"),
        ({"renew_days": 91}, "fewer than 91 days are left"),
    ],
)
def test_self_signed_anew(ensure, options, reason):
    old = ensure()["certificate"]["fingerprint_sha256"]
    new = ensure(**options)
    assert (new["changed"], new["reason"]) == (True, reason) and new["certificate"]["fingerprint_sha256"] != old
    assert len(list((ensure.path / "server").iterdir())) == 3, "the old pair is still there"


def test_a_key_that_does_not_fit_is_no_pair(ensure):
    ensure()
    (ensure.current / "privkey.pem").chmod(0o600)
    (ensure.current / "privkey.pem").write_text("-----BEGIN PRIVATE KEY-----\n")
    assert ensure()["reason"] == "there is none"


def test_check_mode_writes_nothing(ensure, authority):
    told = ensure(check_mode=True)
    assert told["changed"] and told["certificate"]["names"] == NAMES and not ensure.path.exists()
    assert ensure(check_mode=True, source="acme")["due"] and not ensure.path.exists()
    chain, key = authority.issue(*NAMES, days=(-9, -1))
    with pytest.raises(ProductionError, match="has expired"):
        ensure(check_mode=True, source="provided", certificate=chain, private_key=key, ca_path=str(authority.root))


def test_the_diff_has_no_key(ensure):
    told = ensure()
    key = in_place(ensure)[1]
    assert told["diff"]["before"] == "" and "names: shop.example.com, 127.0.0.1\n" in told["diff"]["after"]
    assert key.splitlines()[1] not in str(told)


def test_provided(ensure, authority):
    chain, key = authority.issue(*NAMES)
    given = {"source": "provided", "certificate": chain, "private_key": key, "ca_path": str(authority.root)}
    ensure()
    assert ensure(**given)["reason"] == "another certificate is given"
    assert in_place(ensure) == (chain, key)
    assert not ensure(**{**given, "certificate": f"\n{chain}\n\n"})["changed"]
    assert ensure()["reason"] == "the one in place is not self-signed"


def test_what_is_given_is_refused_before_anything_is_written(ensure, authority):
    ensure()
    before = files(ensure)
    chain, key = authority.issue(*NAMES)
    wrong = [
        ((chain, authority.issue(*NAMES)[1]), "private_key: does not belong"),
        (authority.issue("other.example.com"), "does not cover it"),
        (authority.issue(*NAMES, days=(-9, -1)), "has expired"),
        (authority.issue(*NAMES, chain=False), "incomplete chain"),
    ]
    for pair, expected in wrong:
        with pytest.raises(ProductionError, match=expected):
            ensure(source="provided", certificate=pair[0], private_key=pair[1], ca_path=str(authority.root))
    assert files(ensure) == before


def test_one_that_was_given_and_ends_soon_is_warned_of(ensure, authority):
    chain, key = authority.issue(*NAMES, days=(-9, 9))
    told = ensure(source="provided", certificate=chain, private_key=key, ca_path=str(authority.root))
    (check,) = told["results"]
    assert (check["status"], check["critical"]) == ("warn", False) and "valid for 8 days" in check["message"]


def test_what_cannot_be_loaded_is_taken_back(ensure, monkeypatch):
    ensure()
    pair = in_place(ensure)
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    with pytest.raises(ProductionError, match="Docker Engine"):
        ensure(names=["other.example.com"], reload={"project": "none", "service": "edge"})
    assert in_place(ensure) == pair and len(list((ensure.path / "server").iterdir())) == 3


def issued(ensure, authority, **options):
    """What the authority has for the request that is pending."""
    key = (ensure.path / "acme" / "pending.pem").read_text()
    chain = authority.issue(*NAMES, key=load_pem_private_key(key.encode(), None), **options)[0]
    (ensure.path / "acme" / "fullchain.pem").write_text(chain)
    return chain, key


def test_acme(ensure, authority):
    acme = {"source": "acme", "ca_path": str(authority.root)}
    first = ensure(**acme)
    assert first["changed"] and first["due"] and first["certificate"]["self_signed"]
    assert "BEGIN CERTIFICATE REQUEST" in first["csr"]
    assert [mode(ensure.path / "acme" / name) for name in ("account.pem", "pending.pem")] == [0o600, 0o600]
    pending, account = ((ensure.path / "acme" / f"{name}.pem").read_text() for name in ("pending", "account"))
    again = ensure(**acme)
    assert not again["changed"] and again["due"] and (ensure.path / "acme" / "pending.pem").read_text() == pending
    pair = issued(ensure, authority)
    done = ensure(**acme)
    assert (done["changed"], done["due"], done["reason"]) == (True, False, "the authority has issued it")
    assert in_place(ensure) == pair and os.listdir(ensure.path / "acme") == ["account.pem"]
    assert not ensure(**acme)["changed"]
    renewal = ensure(**acme, renew_days=61)
    assert renewal["due"] and not renewal["changed"] and "a new one is ordered" in renewal["results"][0]["message"]
    assert issued(ensure, authority)[1] != pair[1], "the key is as old as the certificate"
    assert (ensure.path / "acme" / "account.pem").read_text() == account
    assert ensure(check_mode=True, **{**acme, "names": NAMES[:1]})["due"]


def test_what_the_authority_issued_is_verified_too(ensure, authority):
    ensure(source="acme")
    issued(ensure, authority)
    pair = in_place(ensure)
    with pytest.raises(ProductionError, match="nothing here trusts"):
        ensure(source="acme")
    assert in_place(ensure) == pair and ensure(source="acme", ca_path=str(authority.root))["due"]
