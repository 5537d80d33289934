# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Kind `tls`: a certificate with a trusted chain, the right name and days to go. Private to the collection.

Needs no library on the target: Python's own `ssl` takes apart a certificate only once it is verified, so one that is
not valid is read by trusting itself alone, see `_trusting`.
"""

from __future__ import annotations

import hashlib
import math
import ssl
import struct
import time
import typing as t

from ansible_collections.tria.production.plugins.module_utils._probes import _base, _net

DOCUMENTATION = (
    r"""
tls:
  description:
    - The certificate of a TLS server. Its chain, its name and its validity are verified, by the clock of this host.
    - What is wrong with a certificate is final; waiting does not go on.
  type: dict
  suboptions:
    host:
      description: Host name or address.
      type: str
      default: 127.0.0.1
    port:
      description: Port number.
      type: int
      default: 443
    server_hostname:
      description: Name to ask for (SNI), which the certificate must be made for. By default O(targets[].tls.host).
      type: str
    validate_certs:
      description: Whether chain and name are verified. Without that, the dates still are.
      type: bool
      default: true
    ca_path:
      description: A file or directory with CA certificates to trust instead of the system's.
      type: path
    min_days:
      description: Whole days for which the certificate must still be valid. Fewer are a failure.
      type: int
      default: 14
    warn_days:
      description: Fewer days than that are a C(warn).
      type: int
      default: 30
    min_version:
      description: Oldest version of the protocol that is good.
      type: str
      choices: [TLSv1.2, TLSv1.3]
      default: TLSv1.2
    starttls:
      description: Protocol that begins without TLS and is asked to switch to it.
      type: str
      choices: [none, postgres, smtp]
      default: none
"""
    + _base.COMPOSE_DOCUMENTATION
)
CATEGORY = "Security"
LIBRARIES = ()
SPEC: dict[str, t.Any] = {
    "options": {
        "host": {"type": "str", "default": "127.0.0.1"},
        "port": {"type": "int", "default": 443},
        "server_hostname": {"type": "str"},
        "validate_certs": {"type": "bool", "default": True},
        "ca_path": {"type": "path"},
        "min_days": {"type": "int", "default": 14},
        "warn_days": {"type": "int", "default": 30},
        "min_version": {"type": "str", "choices": ["TLSv1.2", "TLSv1.3"], "default": "TLSv1.2"},
        "starttls": {"type": "str", "choices": ["none", "postgres", "smtp"], "default": "none"},
        **_base.COMPOSE_OPTIONS,
    },
    "required_together": _base.COMPOSE_TOGETHER,
}

_DAY = 86400.0
_VERSIONS = ("SSLv3", "TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")
_SHORT = {
    "commonName": "CN", "organizationName": "O", "organizationalUnitName": "OU", "countryName": "C",
    "localityName": "L", "stateOrProvinceName": "ST",
}
# of <openssl/x509_vfy.h>; `ssl` names only the first, and that from Python 3.10 on
_PARTIAL_CHAIN, _NO_CHECK_TIME = 0x80000, 0x200000
_NOT_YET, _EXPIRED = 9, 10
_RENEW = "Renew the certificate, and let the server load the new one."
_CHAIN = "Let the server send the intermediate certificates too, or give its CA in ca_path."
_INCOMPLETE = "has an unknown issuer: the chain that is sent is incomplete, or its CA is not trusted here"
_NAME = "Use a name that it was made for (server_hostname), or get a certificate for this one."
_INVALID = {  # OpenSSL's code -> what is wrong, what to do
    2: (_INCOMPLETE, _CHAIN),
    _NOT_YET: ("is not valid yet", "Is the clock of this host right? If so, install a certificate that is valid now."),
    _EXPIRED: ("has expired", _RENEW),
    18: ("is self-signed and not trusted here", "If it is meant, give it in ca_path; or get one from a CA."),
    19: ("comes from a CA that is not trusted here", "Give its CA in ca_path."),
    20: (_INCOMPLETE, _CHAIN),
    21: (_INCOMPLETE, _CHAIN),
    62: ("is made for another name", _NAME),
    64: ("is made for another address", _NAME),
}


class _Peer(t.NamedTuple):
    """What a handshake showed. `fields` is as `ssl.SSLSocket.getpeercert` gives it, {} for what could not be read."""

    fields: dict[str, t.Any]
    der: bytes
    version: str
    cipher: str

    def days_left(self) -> float | None:
        if not self.fields:
            return None
        return (ssl.cert_time_to_seconds(self.fields["notAfter"]) - time.time()) / _DAY

    def data(self) -> dict[str, t.Any]:
        digest = hashlib.sha256(self.der).hexdigest()
        found = {
            "version": self.version,
            "cipher": self.cipher,
            "fingerprint_sha256": ":".join(digest[at:at + 2] for at in range(0, len(digest), 2)),
        }
        if not self.fields:
            return found
        return {
            "subject": _name(self.fields["subject"]),
            "issuer": _name(self.fields["issuer"]),
            "subject_alt_name": [f"{kind}:{value}" for kind, value in self.fields.get("subjectAltName", ())],
            "not_before": _iso(self.fields["notBefore"]),
            "not_after": _iso(self.fields["notAfter"]),
            "days_left": math.floor(self.days_left()),
            **found,
        }

    def told(self) -> str:
        data = self.data()
        if not self.fields:
            return f"presented was the one with SHA-256 {data['fingerprint_sha256']}"
        names = ", ".join(data["subject_alt_name"]) or "no name"
        return f"presented was {data['subject']} by {data['issuer']} for {names}, valid until {data['not_after']}"


def endpoint(options: dict[str, t.Any]) -> tuple[str, int]:
    return options["host"], options["port"]


def probe(options: dict[str, t.Any], attempt: _base.Attempt) -> _base.Outcome:
    """Makes a verified handshake and hangs up; what is presented instead is looked at once more, to name it."""
    name = options["server_hostname"] or options["host"]
    if not _is_name(name):
        raise _base.ProbeFailure(f"{name!r} is no host name", "Correct server_hostname.", _net.TLS, permanent=True)
    if options["validate_certs"]:
        peer = _verified(options, attempt, name)
    else:
        peer = _described(options, attempt, name)
        _require_version(options, name, peer)
    days = peer.days_left()
    if days is None:
        raise _base.ProbeFailure(f"the certificate of {name} cannot be read; {peer.told()}", phase=_net.TLS)
    if not options["validate_certs"] and ssl.cert_time_to_seconds(peer.fields["notBefore"]) > time.time():
        raise _invalid(name, _NOT_YET, "", peer)
    if days < 0:
        raise _invalid(name, _EXPIRED, "", peer)
    data = peer.data()
    until = f"expires in {data['days_left']} days ({data['not_after']})"
    if days < options["min_days"]:
        raise _base.ProbeFailure(
            f"the certificate of {name} {until}, min_days is {options['min_days']}", _RENEW, "expiry", True, data
        )
    soon = [f"that is less than warn_days {options['warn_days']}"] if days < options["warn_days"] else []
    return _base.Outcome(f"{name} speaks {peer.version}, its certificate {until}", data, soon)


def _is_name(text: str) -> bool:
    """Whether `ssl` will take it for one; it leaves the socket open otherwise."""
    try:
        return bool(text.encode("idna")) and not text.startswith(".") and "\0" not in text
    except UnicodeError:
        return False


def _verified(options: dict[str, t.Any], attempt: _base.Attempt, name: str) -> _Peer:
    try:
        return _handshake(options, attempt, name, _net.tls_context(True, options["ca_path"], options["min_version"]))
    except ssl.SSLCertVerificationError as exc:
        raise _invalid(name, exc.verify_code, exc.verify_message, _glimpse(options, attempt, name)) from exc
    except ssl.SSLError as exc:
        peer = _glimpse(options, attempt, name)
        if peer:
            _require_version(options, name, peer)
        raise _base.ProbeFailure(f"TLS handshake with {name} failed: {exc}", "Does it speak TLS?", _net.TLS) from exc
    except ConnectionError as exc:
        raise _base.ProbeFailure(f"TLS handshake with {name} failed: {exc}", "See its log.", _net.TLS) from exc


def _require_version(options: dict[str, t.Any], name: str, peer: _Peer) -> None:
    if _VERSIONS.index(peer.version) < _VERSIONS.index(options["min_version"]):
        raise _base.ProbeFailure(
            f"{name} speaks {peer.version} at most, which is older than min_version {options['min_version']}",
            "Enable a newer version of the protocol in the server.", _net.TLS, True, peer.data(),
        )


def _invalid(name: str, code: int, message: str, peer: _Peer | None) -> _base.ProbeFailure:
    what, remedy = _INVALID.get(code, (f"is not valid: {message}", "Get a certificate that is."))
    if code == _EXPIRED and peer and (peer.days_left() or -1) > 0:
        what, remedy = "has a chain in which a CA's certificate has expired", _CHAIN
    told = f"the certificate of {name} {what}" + (f"; {peer.told()}" if peer else "")
    return _base.ProbeFailure(told, remedy, _net.TLS, True, peer.data() if peer else {})


def _glimpse(options: dict[str, t.Any], attempt: _base.Attempt, name: str) -> _Peer | None:
    """`_described` for a failure that is known already: None where it shows nothing, or where no time is left."""
    try:
        return _described(options, attempt, name)
    except (OSError, _base.ProbeFailure):
        return None


def _described(options: dict[str, t.Any], attempt: _base.Attempt, name: str) -> _Peer:
    """The peer with its certificate, whatever that is worth."""
    peer = _handshake(options, attempt, name, _unverified())
    try:
        return _handshake(options, attempt, name, _trusting(peer.der))
    except (ssl.SSLError, _base.ProbeFailure):
        return peer  # not made for servers, for example: its fingerprint must do


def _unverified() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.set_ciphers("ALL:@SECLEVEL=0")  # it is looked at, nothing is entrusted to it
    return context


def _trusting(der: bytes) -> ssl.SSLContext:
    """Trusts this one certificate, at any time and for any name: it counts as verified, and `ssl` takes it apart."""
    context = _unverified()
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= _PARTIAL_CHAIN | _NO_CHECK_TIME
    context.load_verify_locations(cadata=der)
    return context


def _handshake(options: dict[str, t.Any], attempt: _base.Attempt, name: str, context: ssl.SSLContext) -> _Peer:
    host = attempt.host or options["host"]
    with _net.connect(host, options["port"], attempt.budget, attempt.take_socket()) as connection:
        if options["starttls"] == "postgres":
            _starttls_postgres(connection)
        elif options["starttls"] == "smtp":
            _starttls_smtp(connection)
        secure = connection.start_tls(context, name)
        return _Peer(
            secure.getpeercert() or {}, secure.getpeercert(binary_form=True) or b"", secure.version() or "",
            (secure.cipher() or ("",))[0],
        )


def _starttls_postgres(connection: _net.Connection) -> None:
    connection.sendall(struct.pack("!ii", 8, 80877103))  # SSLRequest
    answer = bytearray(1)
    connection.readinto(answer)
    if answer == b"N":
        raise _base.ProbeFailure("the server does not offer TLS", "Enable TLS in it.", _net.TLS, permanent=True)
    if answer != b"S":
        raise _base.ProbeFailure("the server does not speak PostgreSQL's protocol", "Correct port.", _net.TLS)


def _starttls_smtp(connection: _net.Connection) -> None:
    _smtp_reply(connection, "220")
    connection.sendall(b"EHLO localhost\r\n")
    if "STARTTLS" not in [line[4:].upper() for line in _smtp_reply(connection, "250")]:
        raise _base.ProbeFailure("the server does not offer STARTTLS", "Enable TLS in it.", _net.TLS, permanent=True)
    connection.sendall(b"STARTTLS\r\n")
    _smtp_reply(connection, "220")


def _smtp_reply(connection: _net.Connection, code: str) -> list[str]:
    lines = [_line(connection)]
    while lines[-1][3:4] == "-" and len(lines) < 100:
        lines.append(_line(connection))
    if not lines[-1].startswith(code):
        raise _base.ProbeFailure(f"the server said {lines[-1][:100]!r} instead of {code}", "See its log.", _net.TLS)
    return lines


def _line(connection: _net.Connection) -> str:
    """One line, byte by byte: what comes after it belongs to the handshake."""
    line, byte = bytearray(), bytearray(1)
    while not line.endswith(b"\n") and len(line) < 1000 and connection.readinto(byte):
        line += byte
    return line.decode("ascii", "replace").rstrip("\r\n")


def _name(parts: t.Iterable[t.Iterable[tuple[str, str]]]) -> str:
    return ", ".join(f"{_SHORT.get(key, key)}={value}" for part in parts for key, value in part) or "nobody"


def _iso(moment: str) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(ssl.cert_time_to_seconds(moment)))
