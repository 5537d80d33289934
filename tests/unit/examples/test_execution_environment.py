# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What ansible-builder makes of the definitions of collection and example; the image itself needs registries."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import yaml
from pipelines import ROOT

from ansible_collections.tria.production.plugins.module_utils import _deps

EXAMPLE = ROOT / "examples" / "execution-environment"


def builder(*arguments):
    command = [sys.executable, "-m", "ansible_builder", *map(str, arguments)]
    done = subprocess.run(command, cwd=EXAMPLE, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_collection_brings_its_libraries_and_not_those_of_its_tests(tmp_path):
    folder = tmp_path / "ansible_collections" / "tria"
    folder.mkdir(parents=True)
    os.symlink(ROOT, folder / "production")
    builder("introspect", tmp_path, "--write-pip", tmp_path / "pip.txt", "--write-bindep", tmp_path / "bindep.txt")
    python = set(re.findall(r"^([\w-]+)[>=]", (tmp_path / "pip.txt").read_text(), re.MULTILINE))
    # PyYAML is Ansible's own, and ansible-builder leaves it out
    assert python == {name for name, _package in _deps.LIBRARIES.values()} - {"PyYAML"} | {"requests"}
    packages = re.findall(r"^([\w-]+) \[platform:(\w+)\]", (tmp_path / "bindep.txt").read_text(), re.MULTILINE)
    assert packages == [("openssh-client", "dpkg"), ("openssh-clients", "rpm")]


def test_the_example_gives_a_build_context(tmp_path):
    context = tmp_path / "context"
    output = builder("create", "--context", context, "--output-filename", "Containerfile")
    assert "The build context can be found at" in output
    definition = yaml.safe_load((EXAMPLE / "execution-environment.yml").read_text(encoding="utf-8"))
    containerfile = (context / "Containerfile").read_text(encoding="utf-8")
    assert f'ARG EE_BASE_IMAGE="{definition["images"]["base_image"]["name"]}"' in containerfile
    assert 'ARG PYPKG="python3.12"' in containerfile and "ansible-core>=2.16" in containerfile
    galaxy = (context / "_build" / "requirements.yml").read_text(encoding="utf-8")
    assert yaml.safe_load(galaxy) == yaml.safe_load((EXAMPLE / "requirements.yml").read_text(encoding="utf-8"))
