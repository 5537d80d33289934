# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The stack's files agree: Compose file, schema, example and application know the same variables."""

from __future__ import annotations

import re

import pytest

from config.settings import EnvironmentInvalid, load_settings
from servers import BACKEND

STACK = BACKEND.parent
COMPOSE = (STACK / "compose.yaml").read_text()
OVERLAYS = "".join((STACK / f"compose.{name}.yaml").read_text() for name in ("tls", "hosts", "hosts.tls"))
# Set by `docker compose` itself or by whoever builds the images, not by an operator.
NOT_IN_ENV_FILE = {"COMPOSE_PROJECT_NAME", "IMAGE_TAG"}


def interpolated() -> dict[str, bool]:
    """Variables of the Compose files, and whether they require them."""
    found: dict[str, bool] = {}
    for name, required in re.findall(r"(?<!\$)\$\{([A-Z0-9_]+)(:\?)?", COMPOSE + OVERLAYS):
        found[name] = found.get(name, False) or bool(required)
    return {name: required for name, required in found.items() if name not in NOT_IN_ENV_FILE}


def described() -> dict[str, bool]:
    """Variables of the schema, and whether it requires them."""
    text = (STACK / "env.schema.yaml").read_text().split("\nvariables:\n")[1].split("\nrequired_together:")[0]
    entries = re.split(r"^  (?=[A-Z0-9_]+:)", text, flags=re.MULTILINE)[1:]
    return {entry.split(":")[0]: "required: true" in entry for entry in entries}


class Recording(dict[str, str]):
    """An empty environment that remembers what it was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: set[str] = set()

    def get(self, key: str, default: str = "") -> str:  # type: ignore[override]
        self.asked.add(key)
        return default


def test_compose_and_schema_know_the_same_variables() -> None:
    assert set(interpolated()) == set(described())


def test_compose_and_schema_require_the_same_variables() -> None:
    assert {name for name, required in interpolated().items() if required} == {
        name for name, required in described().items() if required
    }


def test_the_example_names_every_variable() -> None:
    example = (STACK / ".env.example").read_text()
    assert set(re.findall(r"^(?:# )?([A-Z0-9_]+)=", example, re.MULTILINE)) == set(described())


def test_the_application_is_given_every_operators_variable_that_it_reads() -> None:
    environ = Recording()
    with pytest.raises(EnvironmentInvalid):
        load_settings(environ)
    backend = COMPOSE.split("\n  backend:")[1].split("\n  migrate:")[0]
    given = set(re.findall(r"^      ([A-Z0-9_]+):", backend, re.MULTILINE))
    tuning = {"PORT", "DATABASE_POOL_SIZE", "STARTUP_TIMEOUT", "SHUTDOWN_TIMEOUT", "SHUTDOWN_DRAIN", "OPENAI_TIMEOUT",
              "OPENAI_CHECK_INTERVAL", "IDEMPOTENCY_TTL", "UPLOAD_PATH"}
    assert environ.asked - tuning == given


def test_the_backend_does_not_know_the_owner_of_the_database() -> None:
    services = COMPOSE.split("\nservices:")[1].split("\nnetworks:")[0]
    backend = services.split("\n  backend:")[1].split("\n  migrate:")[0]
    assert "DATABASE_URL: ${APP_DATABASE_URL:?}" in backend
    assert "POSTGRES_" not in backend and "${DATABASE_URL" not in backend
    assert services.count("${DATABASE_URL:?}") == 1


def test_no_service_gets_the_whole_env_file() -> None:
    assert "env_file" not in COMPOSE + OVERLAYS
    assert COMPOSE.count("ports:") == 1
    assert "container_name" not in COMPOSE
