# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The certificate that a server presents: given, self-signed, or of an ACME authority. Private to the collection.

    <path>/                            0700: who is not root gets no further
      server/                          mounted into the server's container
        current -> <time>              switched by atomic rename, so that key and certificate change together
        <time>/fullchain.pem           0644
        <time>/privkey.pem             0400, of the user that the server runs as
        challenges/                    what an ACME authority asks for
      acme/                            of root alone
        account.pem  pending.pem       keys: of the account, of the certificate that is being ordered
        fullchain.pem                  what the authority has issued, until it is in place
"""

from __future__ import annotations

import dataclasses
import os
import shutil
import stat
import time
import typing as t

from ansible_collections.tria.production.plugins.module_utils import _atomic, _docker, _x509, _x509_making
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError
from ansible_collections.tria.production.plugins.module_utils._result import PASS, WARN, CheckResult

_CURRENT = "current"
_CHALLENGES = "challenges"
_CHAIN, _KEY = "fullchain.pem", "privkey.pem"
_KEY_MODE, _CHAIN_MODE = 0o400, 0o644


@dataclasses.dataclass
class Desired:
    """What the module's options say, see there."""

    path: str
    source: str
    names: t.Any
    certificate: str | None
    private_key: str | None
    ca_path: str | None
    renew_days: int
    valid_days: int
    owner: int
    reload: dict[str, str] | None
    check_mode: bool = False

    def __post_init__(self) -> None:
        self.names = _x509.canonical(self.names)

    def inside(self, *parts: str) -> str:
        return os.path.join(self.path, *parts)


class Pair(t.NamedTuple):
    """A chain and its key, PEM, and what the chain's leaf is."""

    chain: str
    key: str
    leaf: _x509.Certificate


def ensure(options: dict[str, t.Any], check_mode: bool = False) -> dict[str, t.Any]:
    """Put in place what the options ask for; returns what the module does.

    Everything is verified before anything is written. Raises `ProductionError`, `MissingLibrary`, `OSError`.
    """
    desired = Desired(**options, check_mode=check_mode)
    present = _present(desired)
    wanted, reason = _WANTED[desired.source](desired, present)
    leaf = (wanted or present).leaf
    due = _due(leaf, desired) if desired.source == "acme" else ""
    changed = wanted is not None
    if not check_mode:
        changed = _prepare_folders(desired) or changed
        if wanted:
            _install(desired, wanted)
            _forget_order(desired)
        changed = _own(desired) or changed
    return {
        "changed": changed,
        "reason": reason,
        "due": bool(due),
        "csr": _order(desired) if due and not check_mode else "",
        "certificate": leaf.data(),
        "results": [_result(leaf, due, desired).as_dict()],
        "diff": {"before": _described(present), "after": _described(wanted or present)},
    }


def _present(desired: Desired) -> Pair | None:
    """The pair that is in place; None where there is none that a server could load."""
    folder = desired.inside("server", _CURRENT)
    try:
        chain, key = _text(os.path.join(folder, _CHAIN)), _text(os.path.join(folder, _KEY))
        return Pair(chain, key, _x509.read(chain, key))
    except (FileNotFoundError, ProductionError):
        return None


def _provided(desired: Desired, present: Pair | None) -> tuple[Pair | None, str]:
    chain, key = desired.certificate or "", desired.private_key or ""
    leaf = _x509.verify(chain, key, desired.names, desired.ca_path)
    if present and (present.chain.split(), present.key.split()) == (chain.split(), key.split()):
        return None, ""
    return Pair(chain, key, leaf), "another certificate is given" if present else "there is none"


def _self_signed(desired: Desired, present: Pair | None) -> tuple[Pair | None, str]:
    reason = _self_signed_reason(present.leaf, desired) if present else "there is none"
    if not reason:
        return None, ""
    key = _x509_making.make_key()
    chain = _x509_making.make_self_signed(desired.names, key, desired.valid_days)
    return Pair(chain, key, _x509.read(chain, key)), reason


def _self_signed_reason(leaf: _x509.Certificate, desired: Desired) -> str:
    if not leaf.self_signed:
        return "the one in place is not self-signed"
    return _worn(leaf, desired)


def _acme(desired: Desired, present: Pair | None) -> tuple[Pair | None, str]:
    """What the authority has issued; until then something that lets the server start, and so answer the authority."""
    try:
        chain, key = _text(desired.inside("acme", _CHAIN)), _text(desired.inside("acme", "pending.pem"))
    except FileNotFoundError:
        return (None, "") if present else _self_signed(desired, None)
    try:
        return Pair(chain, key, _x509.verify(chain, key, desired.names, desired.ca_path)), "the authority has issued it"
    except ProductionError:
        if not desired.check_mode:
            os.unlink(desired.inside("acme", _CHAIN))  # of no use: the next run orders another
        raise


def _due(leaf: _x509.Certificate, desired: Desired) -> str:
    """Why one must be ordered, empty when the one in place is good."""
    return "the one in place is self-signed" if leaf.self_signed else _worn(leaf, desired)


_WANTED: dict[str, t.Callable[[Desired, Pair | None], tuple[Pair | None, str]]] = {
    "provided": _provided,
    "selfsigned": _self_signed,
    "acme": _acme,
}


def _worn(leaf: _x509.Certificate, desired: Desired) -> str:
    if set(leaf.names) != set(desired.names):
        return "the names have changed"
    if leaf.days_left() < desired.renew_days:
        return f"fewer than {desired.renew_days} days are left"
    return ""


def _order(desired: Desired) -> str:
    """The signing request of the certificate that is due; its key, and the account's, are made once."""
    for name in ("account.pem", "pending.pem"):
        if not os.path.exists(desired.inside("acme", name)):
            _atomic.write_file(desired.inside("acme", name), _x509_making.make_key(), 0o600)
    return _x509_making.make_request(desired.names, _text(desired.inside("acme", "pending.pem")))


def _forget_order(desired: Desired) -> None:
    for name in (_CHAIN, "pending.pem"):
        if os.path.exists(desired.inside("acme", name)):
            os.unlink(desired.inside("acme", name))


# --- on disk ------------------------------------------------------------------------------------------------------


def _prepare_folders(desired: Desired) -> bool:
    changed = False
    modes = {"": 0o700, "server": 0o755, os.path.join("server", _CHALLENGES): 0o755, "acme": 0o700}
    for part, mode in modes.items():
        folder = desired.inside(part) if part else desired.path
        os.makedirs(folder, exist_ok=True)
        if stat.S_IMODE(os.stat(folder).st_mode) != mode:
            os.chmod(folder, mode)
            changed = True
    return changed


def _install(desired: Desired, wanted: Pair) -> None:
    """Write the pair beside the one in place, switch, and let the server load it; whatever fails, the old one stays."""
    server = desired.inside("server")
    link = os.path.join(server, _CURRENT)
    before = os.readlink(link) if os.path.islink(link) else ""
    name = f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{time.time_ns() % 10**9:09d}"
    folder = os.path.join(server, name)
    os.mkdir(folder, 0o755)
    try:
        os.chmod(folder, 0o755)
        _atomic.write_file(os.path.join(folder, _CHAIN), wanted.chain.strip() + "\n", _CHAIN_MODE)
        _atomic.write_file(os.path.join(folder, _KEY), wanted.key.strip() + "\n", _KEY_MODE)
        os.chown(os.path.join(folder, _KEY), desired.owner, desired.owner)
        _atomic.switch_link(link, name)
        _load_anew(desired)
    except BaseException:
        if before:
            _atomic.switch_link(link, before)
        elif os.path.islink(link):
            os.unlink(link)
        shutil.rmtree(folder)
        raise
    for other in os.listdir(server):
        if other not in (_CURRENT, _CHALLENGES, name):
            shutil.rmtree(os.path.join(server, other))


def _own(desired: Desired) -> bool:
    """Owner and mode of the files in place, put right; whether they were not."""
    changed = False
    for name, mode, owner in ((_KEY, _KEY_MODE, desired.owner), (_CHAIN, _CHAIN_MODE, os.geteuid())):
        path = desired.inside("server", _CURRENT, name)
        found = os.stat(path)
        if (found.st_uid, stat.S_IMODE(found.st_mode)) != (owner, mode):
            os.chown(path, owner, owner)
            os.chmod(path, mode)
            changed = True
    return changed


def _load_anew(desired: Desired) -> None:
    """SIGHUP to every running container of the server: nginx takes the new pair for new connections, and drops none."""
    if not desired.reload:
        return
    project, service = desired.reload["project"], desired.reload["service"]
    with _docker.connect() as engine:
        for container in _docker.service_containers(engine, project, service):
            if container["State"]["Running"]:
                engine.kill(container["Id"], "SIGHUP")


def _text(path: str) -> str:
    with open(path, encoding="utf-8") as stream:
        return stream.read()


# --- what is told -------------------------------------------------------------------------------------------------


def _result(leaf: _x509.Certificate, due: str, desired: Desired) -> CheckResult:
    kind = "self-signed" if leaf.self_signed else f"by {leaf.issuer}"
    message = f"{', '.join(leaf.names)}, {kind}, valid for {int(leaf.days_left())} days"
    if due:
        return CheckResult("Certificate", "Security", PASS, message=f"{message}; a new one is ordered: {due}")
    if leaf.days_left() < desired.renew_days:
        return CheckResult("Certificate", "Security", WARN, False, message=message, remedy="Give a new one in time.")
    return CheckResult("Certificate", "Security", PASS, message=message)


def _described(pair: Pair | None) -> str:
    """What a diff shows: never the key."""
    if not pair:
        return ""
    data = pair.leaf.data()
    shown = ("subject", "issuer", "names", "not_before", "not_after", "fingerprint_sha256")
    return "".join(f"{key}: {', '.join(data[key]) if key == 'names' else data[key]}\n" for key in shown)
