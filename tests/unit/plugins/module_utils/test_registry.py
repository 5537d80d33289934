# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which registry an image is of, who to be there, and what is made of an Engine's words.

What real registries make an Engine say is in tests/integration.
"""

from __future__ import annotations

import threading
import time

import docker
import pytest

from ansible_collections.tria.production.plugins.module_utils import _docker, _registry
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError


@pytest.mark.parametrize(
    ("image", "host"),
    [
        ("redis", "docker.io"),
        ("redis:7", "docker.io"),
        ("team/app:1", "docker.io"),
        ("localhost/app", "localhost"),
        ("localhost:5000/app:1", "localhost:5000"),
        ("registry.example.org/team/app@sha256:1", "registry.example.org"),
        ("host:5000/app", "host:5000"),
    ],
)
def test_the_registry_of_an_image(image, host):
    assert _registry.host_of(image) == host


@pytest.mark.parametrize("url", ["r.example.org:5000", "https://r.example.org:5000", "http://r.example.org:5000/v2/"])
def test_a_login_is_for_its_registry_alone(url):
    logins = _registry.Logins([{"url": url, "username": "me", "password": "s3cret"}])
    assert logins.of("r.example.org:5000/team/app:1") == {"username": "me", "password": "s3cret"}
    assert logins.of("r.example.org/app") is None and logins.of("redis:7") is None


@pytest.mark.parametrize("url", ["docker.io", "https://index.docker.io/v1/", "registry-1.docker.io"])
def test_names_of_docker_hub(url):
    logins = _registry.Logins([{"url": url, "username": "me", "password": "s3cret"}])
    assert logins.of("redis:7") == logins.of("docker.io/library/redis:7") == {"username": "me", "password": "s3cret"}


class Engine:
    """Has `present`; says `words` to whoever asks for another image, once `wait` is set, or pulls it."""

    def __init__(self, words="", present=(), slow=""):
        self.words, self.present, self.slow, self.wait = words, set(present), slow, threading.Event()

    def __enter__(self):
        return self

    def __exit__(self, *_exc):
        return None

    def inspect_image(self, name):
        if name not in self.present:
            raise docker.errors.ImageNotFound(name)
        return {"Id": "sha256:1"}

    def inspect_distribution(self, image, auth_config=None):
        if self.words:
            raise docker.errors.DockerException(self.words)
        return {"Descriptor": {"digest": "sha256:2"}}

    def pull(self, repository, tag, **_options):
        if repository == self.slow:
            self.wait.wait(10)
        if self.words:
            yield {"error": self.words}
        else:
            self.present.add(f"{repository}:{tag}")


@pytest.fixture(name="engine")
def engine_fixture(monkeypatch):
    def install(*args, **options):
        engine = Engine(*args, **options)
        monkeypatch.setattr(_docker, "connect", lambda timeout=10.0: engine)
        return engine

    return install


@pytest.mark.parametrize(
    ("words", "cause"),
    [
        ('Get "https://r.io/v2/": remote error: tls: handshake failure', "cannot be trusted"),
        ("pull access denied for x, repository does not exist", "refuses whoever has no login"),
        ("received unexpected HTTP status: 403 Forbidden", "refuses whoever has no login"),
        ("no matching manifest for linux/arm64 in the manifest list entries", "does not have it"),
        ("received unexpected HTTP status: 503 Service Unavailable", "cannot be reached"),
        ("dial tcp 1.2.3.4:443: i/o timeout", "cannot be reached"),
        ("write /var/lib/docker/tmp/x: no space left on device", "the Engine cannot take it"),
    ],
)
def test_what_the_engine_says(engine, words, cause):
    engine(words)
    with pytest.raises(ProductionError) as raised:
        _registry.ensure(["r.io/app:1"], [], 5)
    assert cause in raised.value.cause and words in raised.value.cause and raised.value.culprit == "r.io/app:1"
    with pytest.raises(ProductionError, match=cause):
        _registry.resolve(["r.io/app:1"], [], {}, 5)


def test_a_secret_in_what_the_engine_says(engine):
    engine("unauthorized: s3cret-token is not valid")
    with pytest.raises(ProductionError) as raised:
        _registry.ensure(["r.io/app:1"], [{"url": "r.io", "username": "me", "password": "s3cret-token"}], 5)
    assert "refuses the login of me" in raised.value.cause and "s3cret-token" not in str(raised.value)


def test_what_is_known_counts_only_when_nobody_answers(engine):
    known = {"r.io/app:1": "r.io/app:1@sha256:1"}
    engine("dial tcp: connection refused", present=known.values())
    found = _registry.resolve(known, [], known, 5)
    assert found["digests"] == known and "cannot be reached" in found["kept"]["r.io/app:1"]
    engine("manifest unknown", present=known.values())
    with pytest.raises(ProductionError, match="does not have it"):
        _registry.resolve(known, [], known, 5)


def test_a_pull_that_takes_too_long(engine):
    slow = engine(slow="r.io/slow")
    begun = time.monotonic()
    with pytest.raises(ProductionError, match="registry r.io did not give it within 0 s.*stack_pull_timeout") as raised:
        _registry.ensure(["r.io/slow:1", "r.io/app:1"], [], 0.2)
    assert raised.value.culprit == "r.io/slow:1" and time.monotonic() - begun < 5
    slow.wait.set()


def test_the_first_failure_ends_the_others(engine):
    slow = engine("manifest unknown", slow="r.io/slow")
    begun = time.monotonic()
    with pytest.raises(ProductionError) as raised:
        _registry.ensure(["r.io/slow:1", "r.io/b:1", "r.io/a:1"], [], 60)
    assert raised.value.culprit == "r.io/a:1, r.io/b:1" and time.monotonic() - begun < 5
    slow.wait.set()


def test_an_image_that_is_not_there_after_it_was_pulled(engine, monkeypatch):
    deaf = engine()
    monkeypatch.setattr(deaf, "pull", lambda *args, **options: iter(()))
    with pytest.raises(ProductionError, match="was pulled, but is not there"):
        _registry.ensure(["r.io/app:1"], [], 5)


def test_nothing_to_ask_for(engine):
    engine()
    assert _registry.resolve([], [], {}, 5) == {"digests": {}, "kept": {}}
    assert _registry.ensure([], [], 5) == {"changed": False, "pulled": []}
