# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The root file system, with an Engine and a `mmdebstrap` that do what the test says."""

from __future__ import annotations

import os

import docker
import pytest

from ansible_collections.tria.production.plugins.module_utils import _apt, _docker, _rootfs
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError

NAME = "tria-base/debian:bookworm"
LINE = "deb http://deb.example.org/debian bookworm main"


class Engine:
    """Keeps what is imported; `deaf` imports nothing."""

    def __init__(self):
        self.images = {}
        self.deaf = False

    def inspect_image(self, name):
        if name not in self.images:
            raise docker.errors.ImageNotFound(name)
        return {"Id": self.images[name]}

    def import_image_from_file(self, archive, repository, tag):
        with open(archive, encoding="utf-8") as stream:
            content = stream.read()
        if not self.deaf:
            self.images[f"{repository}:{tag}"] = f"sha256:{content.strip()}"


@pytest.fixture
def engine(monkeypatch):
    client = Engine()
    monkeypatch.setattr(_docker, "connect", lambda timeout: client)
    monkeypatch.setattr(_apt, "sources", lambda codename: [{"line": LINE}] if codename == "bookworm" else [])
    return client


@pytest.fixture
def mmdebstrap(tmp_path, monkeypatch):
    """A `mmdebstrap` that is the given shell script; `$archive` is where its output goes."""

    def install(script):
        path = tmp_path / "mmdebstrap"
        path.write_text(
            f'#!/bin/sh\nfor word; do archive=$file; file=$word; done\necho "$@" > {tmp_path}/asked\n{script}\n'
        )
        path.chmod(0o755)

    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    install("cat > /dev/null; echo built > $archive")
    return install


def test_an_image_that_is_there(engine):
    engine.images[NAME] = "sha256:old"
    assert _rootfs.ensure_image(NAME, "bookworm") == {"changed": False, "image": "sha256:old"}


def test_check_mode(engine):
    assert _rootfs.ensure_image(NAME, "bookworm", write=False) == {"changed": True, "image": ""} and engine.images == {}


def test_building(engine, mmdebstrap, tmp_path):
    mmdebstrap(f"cat > {tmp_path}/sources; echo built > $archive")
    assert _rootfs.ensure_image(NAME, "bookworm") == {"changed": True, "image": "sha256:built"}
    assert (tmp_path / "sources").read_text() == LINE + "\n"  # the archives of this host
    asked = (tmp_path / "asked").read_text().split()
    assert asked[-3] == "bookworm" and asked[-1] == "-" and "--variant=minbase" in asked
    assert not os.path.exists(os.path.dirname(asked[-2]))  # nothing is left behind


def test_a_failed_build_says_why(engine, mmdebstrap):
    mmdebstrap("echo 'I: fine' >&2; echo 'E: cannot reach the archive' >&2; exit 1")
    with pytest.raises(ProductionError) as raised:
        _rootfs.ensure_image(NAME, "bookworm")
    assert (
        "bookworm" in raised.value.culprit
        and "E: cannot reach the archive" in raised.value.cause
        and engine.images == {}
    )


def test_an_engine_that_did_not_import(engine, mmdebstrap):
    engine.deaf = True
    with pytest.raises(ProductionError, match="did not import"):
        _rootfs.ensure_image(NAME, "bookworm")


def test_a_release_that_apt_does_not_know(engine):
    with pytest.raises(ProductionError) as raised:
        _rootfs.ensure_image("tria-base/debian:sid", "sid")
    assert raised.value.culprit == "sid" and "sources.list.d" in raised.value.remedy


def test_no_mmdebstrap(engine, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ProductionError) as raised:
        _rootfs.ensure_image(NAME, "bookworm")
    assert raised.value.culprit == "mmdebstrap" and "Install" in raised.value.remedy


@pytest.mark.parametrize("name", ["tria-base/debian", ":bookworm", "registry:5000/debian"])
def test_a_name_without_a_tag(name):
    with pytest.raises(ProductionError, match="names no tag"):
        _rootfs.ensure_image(name, "bookworm")
