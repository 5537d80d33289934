# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The live view, as a terminal shows it."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[4]
PLAYBOOK = """
- name: Two gates
  hosts: localhost
  connection: local
  gather_facts: false
  vars:
    ansible_python_interpreter: "{{ ansible_playbook_python }}"
  tasks:
    - name: "Gate: one"
      ansible.builtin.set_fact: {here: true}

    - name: Change something
      ansible.builtin.copy: {content: new, dest: "DEST", mode: "0600"}

    - name: Say a word
      ansible.builtin.debug: {msg: a word}

    - name: "Gate: two"
      ansible.builtin.set_fact: {here: true}

    - name: Look at the host
      tria.production.host_check: {min_cores: CORES, min_memory_mb: 1, min_disk_gb: 0, clock_sync: ignored}
"""


def play(tmp_path: pathlib.Path, cores: int, *options: str, hosts: str = "localhost") -> "subprocess.CompletedProcess[str]":
    playbook = tmp_path / "play.yml"
    text = PLAYBOOK.replace("hosts: localhost", "hosts: all").replace("DEST", str(tmp_path / "file"))
    playbook.write_text(text.replace("CORES", str(cores)), encoding="utf-8")
    environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
    environment["ANSIBLE_STDOUT_CALLBACK"] = "tria.production.gates"
    command = [os.path.join(os.path.dirname(sys.executable), "ansible-playbook"), "-i", f"{hosts},", str(playbook), *options]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_a_line_for_each_gate_check_and_change(tmp_path: pathlib.Path) -> None:
    done = play(tmp_path, 1)

    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    order = ["🚀 Two gates", "🔧 one", "  ~ localhost: Change something", "a word", "🔧 two", "✓ Preflight: CPU cores"]
    places = [lines.index(line) for line in order]
    assert places == sorted(places)
    assert any(line.startswith("  one: ") and line.endswith(" s") for line in lines)
    assert "- Preflight: Clock synchronised" in lines
    assert "TASK [" not in done.stdout


def test_a_failure_names_the_check_and_the_remedy(tmp_path: pathlib.Path) -> None:
    done = play(tmp_path, 100_000)

    assert done.returncode == 2
    assert "❌ Preflight: CPU cores" in done.stdout
    assert "❌ localhost: Look at the host" in done.stdout
    assert "100000 needed" in done.stdout


def test_with_several_hosts_each_check_names_its_own(tmp_path: pathlib.Path) -> None:
    done = play(tmp_path, 1, hosts="one.invalid,two.invalid")

    assert done.returncode == 0, done.stdout + done.stderr
    for host in ("one.invalid", "two.invalid"):
        assert f"✓ Preflight: CPU cores [{host}]" in done.stdout
    assert "🔧 two\n" in done.stdout and done.stdout.count("🔧 two\n") == 1


@pytest.mark.parametrize("option", ["-v", "-vvv"])
def test_verbose_is_the_default_callback(tmp_path: pathlib.Path, option: str) -> None:
    done = play(tmp_path, 1, option)

    assert done.returncode == 0
    assert "TASK [Change something]" in done.stdout and "🔧" not in done.stdout
