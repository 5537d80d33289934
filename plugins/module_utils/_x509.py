# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Certificates, read and verified as a client would. Private to the collection.

What a pair of certificate and key is worth is found out by a TLS handshake in memory, with Python's own `ssl`: nothing
judges like a client but a client, and no library is needed.
"""

from __future__ import annotations

import contextlib
import hashlib
import ipaddress
import math
import os
import re
import ssl
import time
import typing as t

from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError

_DAY = 86400.0
_NAME = re.compile(r"^(\*\.)?([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")
_BLOCK = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
# of <openssl/x509_vfy.h>; `ssl` names only the first, and that from Python 3.10 on
_PARTIAL_CHAIN, _NO_CHECK_TIME = 0x80000, 0x200000

_CHAIN = "Append the authority's intermediate certificates after the leaf; or give a private authority in ca_path."
_CA = "Give its authority in ca_path, or get a certificate of an authority that clients trust."
_NAMES = "Get a certificate for all names, or correct names."
_INVALID = {  # OpenSSL's code -> what is wrong, what to do
    9: ("is not valid yet", "Is the clock of this host right? If so, give a certificate that is valid now."),
    10: ("has expired", "Renew it."),
    18: ("is self-signed, and nothing here trusts it", _CA),
    19: ("comes from an authority that nothing here trusts", _CA),
    20: ("has an incomplete chain, or comes from an authority that nothing here trusts", _CHAIN),
    21: ("has an incomplete chain, or comes from an authority that nothing here trusts", _CHAIN),
    62: ("does not cover it", _NAMES),
    64: ("does not cover it", _NAMES),
}


class Certificate(t.NamedTuple):
    """The leaf of a chain. `names` are host names and addresses; times are seconds since the epoch."""

    subject: str
    issuer: str
    names: tuple[str, ...]
    not_before: float
    not_after: float
    fingerprint: str

    @property
    def self_signed(self) -> bool:
        return self.subject == self.issuer

    def days_left(self) -> float:
        return (self.not_after - time.time()) / _DAY

    def data(self) -> dict[str, t.Any]:
        """What may be shown of it."""
        return {
            "subject": self.subject,
            "issuer": self.issuer,
            "names": list(self.names),
            "not_before": _iso(self.not_before),
            "not_after": _iso(self.not_after),
            "days_left": math.floor(self.days_left()),
            "fingerprint_sha256": self.fingerprint,
            "self_signed": self.self_signed,
        }


def canonical(names: list[str]) -> tuple[str, ...]:
    """Host names in lower case and addresses in their shortest form, without repetitions.

    Raises `ProductionError` for one that is neither.
    """
    found = []
    for name in names:
        try:
            one = str(ipaddress.ip_address(name.strip("[]")))
        except ValueError:
            one = name.lower().rstrip(".")
            if len(one) > 253 or not _NAME.match(one):
                raise ProductionError(
                    "names", f"{name!r} is neither a host name nor an address.", "Write international names as xn--…"
                ) from None
        if one not in found:
            found.append(one)
    if not found:
        raise ProductionError("names", "there is none.", "Give the host names or addresses that clients use.")
    return tuple(found)


def read(chain: str, key: str) -> Certificate:
    """The leaf of a PEM chain, whose key must be `key` (PEM); whether it is worth anything is not asked.

    Raises `ProductionError`.
    """
    server = _server(chain, key)
    leaf = ssl.PEM_cert_to_DER_cert(_blocks(chain)[0])
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    # Trusts this one certificate, at any time and for any name: only then `ssl` takes it apart.
    client.verify_flags |= _PARTIAL_CHAIN | _NO_CHECK_TIME
    client.load_verify_locations(cadata=leaf)
    try:
        fields = _handshake(server, client, None)
    except ssl.SSLError as exc:
        reason = getattr(exc, "verify_message", "") or exc.reason or str(exc)
        raise ProductionError("certificate", f"is not one of a server: {reason}.", "Get a server certificate.") from exc
    digest = hashlib.sha256(leaf).hexdigest().upper()
    return Certificate(
        _subject(fields["subject"]),
        _subject(fields["issuer"]),
        tuple(_alternative(kind, value) for kind, value in fields.get("subjectAltName", ())),
        float(ssl.cert_time_to_seconds(fields["notBefore"])),
        float(ssl.cert_time_to_seconds(fields["notAfter"])),
        ":".join(digest[at : at + 2] for at in range(0, len(digest), 2)),
    )


def verify(chain: str, key: str, names: tuple[str, ...], ca_path: str | None = None) -> Certificate:
    """The leaf, once a client that trusts `ca_path` (a file or folder, else the system's) takes it for every name.

    Raises `ProductionError` with what is wrong.
    """
    found = read(chain, key)
    server, client = _server(chain, key), _client(ca_path)
    for name in names:
        try:
            _handshake(server, client, name.replace("*", "any", 1))
        except ssl.SSLCertVerificationError as exc:
            what, remedy = _INVALID.get(exc.verify_code, (f"is not valid: {exc.verify_message}", "Get one that is."))
            raise ProductionError("certificate", f"{_told(found)} {what} ({name}).", remedy) from exc
        except ssl.SSLError as exc:
            said = f"{_told(found)} serves no client: {exc.reason or exc}."
            raise ProductionError("certificate", said, _NAMES) from exc
    return found


def _blocks(chain: str) -> list[str]:
    found = _BLOCK.findall(chain)
    if not found:
        raise ProductionError("certificate", "there is no certificate in PEM format.", "Give the leaf, then its chain.")
    return found


def _server(chain: str, key: str) -> ssl.SSLContext:
    """The context of a server with this certificate; refused by OpenSSL where the two do not fit."""
    if "PRIVATE KEY-----" not in key:
        raise ProductionError("private_key", "there is no private key in PEM format.", "Give the certificate's key.")
    if "ENCRYPTED" in key:
        raise ProductionError("private_key", "is encrypted with a passphrase.", "Decrypt it, and keep it in a vault.")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with _in_memory("\n".join(_blocks(chain)) + "\n") as chain_file, _in_memory(key) as key_file:
        try:
            context.load_cert_chain(chain_file, key_file, password="")
        except ssl.SSLError as exc:
            if exc.reason and "MISMATCH" in exc.reason:
                remedy = "Give the key of the chain's first certificate."
                raise ProductionError("private_key", "does not belong to the certificate.", remedy) from exc
            raise ProductionError(
                "certificate", f"OpenSSL cannot use it with its key: {exc.reason or exc}.", "Give both in PEM format."
            ) from exc
    return context


@contextlib.contextmanager
def _in_memory(text: str) -> t.Iterator[str]:
    """A path to the text that is on no disk: `ssl` loads from paths alone."""
    descriptor = os.memfd_create("pem")
    try:
        with os.fdopen(os.dup(descriptor), "w", encoding="utf-8") as stream:
            stream.write(text)
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


def _client(ca_path: str | None) -> ssl.SSLContext:
    folder = bool(ca_path) and os.path.isdir(str(ca_path))
    try:
        return ssl.create_default_context(
            cafile=None if folder or not ca_path else ca_path, capath=ca_path if folder else None
        )
    except OSError as exc:
        said = f"{ca_path} cannot be read: {exc}."
        raise ProductionError("ca_path", said, "Give a file of PEM certificates.") from exc


def _handshake(server: ssl.SSLContext, client: ssl.SSLContext, name: str | None) -> dict[str, t.Any]:
    """The certificate as `getpeercert` gives it, after a handshake in memory. Raises the client's `ssl.SSLError`."""
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    theirs = server.wrap_bio(to_server, to_client, server_side=True)
    ours = client.wrap_bio(to_client, to_server, server_hostname=name)
    done = {theirs: False, ours: False}
    while not all(done.values()):
        for side in (ours, theirs):
            try:
                side.do_handshake()
                done[side] = True
            except ssl.SSLWantReadError:
                continue
    return ours.getpeercert() or {}


def _alternative(kind: str, value: str) -> str:
    return str(ipaddress.ip_address(value)) if kind == "IP Address" else value.lower()


def _subject(parts: t.Iterable[t.Iterable[tuple[str, str]]]) -> str:
    return ", ".join(f"{key}={value}" for part in parts for key, value in part) or "nobody"


def _told(found: Certificate) -> str:
    return f"that of {found.issuer} for {', '.join(found.names)}, valid until {_iso(found.not_after)},"


def _iso(moment: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment))
