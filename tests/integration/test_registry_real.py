# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Images of a private registry that is started here: resolved to digests, pulled, and every way in which that fails."""

from __future__ import annotations

import importlib
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import threading
import time
import uuid

import pytest
from ansible.module_utils.testing import patch_module_args
from deployed_stack import ROOT
from registry_server import Registry
from tiny_image import import_programs

from ansible_collections.tria.production.plugins.module_utils import _docker, _registry
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError
from ansible_collections.tria.production.plugins.modules import stack_images

sys.path.append(str(ROOT / "tests" / "unit" / "plugins" / "module_utils"))
authority_module = importlib.import_module("authority")

pytestmark = pytest.mark.usefixtures("target_process")
NOBODY = {"username": "nobody", "password": "wrong-s3cret"}


@pytest.fixture(scope="module", name="images")
def images_fixture(engine):
    """Two local images that differ; their names."""
    names = [f"registry-test-{uuid.uuid4().hex[:8]}" for _each in range(2)]
    import_programs(engine, names[0], "/bin/sh", "/bin/sleep")
    import_programs(engine, names[1], "/bin/sh")
    yield [f"{name}:1" for name in names]
    for name in names:
        engine.remove_image(f"{name}:1", force=True)


@pytest.fixture(name="registry")
def registry_fixture(tmp_path, engine):
    registry = Registry(tmp_path)
    registry.start()
    yield registry
    registry.stop()
    registry.forget(engine)


@pytest.fixture(scope="module", name="outside")
def outside_fixture(engine):
    """An address of this host that the Engine does not take for its own, as it does 127.0.0.1: TLS is a must there."""
    return engine.inspect_network("bridge")["IPAM"]["Config"][0]["Gateway"]


def resolve(registry, *names, known=None, login=None, timeout=30):
    references = [f"{registry.address}/{name}" for name in names]
    return _registry.resolve(references, [login or registry.login], known or {}, timeout)


def test_a_tag_is_resolved_and_pulled_by_its_digest(engine, registry, images):
    digest = registry.push(engine, images[0], "team/app:1")
    reference = f"{registry.address}/team/app:1"

    found = resolve(registry, "team/app:1")

    assert found == {"digests": {reference: f"{reference}@{digest}"}, "kept": {}}
    pinned = f"{reference}@{digest}"
    assert _registry.ensure([pinned], [registry.login], 60, write=False) == {"changed": True, "pulled": [pinned]}
    assert not _docker.image_id(engine, pinned)
    assert _registry.ensure([pinned], [registry.login], 60) == {"changed": True, "pulled": [pinned]}
    assert _docker.image_id(engine, pinned) == _docker.image_id(engine, images[0])
    assert _registry.ensure([pinned], [], 60) == {"changed": False, "pulled": []}  # nobody is asked for what is there


def test_a_tag_that_is_moved(engine, registry, images):
    before = registry.push(engine, images[0], "app:latest")
    pinned = list(resolve(registry, "app:latest")["digests"].values())
    after = registry.push(engine, images[1], "app:latest")

    moved = list(resolve(registry, "app:latest")["digests"].values())

    assert before != after and pinned[0].endswith(before) and moved[0].endswith(after)
    _registry.ensure(pinned + moved, [registry.login], 60)
    pulled, pushed = ([_docker.image_id(engine, name) for name in names] for names in (pinned + moved, images))
    assert pulled == pushed


def test_an_image_that_names_its_digest_itself(registry):
    reference = f"{registry.address}/app@sha256:{'0' * 64}"
    assert _registry.resolve([reference], [], {}, 5)["digests"] == {reference: reference}


@pytest.mark.parametrize(
    ("login", "cause"),
    [(NOBODY, "refuses the login of nobody: "), (None, "refuses whoever has no login: ")],
)
def test_a_login_that_is_not_good(engine, registry, images, login, cause):
    digest = registry.push(engine, images[0], "app:1")
    reference = f"{registry.address}/app:1"
    registries = [{"url": f"https://{registry.address}/v2/", **login}] if login else []
    for ask in (
        lambda: _registry.resolve([reference], registries, {reference: images[0]}, 30),  # no known image helps here
        lambda: _registry.ensure([f"{reference}@{digest}"], registries, 30),
    ):
        with pytest.raises(ProductionError) as raised:
            ask()
        assert raised.value.culprit.startswith(reference)
        assert f"registry {registry.address} {cause}" in raised.value.cause
        assert "stack_registries" in raised.value.remedy and NOBODY["password"] not in str(raised.value)


def test_all_images_that_are_missing_at_once(engine, registry, images):
    registry.push(engine, images[0], "app:1")
    with pytest.raises(ProductionError) as raised:
        resolve(registry, "app:1", "app:2", "other:1")
    assert raised.value.culprit == f"{registry.address}/app:2, {registry.address}/other:1"
    assert f"registry {registry.address} does not have it: " in raised.value.cause
    gone = f"{registry.address}/app:1@sha256:{'0' * 64}"
    with pytest.raises(ProductionError, match="does not have it") as raised:
        _registry.ensure([gone], [registry.login], 30)
    assert raised.value.culprit == gone


def test_a_registry_that_is_down(engine, registry, images):
    registry.push(engine, images[0], "app:1")
    pinned = resolve(registry, "app:1")["digests"]
    registry.stop()
    with pytest.raises(ProductionError, match=f"registry {registry.address} cannot be reached: .*refused"):
        resolve(registry, "app:1")
    with pytest.raises(ProductionError, match="cannot be reached"):
        resolve(registry, "app:1", known=pinned)  # known, but not here
    with pytest.raises(ProductionError, match="cannot be reached"):
        _registry.ensure(pinned.values(), [registry.login], 30)
    registry.start()
    _registry.ensure(pinned.values(), [registry.login], 30)
    registry.stop()

    found = resolve(registry, "app:1", known=pinned)

    assert found["digests"] == pinned and list(found["kept"]) == list(pinned)


def test_a_registry_that_has_no_name(engine):
    with pytest.raises(ProductionError, match="registry registry.invalid cannot be reached"):
        _registry.resolve(["registry.invalid/app:1"], [], {}, 30)


@pytest.fixture(name="silent")
def silent_fixture():
    """The address of a server that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.parametrize("ask", [_registry.ensure, lambda *asked: _registry.resolve(*asked[:2], {}, asked[2])])
def test_a_registry_that_never_answers(silent, ask):
    begun = time.monotonic()
    with pytest.raises(ProductionError, match=f"registry {silent} (cannot be reached|did not give it within 2 s)"):
        ask([f"{silent}/app:1"], [], 2)
    assert time.monotonic() - begun < 10


def test_tls_of_an_authority_that_the_host_knows_or_not(tmp_path, engine, images, outside):
    authority = authority_module.Authority(tmp_path)
    registry = Registry(tmp_path, outside, authority.issue(outside))
    registry.start()
    trusted = pathlib.Path("/etc/docker/certs.d", registry.address)
    try:
        for ask in (
            lambda: resolve(registry, "app:1"),
            lambda: _registry.ensure([f"{registry.address}/app:1"], [registry.login], 30),
        ):
            with pytest.raises(ProductionError, match="cannot be trusted: .*unknown authority.*ca_path"):
                ask()
        trusted.mkdir(parents=True)
        shutil.copy(authority.root, trusted / "ca.crt")
        digest = registry.push(engine, images[0], "app:1")
        assert list(resolve(registry, "app:1")["digests"].values()) == [f"{registry.address}/app:1@{digest}"]
    finally:
        shutil.rmtree(trusted, ignore_errors=True)
        registry.stop()


def test_without_tls_only_where_the_engine_is_told_so(tmp_path, outside):
    registry = Registry(tmp_path, outside)
    registry.start()
    try:
        with pytest.raises(ProductionError, match="cannot be trusted: .*to HTTPS client.*insecure-registries"):
            resolve(registry, "app:1")
    finally:
        registry.stop()


def module(capsys, check_mode=False, **args):
    with patch_module_args({**args, "_ansible_check_mode": check_mode}), pytest.raises(SystemExit) as ended:
        stack_images.main()
    out = capsys.readouterr().out
    return ended.value.code, json.loads(out), out


COMPOSE = [
    {"services": {"app": {"image": "${REGISTRY:?}/app:1"}}},
    {"services": {"extra": {"image": "${REGISTRY}/no:1", "profiles": ["x"]}}},
]


def test_the_module(capsys, tmp_path, engine, registry, images):
    digest = registry.push(engine, images[0], "app:1")
    release = {"root": str(tmp_path / "stack"), "project": "x", "compose": COMPOSE}
    asked = {**release, "env_content": f"REGISTRY={registry.address}\n", "registries": [registry.login], "timeout": 30}

    code, result, out = module(capsys, state="resolved", **asked)

    reference = f"{registry.address}/app:1"
    assert code == 0 and result["digests"] == {reference: f"{reference}@{digest}"} and not result["changed"]
    assert registry.password not in out
    pull = {"images": list(result["digests"].values()), "registries": [registry.login]}
    for check_mode, changed in ((True, True), (False, True), (True, False), (False, False)):
        code, result, out = module(capsys, check_mode, state="present", **pull)
        assert (code, result["changed"]) == (0, changed) and registry.password not in out
    code, result, _out = module(capsys, state="resolved", **asked, profiles=["x"])
    assert code == 1 and result["culprit"] == f"{registry.address}/no:1"


def test_no_engine(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    asked = {"state": "resolved", "root": str(tmp_path), "project": "x", "compose": COMPOSE, "env_content": "REGISTRY=a.b"}
    code, result, _out = module(capsys, True, **asked)
    assert code == 0 and result["digests"] == {} and "does not answer" in str(result["warnings"])
    assert module(capsys, **asked)[0] == 1


def test_nothing_of_a_login_is_kept_or_shown(tmp_path, engine, registry, images):
    """While and after a task uses it: not on disk, not among the arguments or variables of a process, not in a log."""
    registry.push(engine, images[0], "app:1")
    play = tmp_path / "play.yml"
    play.write_text(
        f"""
- hosts: localhost
  gather_facts: false
  tasks:
    - tria.production.stack_images:
        state: present
        images: ["{registry.address}/app:1"]
        registries: [{{url: {registry.address}, username: deployer, password: "{{{{ password }}}}"}}]
"""
    )
    secret = tmp_path / "secret.json"
    secret.write_text(json.dumps({"password": registry.password}))
    home = tmp_path / "home"
    home.mkdir()
    environment = {**os.environ, "HOME": str(home), "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
    command = [os.path.join(os.path.dirname(sys.executable), "ansible-playbook"), str(play)]
    command += ["-i", "localhost,", "-c", "local", "-vvv", "-e", f"ansible_python_interpreter={sys.executable}", "-e", f"@{secret}"]
    seen = set()
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        over = threading.Event()
        watch = threading.Thread(target=watch_processes, args=(registry.password.encode(), seen, over))
        watch.start()
        output, _nothing = process.communicate(timeout=120)
        over.set()
        watch.join()
    assert process.returncode == 0 and "changed=1" in output, output
    assert registry.password not in output and not seen
    kept = [path for path in home.rglob("*") if path.is_file() and registry.password.encode() in path.read_bytes()]
    assert kept == [] and not (home / ".docker").exists()


def watch_processes(secret, seen, over):
    while not over.wait(0.02):
        for name in ("cmdline", "environ"):
            for path in pathlib.Path("/proc").glob(f"[0-9]*/{name}"):
                try:
                    if secret in path.read_bytes():
                        seen.add(str(path))
                except OSError:  # it has ended
                    continue
