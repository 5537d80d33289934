# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Kind system: figures that make sense, limits that hold."""

from __future__ import annotations

from probe_peers import look

from ansible_collections.tria.production.plugins.module_utils._probes import system


def test_figures():
    found = system.metrics(system.CpuMeter())
    assert set(found) == {"cpu_percent", "memory_percent", "disk_percent"}
    assert all(0 <= value <= 100 for value in found.values())


def test_each_limit():
    assert look("system", max_memory_percent=100, max_disk_percent=100).status == "pass"
    for name in ("cpu", "memory", "disk"):
        seen = look("system", **{f"max_{name}_percent": -1})
        assert seen.status == "fail" and f"{name}_percent is" in seen.message and seen.remedy


def test_a_path_that_does_not_exist_is_an_error():
    assert look("system", path="/does/not/exist").status == "error"
