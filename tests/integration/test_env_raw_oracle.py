# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Env files of `format: raw` against `docker --env-file`, whose parser Compose uses for them: not one difference."""

from __future__ import annotations

import concurrent.futures
import os
import random
import subprocess

import pytest
from ansible_collections.tria.production.plugins.module_utils._env import raw

SHELL = {"OUTER": "from $outside", "EMPTY": ""}
HARD = [
    "A='a$b' # c\\n \n",
    "\ufeffA=1\r\nB=2\r\r\nC=3",
    " \t\v\u00a0\u2003A=1\n  # B=2\n\nC=\nD==\n",
    "OUTER\nEMPTY\nGONE\n",
    "export A=1\n",
    "A =1\n",
    "=1\n",
    "A\t\n",
    "A=1\nA=2\n",
    "A-b.c[d]é=2\nexport=1\n1=2\n",
    "A=" + "x" * (64 * 1024 - 3) + "\n",
    "A=" + "x" * (64 * 1024 - 3) + "\r\n",
    "A=" + "x" * (64 * 1024 - 2),
]
PIECES = ["A", "B=", "=", " ", "\t", "\r", "\n", "\n", "#", "$A", "'", '"', "\\", "\u00a0", "é", "OUTER", "export "]


def ours(text):
    document = raw.parse(text, SHELL.get)
    return None if document.failed else document.values


@pytest.fixture(name="theirs")
def fixture_theirs(engine_client, base_images, tmp_path):
    """What containers get by the Docker command line; None where it refuses the file."""
    image = engine_client.images.get(base_images["redis"])
    inherited = {pair.partition("=")[0] for pair in image.attrs["Config"]["Env"]}

    def read(number, text):
        path = tmp_path / f"{number}.env"
        path.write_bytes(text.encode("utf-8"))
        command = ["docker", "create", "--network", "none", "--env-file", str(path), image.id]
        environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), **SHELL}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
        if done.returncode:
            return None
        container = engine_client.containers.get(done.stdout.strip())
        pairs = dict(pair.split("=", 1) for pair in container.attrs["Config"]["Env"])
        container.remove()
        return {name: value for name, value in pairs.items() if name not in inherited}

    def readings(texts):
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            return list(pool.map(read, range(len(texts)), texts))

    return readings


def test_no_difference_to_the_docker_command_line(theirs):
    source = random.Random(7)
    generated = ["".join(source.choices(PIECES, k=source.randrange(1, 12))) for _count in range(80)]
    texts = [*HARD, *generated]
    mine = [ours(text) for text in texts]
    assert 20 < sum(reading is not None for reading in mine) < len(texts) - 20
    assert mine == theirs(texts)
