# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What `.dockerignore` leaves out of a real build, against what the hash of a build context leaves out."""

from __future__ import annotations

import io
import subprocess
import tarfile
import uuid

import pytest

from ansible_collections.tria.production.plugins.module_utils import _docker, _dockerignore

PATHS = [
    "a", "a.py", "ab.py", "b/a.py", "b/c/a.py", "b/c/d/x.txt", "src/main.py", "src/tests/test_x.py", "x.y.z", "tests/a",
    "docs/README.md", "README.md", ".env", "node_modules/x/y.js", "b/node_modules/x.js", "a[1].txt", "a1.txt", "*",
]  # fmt: skip
RULES = [
    "*.py", "**/*.py", "b", "/b/", "b/*", "b/**", "**/a.py", "b/**/x.txt", "?.py", "[ab].py", "[^b]", "**/node_modules",
    "*/c", "a[[]1].txt", "\\*", "b/../a", "**/*.py\n!b/c\n", "*\n!src\nsrc/tests\n!**/x.js", "# a\n  *.py \n! a.py\n",
    "**", "b**",
]  # fmt: skip


@pytest.fixture(scope="module")
def engine():
    with _docker.connect() as client:
        yield client


@pytest.mark.parametrize("rules", RULES)
def test_a_real_build(engine, tmp_path, rules):
    for path in PATHS:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(path)
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY . /context/\nCMD [x]\n")
    (tmp_path / ".dockerignore").write_text(rules)
    name = f"ignore-test-{uuid.uuid4().hex[:8]}"
    subprocess.run(["docker", "build", "--quiet", "--tag", name, str(tmp_path)], check=True, capture_output=True)
    try:
        container = engine.create_container(name, "x")["Id"]
        with tarfile.open(fileobj=io.BytesIO(b"".join(engine.export(container)))) as tar:
            built = {member.name[len("context/") :] for member in tar if member.isfile() and "context/" in member.name}
        engine.remove_container(container)
    finally:
        engine.remove_image(name)
    ignore = _dockerignore.Ignore(rules)
    assert {path for path in PATHS if not ignore.leaves_out(path)} == built.intersection(PATHS)
