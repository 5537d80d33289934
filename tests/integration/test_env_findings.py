# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""`env_validate` on a careless folder under the real `ansible-playbook`: all is found, no value is shown."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[2]
CANARY = "c4n4ryQ7zx9wKd3mT5bRn4bQ"
ENVIRONMENT = f"""
SECRET_KEY={CANARY}
DATABASE_URL=postgresql://tria:{CANARY}7@db/tria
JWT_SECRET_KEY={CANARY[:6]}{CANARY[:6]}{CANARY[:6]}
GITHUB_TOKEN=ghp_{CANARY}
STRIPE_SECRET_KEY=sk_test_{CANARY}
MINIO_ROOT_PASSWORD=minioadmin
REDIS_PASSWORD={CANARY[:9]}
"""
SCHEMA = {"variables": {
    "SECRET_KEY": {"secret": True}, "DATABASE_URL": {"type": "url", "secret": True}, "JWT_SECRET_KEY": {"secret": True},
    "GITHUB_TOKEN": {"secret": True}, "STRIPE_SECRET_KEY": {"secret": True}, "MINIO_ROOT_PASSWORD": {"secret": True},
    "REDIS_PASSWORD": {"secret": True},
}}


def test_a_careless_folder(tmp_path):
    shop = tmp_path / "shop"
    shop.mkdir()
    (shop / ".env").write_text(ENVIRONMENT, encoding="utf-8")
    (shop / ".env.example").write_text(f"SECRET_KEY={CANARY}\n", encoding="utf-8")
    subprocess.run(["git", "-C", str(shop), "-c", "init.defaultBranch=main", "init", "--quiet"], check=True)
    subprocess.run(["git", "-C", str(shop), "add", ".env"], check=True)
    os.chmod(shop, 0o777)
    module = {"files": [str(shop / ".env")], "schema": SCHEMA, "owner": "4242"}
    tasks = [{"tria.production.env_validate": module}]
    play = [{"hosts": "localhost", "gather_facts": False, "tasks": tasks}]
    (tmp_path / "play.yml").write_text(json.dumps(play), encoding="utf-8")
    (tmp_path / "ansible.cfg").write_text("", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "ansible", "playbook", "play.yml", "-vvvv", "--diff"],
        cwd=tmp_path,
        env={
            **os.environ,
            "ANSIBLE_COLLECTIONS_PATH": f"{ROOT / '.build'}",
            "ANSIBLE_CONFIG": str(tmp_path / "ansible.cfg"),
        },
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    output = done.stdout + done.stderr
    assert done.returncode == 2, output
    rules = (
        "ENV305 short_secret", "ENV306 repeated_secret", "ENV308 known_default", "ENV309 example_value",
        "ENV310 vendor_key", "ENV311 test_key", "ENV405 file_mode", "ENV408 file_owner", "ENV409 folder_writable",
        "ENV410 git_tracked",
    )
    assert [rule for rule in rules if rule not in output] == []
    assert "Secrets that others guess or know:" in output and "The file itself:" in output
    assert CANARY[:6] not in output and "ghp_" not in output and "sk_test_" not in output and "minioadmin" not in output
