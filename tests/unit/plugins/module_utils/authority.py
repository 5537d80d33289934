# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A certificate authority for tests: a root, an intermediate below it, and server certificates of any kind."""

from __future__ import annotations

import datetime
import ipaddress
import pathlib

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

DAY = datetime.timedelta(days=1)


def key_pem(key) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def pem(certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def alternative(name):
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


class Authority:
    """`root` is a file that clients trust; `issue` gives the chain, without the root, and the key."""

    def __init__(self, folder: pathlib.Path) -> None:
        self._root_key, self._key = (ec.generate_private_key(ec.SECP256R1()) for _each in range(2))
        self._root = self._sign("Test Root", self._root_key, None, self._root_key)
        self.intermediate = self._sign("Test Intermediate", self._key, self._root, self._root_key)
        self.root = folder / "root.pem"
        self.root.write_text(pem(self._root))

    def issue(
        self, *names, days=(-1, 60), chain=True, usage=x509.oid.ExtendedKeyUsageOID.SERVER_AUTH, key=None
    ) -> tuple[str, str]:
        key = key or ec.generate_private_key(ec.SECP256R1())
        extensions = [
            x509.SubjectAlternativeName([alternative(name) for name in names]),
            x509.ExtendedKeyUsage([usage]),
        ]
        leaf = self._sign(names[0], key, self.intermediate, self._key, days, extensions, ca=False)
        return pem(leaf) + (pem(self.intermediate) if chain else ""), key_pem(key)

    @staticmethod
    def _sign(name, key, issuer, issuer_key, days=(-100, 100), extensions=(), ca=True):
        subject = x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, name)])
        now = datetime.datetime.now(datetime.timezone.utc)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer.subject if issuer else subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + days[0] * DAY)
            .not_valid_after(now + days[1] * DAY)
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False
            )
        )
        if ca:
            usage = dict.fromkeys(("content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
                                   "encipher_only", "decipher_only"), False)
            builder = builder.add_extension(
                x509.KeyUsage(digital_signature=True, key_cert_sign=True, crl_sign=True, **usage), critical=True
            )
        for extension in extensions:
            builder = builder.add_extension(extension, critical=False)
        return builder.sign(issuer_key, hashes.SHA256())
