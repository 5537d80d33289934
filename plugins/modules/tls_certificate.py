#!/usr/bin/python
# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Puts in place the certificate that a server of a stack presents."""

from __future__ import annotations

DOCUMENTATION = r"""
module: tls_certificate
short_description: The certificate that a server of a stack presents
version_added: 0.1.0
description:
  - Puts certificate chain and private key where a container mounts them, both at once by an atomic switch, and lets the
    running server load them without dropping a connection.
  - What is given or issued is verified before anything is written, by a TLS handshake in memory. The key must belong
    to the certificate, the chain be complete, every name be covered, and the time be right.
  - With O(source=selfsigned), a certificate is made when there is none, when the names have changed, or in time before
    it expires.
  - With O(source=acme), it makes account key, key and signing request, says whether a certificate is RV(due), and puts
    in place what community.crypto.acme_certificate wrote to C(<path>/acme/fullchain.pem). Until one is issued, a
    self-signed one lets the server start. The role P(tria.production.certificates#role) does both.
author:
  - tria.production contributors (@tria-production)
requirements:
  - cryptography >= 3.3, where a key or a certificate has to be made
  - docker (the Python library), with O(reload)
options:
  path:
    description:
      - Folder of the certificate, mode 0700. The server's container mounts its C(server), and finds there
        C(current/fullchain.pem), C(current/privkey.pem) and C(challenges/).
    type: path
    required: true
  source:
    description: Where the certificate comes from.
    type: str
    choices: [provided, selfsigned, acme]
    required: true
  names:
    description: Host names and addresses that clients use; C(*.example.com) is a name.
    type: list
    elements: str
    required: true
  certificate:
    description: With O(source=provided), the chain in PEM format, the leaf first.
    type: str
  private_key:
    description: With O(source=provided), the key of the leaf in PEM format, without a passphrase.
    type: str
  ca_path:
    description: A file or directory with CA certificates to trust instead of the system's, for a private authority.
    type: path
  renew_days:
    description: A certificate with fewer days left is made or ordered anew; one that was given is warned of.
    type: int
    default: 30
  valid_days:
    description: Days for which a self-signed certificate is made.
    type: int
    default: 365
  owner:
    description: User and group (numbers) that the server runs as. The key is theirs, mode 0400.
    type: int
    default: 101
  reload:
    description: Whose containers get SIGHUP when the certificate has changed. Those that do not run are left alone.
    type: dict
    suboptions:
      project:
        description: Compose project.
        type: str
        required: true
      service:
        description: Service of the project.
        type: str
        required: true
attributes:
  check_mode:
    description: Verifies what is given, and says what would change.
    support: full
  diff_mode:
    description: Shows subject, issuer, names, dates and fingerprint, never a key.
    support: full
seealso:
  - module: community.crypto.acme_certificate
"""

EXAMPLES = r"""
- name: A certificate that was bought
  tria.production.tls_certificate:
    path: /opt/tria/tls
    source: provided
    names: [shop.example.com]
    certificate: "{{ lookup('ansible.builtin.file', 'shop.example.com.pem') }}"
    private_key: "{{ vault_tls_private_key }}"
    reload: {project: tria, service: edge}

- name: A certificate for this machine
  tria.production.tls_certificate:
    path: /opt/tria/tls
    source: selfsigned
    names: [127.0.0.1, localhost]
"""

RETURN = r"""
certificate:
  description: The certificate in place, or in check mode the one that would be.
  type: dict
  returned: success
  sample:
    subject: commonName=shop.example.com
    issuer: countryName=US, organizationName=Let's Encrypt, commonName=E7
    names: [shop.example.com]
    not_before: '2026-11-01T08:00:00Z'
    not_after: '2027-01-30T08:00:00Z'
    days_left: 68
    fingerprint_sha256: 5E:32:…
    self_signed: false
reason:
  description: Why it was changed, empty when it was not.
  type: str
  returned: success
due:
  description: With O(source=acme), whether a certificate must be ordered.
  type: bool
  returned: success
csr:
  description: The signing request to order it with (PEM), when RV(due) and not in check mode.
  type: str
  returned: success
results:
  description: One graded check, as it goes into reports.
  type: list
  elements: dict
  returned: success
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.tria.production.plugins.module_utils import _certificates, _deps
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "source": {"type": "str", "choices": ["provided", "selfsigned", "acme"], "required": True},
            "names": {"type": "list", "elements": "str", "required": True},
            "certificate": {"type": "str"},
            "private_key": {"type": "str", "no_log": True},
            "ca_path": {"type": "path"},
            "renew_days": {"type": "int", "default": 30},
            "valid_days": {"type": "int", "default": 365},
            "owner": {"type": "int", "default": 101},
            "reload": {
                "type": "dict",
                "options": {
                    "project": {"type": "str", "required": True},
                    "service": {"type": "str", "required": True},
                },
            },
        },
        required_if=[("source", "provided", ("certificate", "private_key"))],
        supports_check_mode=True,
    )
    try:
        module.exit_json(**_certificates.ensure(module.params, module.check_mode))
    except _deps.MissingLibrary as exc:
        module.fail_json(**exc.as_result())
    except ProductionError as exc:
        module.fail_json(**exc.as_result())
    except OSError as exc:
        error = ProductionError.from_os(exc, "The folder must be writable for root, with room on it.")
        module.fail_json(**error.as_result())


if __name__ == "__main__":
    main()
