# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The checklist against the deployed reference stack: no false alarm on the good one, every fault of a broken one."""

from __future__ import annotations

import docker
import pytest
from ansible_collections.tria.production.plugins.module_utils import _docker
from checklist_report import CATEGORIES, checks, report_in
from deployed_stack import project_copy, snapshot

# What is of the machine that the tests run on, and not of the stack.
OF_THE_MACHINE = {
    f"Security: {name} (host)" for name in ("SEC304 Disks", "SEC305 Clock synchronised", "SEC307 Security updates")
}
# What a container is that nobody meant, and that was started with --privileged.
OF_THE_ROGUE = (
    "SEC102 No privileged containers", "SEC113 Capabilities dropped", "SEC114 Resource limits", "SEC116 Health checks",
    "SEC117 Restart policies", "SEC119 Read-only root file systems", "SEC202 Containers as declared",
)  # fmt: skip
BAD = ("fail", "error", "warn")


@pytest.fixture(name="rogue")
def fixture_rogue(stack):
    """A privileged container that says it is of the stack's project."""
    client = docker.from_env()
    labels = {_docker.PROJECT: stack.name, _docker.SERVICE: "rogue", "com.docker.compose.oneoff": "False"}
    image = stack.containers()["openai-sandbox"]["Image"]
    container = client.containers.run(
        image, ["sleep", "600"], detach=True, privileged=True, labels=labels, name=f"{stack.name}-rogue"
    )
    yield container
    container.remove(force=True)
    client.close()


@pytest.fixture(name="broken_database")
def fixture_broken_database(stack):
    """The catalog is empty, and the schema is a migration behind."""
    ((head,),) = stack.sql("SELECT version_num FROM alembic_version")
    stack.sql(
        "CREATE TABLE kept_catalog AS TABLE catalog; DELETE FROM catalog; UPDATE alembic_version SET version_num = '0002'"
    )
    yield
    stack.sql(
        f"INSERT INTO catalog SELECT * FROM kept_catalog; DROP TABLE kept_catalog; UPDATE alembic_version SET version_num = '{head}'"
    )


def test_the_good_stack_is_ready_and_nothing_changes(stack):
    before = snapshot(stack.root), snapshot(stack.facts), stack.sql("SELECT count(*) FROM users"), stack.running()
    run = stack.playbook("checklist")
    assert run.status == 0 and run.changed == 0, run.output
    report = report_in(stack.folder)
    assert checks(report, "localhost", *BAD) <= OF_THE_MACHINE, run.output
    assert list(report["categories"]) == list(CATEGORIES) and "PRODUCTION READY" in run.output
    assert report["release"] == stack.current and report["stack"] == stack.name and report["total_checks"] > 100
    for category in CATEGORIES:
        assert any(row["status"] == "pass" for row in report["categories"][category]), category
    assert (
        snapshot(stack.root),
        snapshot(stack.facts),
        stack.sql("SELECT count(*) FROM users"),
        stack.running(),
    ) == before
    skipped = {row["name"] for rows in report["categories"].values() for row in rows if row["status"] == "skip"}
    assert {
        "SENTRY_DSN configured",
        "Sentry error tracking",
        "PostHog analytics",
        "Supabase integration",
        "CDN integration",
    } < skipped


def test_every_fault_of_a_broken_stack_is_found(stack, rogue, broken_database, tmp_path):
    own = {"compose.yaml": ("      TAX_RATE: ${TAX_RATE:?}", "      TAX_RATE: 9${TAX_RATE:?}")}
    run = stack.playbook(
        "checklist",
        stack_source=str(project_copy(tmp_path, own, stack.source)),
        environment={"JWT_SECRET_KEY": None, "BHIV_STORAGE_BACKEND": "s3", "MAX_UPLOAD_SIZE_MB": 7},
    )
    assert run.status != 0 and run.changed == 0
    assert checks(report_in(stack.folder), "localhost", *BAD) - OF_THE_MACHINE == {
        "Environment: JWT_SECRET_KEY configured",
        "Environment: S3_ENDPOINT_URL required_if",
        "Environment: S3_BUCKET required_if",
        "Environment: S3_ACCESS_KEY_ID required_if",
        "Environment: S3_SECRET_ACCESS_KEY required_if",
        "Environment: TAX_RATE range",
        "Environment: Deployed environment is the inventory's",
        "Database: Schema",
        "Database: Migrations status",
        "Upload: Upload size limit",
        "Storage: Storage status",
        *(f"Security: {rule} (containers)" for rule in OF_THE_ROGUE),
    }
    assert "❌ Environment: JWT_SECRET_KEY configured: not set. Remedy: Set it" in run.output
    assert "❌ Database: Schema: table catalog has 0 of at least 1 rows" in run.output
    assert "❌ Database: Migrations status" in run.output and "rogue" in run.output


def test_a_stack_that_is_not_deployed_is_not_ready(stack, tmp_path):
    api_url = f"http://127.0.0.1:{stack.port}"
    run = stack.playbook("checklist", stack_name="triagone", api_url=api_url, deploy_reports=str(tmp_path))
    assert run.status != 0
    assert "❌ Environment: Deployed release" in run.output and "❌ Database: PostgreSQL connection" in run.output
