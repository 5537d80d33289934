# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Keys, self-signed certificates, signing requests, by the library `cryptography` >= 3.3. Private to the collection.

Every function raises `MissingLibrary` where the library is not there. All text is PEM.
"""

from __future__ import annotations

import datetime
import ipaddress
import typing as t

try:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
except ImportError:  # `_deps.load` says so, to whom it concerns
    x509 = None

from ansible_collections.tria.production.plugins.module_utils import _deps

_SLOW_CLOCKS = datetime.timedelta(hours=1)
_OTHER_USAGES = (
    "content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "key_cert_sign", "crl_sign",
    "encipher_only", "decipher_only",
)


def make_key() -> str:
    """A new private key on the curve P-256, which every client knows and which is quick to sign with."""
    _deps.load("cryptography")
    key = ec.generate_private_key(ec.SECP256R1())
    made = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return made.decode()


def make_self_signed(names: tuple[str, ...], key: str, days: int) -> str:
    """A certificate that is its own authority: whoever trusts it trusts these names and no others."""
    _deps.load("cryptography")
    private = serialization.load_pem_private_key(key.encode(), password=None)
    name = x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, names[0][:64])])
    now = datetime.datetime.now(datetime.timezone.utc)
    usage = x509.KeyUsage(digital_signature=True, **dict.fromkeys(_OTHER_USAGES, False))
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SLOW_CLOCKS)
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(_alternative_names(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([x509.oid.ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(private.public_key()), critical=False)
    )
    return builder.sign(private, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def make_request(names: tuple[str, ...], key: str) -> str:
    """A certificate signing request for these names."""
    _deps.load("cryptography")
    private = serialization.load_pem_private_key(key.encode(), password=None)
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    builder = builder.add_extension(_alternative_names(names), critical=False)
    return builder.sign(private, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def _alternative_names(names: tuple[str, ...]) -> t.Any:
    found: list[t.Any] = []
    for name in names:
        try:
            found.append(x509.IPAddress(ipaddress.ip_address(name)))
        except ValueError:
            found.append(x509.DNSName(name))
    return x509.SubjectAlternativeName(found)
