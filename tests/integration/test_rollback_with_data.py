# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""playbooks/rollback.yml past a migration that cannot be undone: not without the data of that time, and with it when asked."""

from __future__ import annotations

import pathlib

import pytest
from deployed_stack import NEW_VERSION, DeployedStack, project_copy
from test_restore_stack import DBNAME, account, names, tidy

__all__ = ["tidy"]

MIGRATION = '''
import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None
reversible = False


def upgrade() -> None:
    op.add_column("users", sa.Column("nickname", sa.Text()))


def downgrade() -> None:
    raise RuntimeError("nobody can know")
'''


def head(stack: DeployedStack) -> str:
    return stack.sql("SELECT version_num FROM alembic_version")[0][0]


def users(stack: DeployedStack) -> set[str]:
    return {name for (name,) in stack.sql("SELECT username FROM users")}


@pytest.mark.slow
def test_a_rollback_that_takes_the_data_along(tidy: DeployedStack, tmp_path: pathlib.Path) -> None:
    stack, release, was = tidy, tidy.current, tidy.containers()["backend"]["Image"]
    early, _token = account(stack)
    source = project_copy(tmp_path, NEW_VERSION)
    (source / "backend" / "migrations" / "versions" / "0004_nickname.py").write_text(MIGRATION)
    deployed = stack.deploy(stack_source=str(source))
    assert deployed.status == 0 and head(stack) == "0004", deployed.output
    later, _token = account(stack)
    bad = stack.current

    refused = stack.playbook("rollback")
    assert refused.status != 0 and "cannot be undone: 0004" in refused.output, refused.output
    assert "-e restore_database=true" in refused.output and stack.backups()[-1]["dump"]["file"] in refused.output
    nobody = stack.playbook("rollback", restore_database=True)
    assert nobody.status != 0 and f"-e database_restore_confirm={stack.name}" in nobody.output, nobody.output
    assert stack.current == bad and head(stack) == "0004" and {early, later} <= users(stack)

    back = stack.playbook("rollback", restore_database=True, database_restore_confirm=stack.name)
    assert back.status == 0, back.output
    assert stack.current == release and stack.containers()["backend"]["Image"] == was
    assert head(stack) == "0003" and early in users(stack) and later not in users(stack)
    (kept,) = [name for name in names(stack) if name.startswith(f"{DBNAME}_before_")]
    assert stack.sql(f"SELECT count(*) FROM users WHERE username = '{later}'", kept) == [(1,)] and kept in back.output
