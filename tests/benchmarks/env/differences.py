# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How many env files are read otherwise than Docker Compose reads them: by us, and by python-dotenv."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
import tempfile

from integration import env_compose, env_corpus, env_generated

_READER = pathlib.Path(__file__).with_name("dotenv_reader.py")
_GENERATED, _SEED = 2000, 1


def count(python: str = sys.executable) -> tuple[int, int, int]:
    """Files of the corpus and generated ones, differences of ours, differences of python-dotenv.

    A difference is another value, another variable, or a file that only one of the two refuses. `python` is an
    interpreter that has python-dotenv.
    """
    texts = [*env_corpus.ACCEPTED, *env_corpus.REFUSED, *env_generated.texts(_GENERATED, _SEED)]
    ours = [env_compose.ours(text, env_corpus.SHELL) for text in texts]
    with tempfile.TemporaryDirectory() as folder:
        compose = env_compose.Compose(pathlib.Path(folder), env_corpus.SHELL)
        theirs = compose.readings(texts, [reading is None for reading in ours])
        dotenv = _by_dotenv(python, [compose.write(text) for text in texts])
    return len(texts), _unequal(ours, theirs), _unequal(dotenv, theirs)


def _by_dotenv(python: str, paths: list[str]) -> list[env_compose.Reading]:
    done = subprocess.run(
        [python, str(_READER)],
        input=json.dumps(paths),
        env={"PATH": os.environ["PATH"], "PYTHONPATH": os.environ.get("PYTHONPATH", ""), **env_corpus.SHELL},
        check=True,
        capture_output=True,
        text=True,
    )
    return json.loads(done.stdout)


def _unequal(left: list[env_compose.Reading], right: list[env_compose.Reading]) -> int:
    return sum(one != other for one, other in zip(left, right))
