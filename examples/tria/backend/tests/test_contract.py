# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the API's own description promises, held against what it does, by Schemathesis.

The same cases in every run. Whether each case was accepted is not judged: an idempotency key that was used before or
a file of the wrong type is refused although the description allows it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from clients import Client
from servers import Process

CHECKS = (
    "not_a_server_error", "status_code_conformance", "content_type_conformance", "response_headers_conformance",
    "response_schema_conformance", "unsupported_method", "ignored_auth",
)
# They end the token that all other cases need; `test_auth` and `test_gdpr` have them.
LAST_CALLS = ("/users/logout", "/users/refresh", "/gdpr/delete-data")
HANGS_SECONDS = 180
# The application with two faults that only an account meets: an error far down the list, a status nobody knows of.
PLANTED = """
import sys
import api.uploads
import main
from storage.types import FileRefused

listed = api.uploads.list_contents

async def list_contents(engine, user, limit, offset):
    return await listed(engine, user, limit, offset) if offset < 1000 else (1 // 0)

def content_type_of(name, head):
    raise FileRefused(418, "teapot", "planted")

api.uploads.list_contents, api.uploads.content_type_of = list_contents, content_type_of
sys.exit(main.main())
"""


@pytest.fixture
def schemathesis(tmp_path: Path) -> Callable[..., tuple[int, str]]:
    """Runs it against an application, as an account or as nobody: exit status and what it says."""

    def run(app: Process, account: Client | None, *arguments: str) -> tuple[int, str]:
        program = [str(Path(sys.executable).with_name("schemathesis")), "run", f"{app.url}/openapi.json"]
        always = ["--checks", ",".join(CHECKS), "--generation-deterministic", "--continue-on-failure", "--no-color"]
        token = ["--header", f"Authorization: Bearer {account.token}"] if account else []
        done = subprocess.run([*program, *always, *token, *arguments], cwd=tmp_path, env=os.environ, text=True,
                              timeout=HANGS_SECONDS, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        return done.returncode, done.stdout

    return run


@pytest.fixture
def faulty(environment: Callable[..., dict[str, str]], tmp_path: Path) -> Iterator[Process]:
    """The application with the planted faults."""
    variables = environment(UPLOAD_PATH=str(tmp_path / "uploads"))
    process = Process([sys.executable, "-c", PLANTED], variables, tmp_path / "app.log", int(variables["PORT"]))
    process.wait_listening()
    yield process
    process.stop()


def test_an_account_finds_what_is_described(app: Process, schemathesis: Callable[..., tuple[int, str]]) -> None:
    account = Client(app).join()
    account.upload()
    without = [part for path in LAST_CALLS for part in ("--exclude-path", path)]
    status, said = schemathesis(app, account, "--max-examples", "3", *without)
    assert status == 0, said
    assert account.call("/users/profile").status == 200, "the token was lost on the way"


def test_nobody_finds_what_is_described(app: Process, schemathesis: Callable[..., tuple[int, str]]) -> None:
    status, said = schemathesis(app, None, "--max-examples", "4", "--phases", "fuzzing")
    assert status == 0, said


@pytest.mark.parametrize(("path", "found"), [("/contents", "Server error"), ("/upload", "Received: 418")])
def test_a_planted_fault_is_found(
    faulty: Process, schemathesis: Callable[..., tuple[int, str]], path: str, found: str
) -> None:
    status, said = schemathesis(faulty, Client(faulty).join(), "--include-path", path, "--phases", "coverage")
    assert status == 1 and found in said, said
