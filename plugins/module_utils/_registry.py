# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Images of registries, through the host's own Engine: which digest a name has now, and pulling it. Private.

The Engine talks to the registries, so its own settings say which authorities it trusts (`/etc/docker/certs.d`) and
which registries may do without TLS. A login goes with each request and is stored nowhere.
"""

from __future__ import annotations

import queue
import time
import typing as t

from ansible_collections.tria.production.plugins.module_utils import _deps, _docker, _redact
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError
from ansible_collections.tria.production.plugins.module_utils._probes._pool import Pool

_HUB = "docker.io"
_HUB_NAMES = ("index.docker.io", "registry-1.docker.io", "registry.hub.docker.com")
_AT_ONCE = 16
_ALIKE = 0.5  # s that other images have to fail as well, so that one error names them all

# What the Engine's words tell of a registry, the first that fits: (kind, words, cause, remedy).
_KINDS = (
    (
        "tls",
        ("x509:", "tls:", "gave HTTP response to HTTPS client"),
        "cannot be trusted",
        "Name its authority (ca_path in stack_registries). Without TLS, the Engine's insecure-registries must have it.",
    ),
    (
        "login",
        ("unauthorized", "no basic auth credentials", "authentication required", "denied", "forbidden"),
        "refuses {user}",
        "Correct username and password of this registry in stack_registries.",
    ),
    (
        "missing",
        ("manifest unknown", "name unknown", "not found", "no matching manifest"),
        "does not have it",
        "Push it, or correct its name in the Compose file.",
    ),
    (
        "unreachable",
        ("dial ", "lookup ", "no such host", "timeout", "timed out", "deadline exceeded", "EOF", "connection re",
         "network is unreachable", "no route to host", "unexpected HTTP status: 5"),
        "cannot be reached",
        "Start it, or let this host reach it.",
    ),
)  # fmt: skip


class RegistryError(ProductionError):
    """What kept one image from being resolved or pulled; `kind` is tls, login, missing, unreachable or other."""

    def __init__(self, image: str, kind: str, cause: str, remedy: str) -> None:
        super().__init__(image, cause, remedy)
        self.kind = kind


def host_of(image: str) -> str:
    """The registry of an image: `docker.io` unless its name starts with a host."""
    first, slash, _rest = image.partition("/")
    return first if slash and (first == "localhost" or "." in first or ":" in first) else _HUB


class Logins:
    """Who this host is to each registry, from `[{url, username, password}]`; the last one for a host counts."""

    def __init__(self, registries: t.Iterable[dict[str, t.Any]]) -> None:
        self._by_host = {_host_of_url(one["url"]): one for one in registries if one.get("username")}

    def of(self, image: str) -> dict[str, str] | None:
        """As the Engine's API wants it; None leaves it to what was logged in to on this host by hand."""
        one = self._by_host.get(host_of(image))
        return {"username": one["username"], "password": one["password"]} if one else None

    def user(self, image: str) -> str:
        one = self._by_host.get(host_of(image))
        return f"the login of {one['username']}" if one else "whoever has no login"

    def secrets(self) -> list[str]:
        return [one["password"] for one in self._by_host.values()]


def _host_of_url(url: str) -> str:
    host = url.rpartition("://")[2].partition("/")[0]
    return _HUB if host in _HUB_NAMES else host


def resolve(
    references: t.Iterable[str], registries: t.Iterable[dict[str, t.Any]], known: dict[str, str], timeout: float
) -> dict[str, t.Any]:
    """Which digest each image has in its registry now: `digests` {reference: `reference@sha256:…`}.

    When a registry cannot be reached within `timeout` seconds, what is `known` of an earlier release counts, as long as
    the host has that image; `kept` then says for which and why. Raises `ProductionError`.
    """
    logins = Logins(registries)
    kept: dict[str, str] = {}

    def digest(reference: str) -> str:
        if "@" in reference:
            return reference
        with _docker.connect(timeout) as client:
            try:
                login = logins.of(reference)
                found = _asking(reference, logins, lambda: client.inspect_distribution(reference, login))
            except RegistryError as exc:
                pinned = known.get(reference, "")
                if exc.kind != "unreachable" or not pinned or not _docker.image_id(client, pinned):
                    raise
                kept[reference] = exc.cause
                return pinned
        return f"{reference}@{found['Descriptor']['digest']}"

    return {"digests": _for_each(digest, sorted(set(references)), 2 * timeout), "kept": kept}


def ensure(
    images: t.Iterable[str], registries: t.Iterable[dict[str, t.Any]], timeout: float, write: bool = True
) -> dict[str, t.Any]:
    """Pull what this host lacks of `images`, several at a time, all of them within `timeout` seconds.

    Returns `changed` and `pulled`, those that were missing. Raises `ProductionError`.
    """
    logins = Logins(registries)
    with _docker.connect() as client:
        missing = sorted(image for image in set(images) if not _docker.image_id(client, image))

    def pull(image: str) -> None:
        with _docker.connect(timeout) as client:
            _asking(image, logins, lambda: _pull(client, image, logins))
            if not _docker.image_id(client, image):
                raise ProductionError(image, "was pulled, but is not there.", "See the Engine's log.")

    if write:
        _for_each(pull, missing, timeout)
    return {"changed": bool(missing), "pulled": missing}


def _pull(client: t.Any, image: str, logins: Logins) -> None:
    name, _at, digest = image.partition("@")
    repository, colon, tag = name.rpartition(":")
    if not colon or "/" in tag:
        repository, tag = name, "latest"
    told = client.pull(repository, digest or tag, auth_config=logins.of(image), stream=True, decode=True)
    failures = [one["error"] for one in told if "error" in one]
    if failures:
        raise _deps.load("docker").errors.DockerException(failures[0])


def _asking(image: str, logins: Logins, ask: t.Callable[[], t.Any]) -> t.Any:
    """What `ask` gives; what the Engine says against it becomes a `RegistryError`."""
    docker, urllib3 = _deps.load("docker"), _deps.load("urllib3")
    try:
        return ask()
    except (docker.errors.DockerException, urllib3.exceptions.HTTPError, OSError) as exc:
        said = _redact.redact(str(getattr(exc, "explanation", None) or exc), logins.secrets())
    for kind, words, cause, remedy in _KINDS:
        if any(word.lower() in said.lower() for word in words):
            cause = f"registry {host_of(image)} {cause.format(user=logins.user(image))}: {said}"
            raise RegistryError(image, kind, cause, remedy)
    cause = f"the Engine cannot take it from registry {host_of(image)}: {said}"
    raise RegistryError(image, "other", cause, "See the Engine's log.")


def _for_each(job: t.Callable[[str], t.Any], items: t.Sequence[str], timeout: float) -> dict[str, t.Any]:
    """`{item: job(item)}`, several at a time. The first failure ends it, whatever the others do; so does the time."""
    outcomes: queue.SimpleQueue[tuple[str, t.Any, Exception | None]] = queue.SimpleQueue()

    def run(item: str) -> None:
        try:
            outcomes.put((item, job(item), None))
        except Exception as exc:  # raised below, by who asked for it
            outcomes.put((item, None, exc))

    pool = Pool(_AT_ONCE)
    for item in items:
        pool.submit(run, item)
    done: dict[str, t.Any] = {}
    failures: list[Exception] = []
    deadline = time.monotonic() + timeout
    while len(done) + len(failures) < len(items):
        try:
            item, result, failure = outcomes.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            break
        if failure is None:
            done[item] = result
        else:
            failures.append(failure)
            deadline = min(deadline, time.monotonic() + _ALIKE)
    pool.close(0)
    if failures:
        raise _together(failures)
    if len(done) < len(items):
        waiting = [item for item in items if item not in done]
        hosts = ", ".join(sorted({host_of(item) for item in waiting}))
        remedy = "Find what slows the way there down, or allow more time (stack_pull_timeout)."
        cause = f"registry {hosts} did not give it within {timeout:.0f} s."
        raise RegistryError(", ".join(waiting), "unreachable", cause, remedy)
    return done


def _together(failures: list[Exception]) -> Exception:
    """Of what failed for one reason at one registry, one error that names all; else the first."""
    first = failures[0]
    if not isinstance(first, RegistryError):
        return first
    alike = [one for one in failures if isinstance(one, RegistryError) and _place(one) == _place(first)]
    return ProductionError(", ".join(sorted(one.culprit for one in alike)), first.cause, first.remedy)


def _place(error: RegistryError) -> tuple[str, str]:
    return error.kind, host_of(error.culprit)
