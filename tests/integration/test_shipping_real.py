# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Images from one real Engine to another: whole at first, then only what is missing."""

from __future__ import annotations

import json
import os
import pathlib
import stat
import subprocess
import sys
import tarfile
import uuid

import pytest

from ansible_collections.tria.production.plugins.module_utils import _docker, _shipping
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture(name="at")
def at_fixture(monkeypatch, there):
    """Call a function on this host or on the other one."""

    def call(host, function, *args):
        with monkeypatch.context() as patch:
            if host == "there":
                patch.setenv("DOCKER_HOST", there.url)
            return function(*args)

    return call


@pytest.fixture(scope="module", name="images")
def images_fixture(engine_client, base_images, tmp_path_factory):
    """A base image, and two images that are built on it: their names."""
    name = f"shipping-test-{uuid.uuid4().hex[:8]}"
    names = [f"{name}:base", f"{name}:one", f"{name}:two"]
    engine_client.images.get(base_images["nginx"]).tag(name, "base")
    for tag in ("one", "two"):
        folder = tmp_path_factory.mktemp(tag)
        (folder / "Dockerfile").write_text(f"FROM {names[0]}\nCOPY --chmod=0644 file /file\nRUN touch /tmp/{tag}\n")
        (folder / "file").write_text(tag * 1000)
        command = ["docker", "build", "--quiet", "--tag", f"{name}:{tag}", str(folder)]
        subprocess.run(command, check=True, capture_output=True)
    yield names
    for each in names:
        engine_client.images.remove(each, force=True)


@pytest.fixture(autouse=True)
def nothing_there(images, there):
    """Each test begins with a host that has none of the images."""
    with there.client() as client:
        for name in reversed(images):
            if _docker.image_id(client, name):
                client.remove_image(name, force=True)


def ship(at, images, path):
    """What the three steps do; gives what was wanted and the archive's size."""
    asked = at("there", _shipping.wanted, images)
    saved = at("here", _shipping.save, asked["images"], asked["layers"], asked["architecture"], str(path))
    at("there", _shipping.load, asked["images"], str(path))
    return asked, saved["size"]


def ids(at, host, images):
    def look():
        with _docker.connect() as client:
            return [_docker.image_id(client, image) for image in images]

    return at(host, look)


def test_only_what_is_missing_travels(at, images, tmp_path):
    base, one, two = images
    asked, whole = ship(at, [base], tmp_path / "base")
    assert asked["images"] == [base] and asked["layers"] == [] and whole > 10_000_000
    status = (tmp_path / "base").stat()
    assert (stat.S_IMODE(status.st_mode), status.st_uid) == (0o600, tmp_path.stat().st_uid)

    asked, small = ship(at, [one, base], tmp_path / "one")

    assert asked["images"] == [one] and asked["layers"] and small < 20_000
    assert ids(at, "there", [base, one]) == ids(at, "here", [base, one])
    again = at("there", _shipping.wanted, [base, one])
    assert again == {"images": [], "layers": [], "architecture": asked["architecture"]}
    _asked, both = ship(at, [two, one], tmp_path / "two")
    assert both < 20_000 and ids(at, "there", images) == ids(at, "here", images)


def test_several_images_share_their_layers_on_the_way(at, images, tmp_path):
    _asked, size = ship(at, images, tmp_path / "all")
    alone = at("here", _shipping.save, images[:1], [], "amd64", str(tmp_path / "base"))["size"]
    assert size < alone + 40_000 and ids(at, "there", images) == ids(at, "here", images)


def test_the_archive_belongs_to_who_is_to_fetch_it(at, images, tmp_path):
    os.chown(tmp_path, 65534, 65534)
    asked = at("there", _shipping.wanted, images[:1])
    at("here", _shipping.save, asked["images"], [], asked["architecture"], str(tmp_path / "archive"))
    assert (tmp_path / "archive").stat().st_uid == 65534


@pytest.mark.slow
def test_a_layer_that_was_removed_meanwhile(at, images, tmp_path, there):
    base, one, _two = images
    ship(at, [base], tmp_path / "base")
    asked = at("there", _shipping.wanted, [one])
    at("here", _shipping.save, [one], asked["layers"], asked["architecture"], str(tmp_path / "one"))
    with there.client() as client:
        client.remove_image(base, force=True)
    with pytest.raises(ProductionError, match="could not be loaded: .*next deploy") as raised:
        at("there", _shipping.load, [one], str(tmp_path / "one"))
    assert raised.value.culprit == one
    assert ship(at, [one], tmp_path / "again")[1] > 10_000_000


def test_what_cannot_be_shipped(at, images, tmp_path):
    path = tmp_path / "archive"
    with pytest.raises(ProductionError, match="is not on the host that builds.*stack_builder"):
        at("here", _shipping.save, ["shipping-test:none"], [], "amd64", str(path))
    with pytest.raises(ProductionError, match="is for amd64, and the host that wants it is riscv64.*stack_ship_images"):
        at("here", _shipping.save, images[:1], [], "riscv64", str(path))
    assert not path.exists()
    path.write_bytes(b"no archive")
    with pytest.raises(ProductionError, match="could not be loaded"):
        at("there", _shipping.load, images[:1], str(path))


def test_an_image_store_that_reads_every_layer(at, images, monkeypatch, tmp_path):
    """Engines that keep images in containerd, which the one here cannot without changing it, say so like this."""
    ship(at, images[:1], tmp_path / "base")
    monkeypatch.setattr(_shipping, "_WHOLE_ONLY", ["Supports d_type", "true"])
    assert at("there", _shipping.wanted, images)["layers"] == []


PLAY = """
- hosts: there
  gather_facts: false
  tasks:
    - tria.production.image_archive: {state: wanted, images: "{{ images }}"}
      register: wanted
    - tria.production.image_archive:
        state: saved
        images: "{{ wanted.images }}"
        layers: "{{ wanted.layers }}"
        architecture: "{{ wanted.architecture }}"
        path: "{{ path }}"
      delegate_to: here
      when: wanted.images
    - ansible.builtin.stat: {path: "{{ path }}"}
      delegate_to: localhost
      register: between
    - tria.production.image_archive: {state: loaded, images: "{{ wanted.images }}", path: "{{ path }}"}
      when: wanted.images
    - ansible.builtin.debug: {msg: "mode {{ between.stat.mode | default('none') }}"}
"""


@pytest.mark.slow
def test_through_the_controller(at, images, there, tmp_path):
    (tmp_path / "play.yml").write_text(PLAY.replace("when: wanted.images", "when: wanted.images | length > 0"))
    hosts = {
        "here": {"ansible_connection": "local", "ansible_python_interpreter": sys.executable},
        "there": {"ansible_connection": "local", "ansible_python_interpreter": there.interpreter()},
    }
    (tmp_path / "hosts.json").write_text(json.dumps({"all": {"hosts": hosts}}))
    path = tmp_path / "cache" / "images.tar.gz"
    remote = tmp_path / "remote"
    environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
    environment.update(ANSIBLE_LOCAL_TEMP=str(tmp_path / "local"), ANSIBLE_REMOTE_TEMP=str(remote))
    command = [os.path.join(os.path.dirname(sys.executable), "ansible-playbook"), str(tmp_path / "play.yml")]
    command += ["-i", str(tmp_path / "hosts.json"), "-e", json.dumps({"images": images[:2], "path": str(path)})]

    def play(*arguments):
        words = [*command, *arguments]
        done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert not path.exists() and [each for each in remote.rglob("*") if each.is_file()] == []
        return done.stdout

    assert "changed=2" in play("--check") and ids(at, "there", images[:2]) == ["", ""]
    first = play()
    assert "changed=2" in first and "mode 0600" in first
    assert ids(at, "there", images[:2]) == ids(at, "here", images[:2])
    assert "changed=0" in play()


def test_layers_are_left_out_only_where_no_image_of_the_archive_needs_them(tmp_path):
    """As older Engines write it: a layer that occurs twice is there once, and a link to it."""
    diff_ids = [f"sha256:{digit * 64}" for digit in "abc"]
    files = {
        "manifest.json": [
            {"Config": "one.json", "Layers": ["1/layer.tar", "2/layer.tar"]},
            {"Config": "two.json", "Layers": ["3/layer.tar", "4/layer.tar"]},
        ],
        "one.json": {"rootfs": {"diff_ids": diff_ids[:2]}},
        "two.json": {"rootfs": {"diff_ids": [diff_ids[2], diff_ids[0]]}},
    }
    whole = tmp_path / "whole.tar"
    with tarfile.open(whole, "w") as tar:
        for name, content in files.items():
            (tmp_path / name).write_text(json.dumps(content))
            tar.add(tmp_path / name, name)
        for name in ("1", "2", "3"):
            tar.add(tmp_path / "one.json", f"{name}/layer.tar")
        link = tarfile.TarInfo("4/layer.tar")
        link.type, link.linkname = tarfile.SYMTYPE, "../1/layer.tar"
        tar.addfile(link)

    def kept(*layers):
        _shipping.without(str(whole), set(layers), str(tmp_path / "archive"))
        with tarfile.open(tmp_path / "archive") as tar:
            return {name for name in tar.getnames() if name.endswith("layer.tar")}

    one, two = _shipping.chain_ids(diff_ids[:2]), _shipping.chain_ids([diff_ids[2], diff_ids[0]])
    every = {f"{number}/layer.tar" for number in "1234"}
    assert kept() == every
    assert kept(one[0]) == every  # the second image has the same layer elsewhere
    assert kept(one[0], one[1], two[0]) == {"1/layer.tar", "4/layer.tar"}
    assert kept(*one, *two) == {"4/layer.tar"}  # a link to nothing, which nobody reads


def test_chain_ids():
    low, high = f"sha256:{'a' * 64}", f"sha256:{'b' * 64}"
    assert _shipping.chain_ids([low]) == [low] and _shipping.chain_ids([]) == []
    assert _shipping.chain_ids([low, high])[1] == "sha256:" + _sha256(f"{low} {high}")


def _sha256(text):
    return subprocess.run(["sha256sum"], input=text, capture_output=True, text=True, check=True).stdout.split()[0]
