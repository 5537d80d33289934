# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""git's index and ignore files, read as git itself reads them: the program is the oracle."""

from __future__ import annotations

import os
import random
import subprocess
import time

import pytest

from ansible_collections.tria.production.plugins.module_utils import _git

QUIET = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null", "PATH": os.environ["PATH"]}


def git(folder, *arguments, status=0, **kwargs):
    command = ["git", "-C", str(folder), "-c", "init.defaultBranch=main", *arguments]
    done = subprocess.run(command, env=QUIET, capture_output=True, check=False, **kwargs)
    assert done.returncode in (status, 0), done.stderr
    return done


@pytest.fixture(name="work")
def fixture_work(tmp_path):
    work = tmp_path / "work"
    work.mkdir()
    git(work, "init", "--quiet")
    return work


def written(path, text="A=1\n"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def state(path):
    return _git.state(str(path))


def test_outside_of_any_work_tree(tmp_path):
    assert state(written(tmp_path / ".env")) == ""
    (tmp_path / ".git").mkdir()  # no repository
    assert state(tmp_path / ".env") == ""


def test_from_nothing_to_tracked(work):
    path = written(work / "deploy" / ".env")
    assert state(path) == "unignored"
    git(work, "add", ".")
    assert state(path) == "tracked"
    git(work, "rm", "--quiet", "--cached", "deploy/.env")
    written(work / ".gitignore", ".env\n")
    assert state(path) == "ignored"
    git(work, "add", "--force", "deploy/.env")
    assert state(path) == "tracked"  # what is tracked is not ignored


@pytest.mark.parametrize("version", [2, 3, 4])
@pytest.mark.parametrize("hashes", ["sha1", "sha256"])
def test_every_version_of_the_index(tmp_path, version, hashes):
    git(tmp_path, "init", "--quiet", f"--object-format={hashes}")
    names = ["a/.env", "a/.env.x", "a/b/c/.env", "b", "n" * 200 + "/é.env", "zz/last.env"]
    for name in names:
        written(tmp_path / name)
    git(tmp_path, "add", "--all")
    if version == 3:
        written(tmp_path / "later")
        git(tmp_path, "add", "--intent-to-add", "later")
        names.append("later")
    git(tmp_path, "update-index", "--index-version", str(version))
    assert (tmp_path / ".git" / "index").read_bytes()[4:8] == bytes([0, 0, 0, version])
    assert [state(tmp_path / name) for name in names] == ["tracked"] * len(names)
    assert state(written(tmp_path / "a" / ".en")) == state(written(tmp_path / "zz" / "last")) == "unignored"


def test_work_trees_and_submodules_have_their_git_directory_elsewhere(work, tmp_path):
    written(work / "a" / ".env")
    git(work, "add", ".")
    identity = ("-c", "user.name=x", "-c", "user.email=x@example.com")
    git(work, *identity, "commit", "--quiet", "-m", "x")
    git(work, "worktree", "add", "--quiet", str(tmp_path / "second"))
    written(work / ".git" / "info" / "exclude", "*.local\n")
    assert state(tmp_path / "second" / "a" / ".env") == "tracked"
    assert state(written(tmp_path / "second" / "x.env")) == "unignored"
    assert state(written(tmp_path / "second" / "x.local")) == "ignored"


@pytest.mark.parametrize(
    "damage", [b"", b"DIRC", b"DIRC\0\0\0\x02\0\0\0\x09" + b"\0" * 100, b"DIRC\0\0\0\x09\0\0\0\x01"]
)
def test_an_index_that_is_none(work, damage):
    path = written(work / ".env")
    (work / ".git" / "index").write_bytes(damage)
    assert state(path) == ("unknown" if damage else "unignored")


def test_an_index_that_cannot_be_read(work):
    path = written(work / ".env")
    os.mkfifo(work / ".git" / "index")
    assert state(path) == "unknown"
    (work / ".git" / "index").unlink()
    os.mkfifo(work / ".gitignore")
    assert state(path) == "unignored"


def test_a_split_index_is_unknown(work):
    for name in ("a", "b", ".env"):
        written(work / name)
    git(work, "add", "a", "b")
    git(work, "update-index", "--split-index")
    assert state(work / ".env") == "unknown"


LINES = """
.env
/.env
*.env
.env*
.env.*
!.env
!/a/.env
a/
/a/
a/*
a/**
**/.env
**/a/.env
a/**/.env
/**/c
**
*
!*/
.e[mn]v
.e[!x]v
.[a-z]nv
.[[:alpha:]]nv
.e?v
.en\\v
\\.env
# .env
\\#x
\\!x
!
a/b/.env
b/.env
/b
b/
!a/b/
c
.env/
[
.e[
.e[z-a]v
[]-a]x
[^a]env
**a
a**
*n*v
*e*v*
.*v
""".strip("\n").split("\n") + [".env\\ ", ".env   "]
PATHS = [*".env a/.env a/b/.env a/b/c/.env b/.env c x.env .env.local a/prod.env #x !x ]x".split(), ".env "]


def test_ignored_is_what_git_ignores(work):
    for path in PATHS:
        written(work / path)
    source = random.Random(7)
    cases = [[line] for line in LINES] + [source.sample(LINES, source.randint(2, 6)) for _case in range(60)]
    for index, lines in enumerate(cases):
        end = "\r\n" if index % 7 == 0 else "\n"
        (work / ".gitignore").write_bytes((("\ufeff" if index % 5 == 0 else "") + end.join(lines)).encode())
        nested = work / "a" / ".gitignore"
        if index % 3 == 0:
            nested.write_text("\n".join(source.sample(LINES, 2)), encoding="utf-8")
        elif nested.exists():
            nested.unlink()
        told = git(work, "check-ignore", "-z", "--stdin", input="\0".join(PATHS).encode(), status=1).stdout
        expected = set(told.decode().split("\0")) - {""}
        assert {path for path in PATHS if state(work / path) == "ignored"} == expected, (
            lines, nested.read_text(encoding="utf-8") if nested.exists() else ""
        )


def test_hostile_patterns_take_no_time(work):
    name = "a" * 250
    path = written(work / name)
    written(work / ".gitignore", "*a" * 120 + "*b\n" + "/".join(["**"] * 50) + "/x\n" + "[a" * 100 + "\n")
    began = time.monotonic()
    assert state(path) == "unignored"
    assert time.monotonic() - began < 1
