# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""x-migrations with a real PostgreSQL: a Compose project whose one-shot is a shell script, and the reference stack."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import time
import uuid

import docker
import pytest

from ansible_collections.tria.production.plugins.module_utils import _migrations
from ansible_collections.tria.production.plugins.module_utils._compose_cli import Compose
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError

SCRIPT = """
set -eu
ask() { psql --quiet --no-align --tuples-only --set ON_ERROR_STOP=1 --command "$1"; }
ask 'SET client_min_messages = error; CREATE TABLE IF NOT EXISTS versions (id text)'
current=$(ask 'SELECT max(id) FROM versions')
case $1 in
up)
  for id in 1 2 3; do
    [ "$id" \\> "$current" ] || continue
    [ "$id" \\> "$2" ] && exit 0
    [ "$id" = "${3-}" ] && { echo "migration $id failed"; exit 4; }
    ask "BEGIN; CREATE TABLE made_by_$id (); INSERT INTO versions VALUES ('$id'); COMMIT"
  done;;
to)
  for id in 3 2 1; do
    [ "$2" = base ] || [ "$id" \\> "$2" ] || continue
    ask "BEGIN; DROP TABLE IF EXISTS made_by_$id; DELETE FROM versions WHERE id = '$id'; COMMIT"
  done;;
plan)
  pending=
  for id in 1 2 3; do
    reversible=true; [ "$id" = 3 ] && reversible=false  # the third one cannot be undone
    [ "$id" \\> "$current" ] && pending="$pending, {\\"id\\": \\"$id\\", \\"reversible\\": $reversible}"
  done
  echo "connected to $PGHOST"
  [ "$current" ] && current="\\"$current\\"" || current=null
  echo "{\\"current\\": $current, \\"head\\": \\"3\\", \\"pending\\": [${pending#, }]}";;
esac
"""
SETTINGS = {"plan": ["sh", "/script.sh", "plan"], "undo": ["sh", "/script.sh", "to", "{head}"]}


class Project:
    """A database and a one-shot; `release` is what `Compose` takes."""

    def __init__(self, folder, image):
        self.name = "migrations" + uuid.uuid4().hex[:8]
        self.password = secrets.token_hex(12)
        (folder / "script.sh").write_text(SCRIPT, encoding="utf-8")
        (folder / ".env").write_text(f"PASSWORD={self.password}\n", encoding="utf-8")
        client = {"PGHOST": "db", "PGUSER": "shop", "PGDATABASE": "shop", "PGPASSWORD": "${PASSWORD}"}
        services = {
            "db": {
                "image": image,
                "environment": {"POSTGRES_USER": "shop", "POSTGRES_DB": "shop", "POSTGRES_PASSWORD": "${PASSWORD}"},
                "healthcheck": {"test": ["CMD", "pg_isready", "-h", "127.0.0.1"], "interval": "500ms", "retries": 60},
            },
            "migrate": {
                "image": image,
                "environment": client,
                "volumes": ["./script.sh:/script.sh:ro"],
                "command": ["sh", "/script.sh", "up", "3"],
                "x-migrations": SETTINGS,
            },
        }
        (folder / "compose.yaml").write_text(json.dumps({"services": services}), encoding="utf-8")
        self.compose = Compose(str(folder), {"project": self.name, "compose_files": ["compose.yaml"], "profiles": []})

    def up(self, last, broken=""):
        """Run the migrations to the last one that is wanted; a broken one ends it with an error."""
        return self.compose.run("migrate", ["sh", "/script.sh", "up", last, broken], 60)

    def tables(self):
        query = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1"
        return self.compose.run("migrate", ["psql", "-qAt", "-c", query], 60).split()

    def one_offs(self):
        client = docker.from_env()
        labels = [f"com.docker.compose.project={self.name}", "com.docker.compose.oneoff=True"]
        found = client.containers.list(all=True, filters={"label": labels})
        client.close()
        return found


@pytest.fixture(name="project", scope="module")
def fixture_project(tmp_path_factory, base_images):
    project = Project(tmp_path_factory.mktemp("migrations"), base_images["postgres"])
    try:
        project.compose.up(["db"], 90, "--wait")
        yield project
    finally:
        down = ["docker", "compose", "--project-name", project.name, "down", "--volumes", "--timeout", "1"]
        subprocess.run(down, check=True, capture_output=True)


@pytest.fixture(name="migrations")
def fixture_migrations(project):
    """Those of the project, on an empty schema; of what it ran no container is left."""
    project.compose.run("migrate", ["psql", "-qc", "DROP SCHEMA public CASCADE; CREATE SCHEMA public"], 60)
    yield _migrations.Migrations(project.compose, "migrate", SETTINGS)
    assert project.one_offs() == []


def test_what_is_reversible_is_undone(project, migrations):
    before = migrations.plan()
    assert (before["current"], before["head"]) == (None, "3")
    assert [one["reversible"] for one in before["pending"]] == [True, True, False]
    project.up("1")
    one = migrations.plan()
    project.up("2")
    now = migrations.plan()
    assert (one["current"], now["current"]) == ("1", "2") and _migrations.ran(one, now) == ["2"]
    assert _migrations.irreversible(one, now) == []
    migrations.undo("1")
    assert migrations.plan() == one and project.tables() == ["made_by_1", "versions"]
    migrations.undo(None)
    assert migrations.plan() == before and project.tables() == ["versions"]


def test_one_that_cannot_be_undone_is_found(project, migrations):
    before = migrations.plan()
    project.up("3")
    found = _migrations.irreversible(before, migrations.plan())
    assert found == ["3"] and "migration 3 ran and cannot be undone" in str(_migrations.stopped(found, "b", "a"))


def test_what_failed_in_the_middle_is_seen(project, migrations):
    before = migrations.plan()
    with pytest.raises(ProductionError, match=r"ended with 4: [^$]*migration 3 failed"):
        project.up("3", broken="3")
    now = migrations.plan()
    assert _migrations.ran(before, now) == ["1", "2"] and _migrations.irreversible(before, now) == []
    migrations.undo(before["current"])
    assert migrations.plan() == before


def test_an_undo_that_did_nothing_is_an_error(project, migrations):
    project.up("2")
    lazy = _migrations.Migrations(project.compose, "migrate", {**SETTINGS, "undo": ["echo", "done", "{head}"]})
    with pytest.raises(ProductionError, match="`echo done 1` .* ended well, but the schema is at 2 instead of 1"):
        lazy.undo("1")


@pytest.mark.parametrize(
    ("script", "cause"),
    [
        ("echo '{\"current\": null'", "its last line is not JSON"),
        ("true", "it printed nothing"),
        ("echo no such table >&2; exit 3", "ended with 3: [^$]*no such table"),
        ("psql postgresql://shop:$PGPASSWORD@nowhere/shop", "ended with 2: [^$]*nowhere"),
        ("echo connecting to postgresql://shop:$PGPASSWORD@db/shop; exit 1", r"shop:\*{8}@db"),
    ],
)
def test_a_plan_that_is_none_names_service_and_command(project, migrations, script, cause):
    with pytest.raises(ProductionError, match=cause) as raised:
        _migrations.Migrations(project.compose, "migrate", {"plan": ["sh", "-c", script]}).plan()
    assert raised.value.culprit == "service migrate" and raised.value.cause.startswith(f"`sh -c {script}`")
    assert project.password not in str(raised.value)


def test_one_that_hangs_is_ended_with_its_container(project, migrations):
    begun = time.monotonic()
    with pytest.raises(ProductionError, match=r"service migrate: `sleep 300` did not end within 4 s\."):
        _migrations.Migrations(project.compose, "migrate", {"plan": ["sleep", "300"]}).plan(timeout=4)
    assert time.monotonic() - begun < 20 and project.one_offs() == []


# --- the reference stack ----------------------------------------------------------------------------------------------

NEXT = """
from alembic import op
revision = "next"
down_revision = "{head}"
reversible = {reversible}

def upgrade():
    op.execute("CREATE TABLE notes (id int); ALTER TABLE users ADD COLUMN note text")

def downgrade():
    op.execute("DROP TABLE notes; ALTER TABLE users DROP COLUMN note")
"""


@pytest.fixture(name="next_release")
def fixture_next_release(stack, tmp_path):
    """Makes the deployed release with a migration more."""

    def make(reversible):
        folder = stack.root / "current"
        record = json.loads((folder / "release.json").read_text())
        planted = tmp_path / "next.py"
        planted.write_text(NEXT.format(head=head, reversible=reversible), encoding="utf-8")
        os.chmod(planted, 0o644)
        mount = f"{planted}:/app/migrations/versions/next.py:ro"
        overlay = tmp_path / "next.yaml"
        overlay.write_text(json.dumps({"services": {"migrate": {"volumes": [mount]}}}), encoding="utf-8")
        files = [*record["compose_files"], str(overlay)]
        return Compose(str(folder.resolve()), {**record, "compose_files": files}), head

    ((head,),) = stack.sql("SELECT version_num FROM alembic_version")
    yield make
    stack.sql("DROP TABLE IF EXISTS notes; ALTER TABLE users DROP COLUMN IF EXISTS note")
    stack.sql(f"UPDATE alembic_version SET version_num = '{head}'")


REFERENCE = {"plan": ["python", "-m", "migrate", "--plan"], "undo": ["python", "-m", "migrate", "--to", "{head}"]}


def ready(stack):
    status, body = stack.get("/api/v1/health/readiness")
    return status == 200 and json.loads(body)["overall_healthy"]


def restarted(stack):
    """Restart the backend, which looks at the schema then, and wait for its readiness."""
    client = docker.from_env()
    client.containers.get(stack.containers()["backend"]["Id"]).restart()
    client.close()
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if stack.containers()["backend"]["State"]["Health"]["Status"] == "healthy":
            return ready(stack)
        time.sleep(0.5)
    return False


def test_the_reference_stack_goes_one_migration_on_and_back(stack, next_release):
    compose, head = next_release(reversible=True)
    migrations = _migrations.Migrations(compose, "migrate", REFERENCE)
    before = migrations.plan()
    assert before == {"current": head, "head": "next", "pending": [{"id": "next", "reversible": True}]}
    compose.run("migrate", ["python", "-m", "migrate"], 60)
    now = migrations.plan()
    assert _migrations.ran(before, now) == ["next"] and _migrations.irreversible(before, now) == []
    # the release that runs does not know that migration
    assert ready(stack) and restarted(stack)
    users = stack.sql("SELECT id, username FROM users ORDER BY id")
    migrations.undo(head)
    assert migrations.plan() == before and stack.sql("SELECT to_regclass('notes')") == [(None,)]
    assert stack.sql("SELECT id, username FROM users ORDER BY id") == users and ready(stack)


def test_the_reference_stack_refuses_to_undo_what_cannot_be_undone(stack, next_release):
    compose, head = next_release(reversible=False)
    migrations = _migrations.Migrations(compose, "migrate", REFERENCE)
    before = migrations.plan()
    compose.run("migrate", ["python", "-m", "migrate"], 60)
    assert _migrations.irreversible(before, migrations.plan()) == ["next"]
    with pytest.raises(ProductionError, match=r"ended with 20: [^$]*migration next cannot be undone"):
        migrations.undo(head)
    assert stack.sql("SELECT to_regclass('notes')") == [("notes",)]
