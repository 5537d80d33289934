# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Durations and sizes are what Docker Compose takes for them, and are as long and as large."""

from __future__ import annotations

import json
import re
import subprocess

import pytest

from ansible_collections.tria.production.plugins.module_utils._env.kinds import measure

DURATIONS = [
    "30s",
    "1m30s",
    "1.5h",
    "500ms",
    "10us",
    "10\u00b5s",
    "10\u03bcs",
    "10ns",
    ".5s",
    "1.s",
    "1s1m",
    "1h0m1ms",
    "+1s",
]
SIZES = ["64", "64b", "64k", "64m", "1g", "1gb", "1GiB", "1 gb", "1.5g", "0.5m", "1t", "1p", "1023KB", "7Kib", "1ki", "1ib"]
NO_DURATIONS = ["30", "1d", "1w", "1h 30m", "1S", "1e3s", "s", "1m30", "100000000h", "."]
NO_SIZES = ["m", "+1k", ".5k", "5.k", "1.5.2g", "1e3", "1kk", "1bb", "1_000", "0x10", "1bi", "1kbi", "1eb"]


def rendered(services):
    """What Compose makes of the services; None if it refuses them."""
    done = subprocess.run(
        ["docker", "compose", "--file", "-", "config", "--format", "json"],
        input=json.dumps({"name": "types", "services": services}),
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
    return json.loads(done.stdout)["services"] if done.returncode == 0 else None


def with_duration(text):
    return {"image": "x", "healthcheck": {"test": ["CMD", "true"], "interval": text}}


def with_size(text):
    return {"image": "x", "mem_limit": text}


def seconds(text):
    """Of a duration as Compose writes it, always with the units in this order."""
    parts = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:([\d.]+)s)?|([\d.]+)(ms|\u00b5s|ns)", text)
    if parts[4]:
        return float(parts[4]) * {"ms": 1e-3, "\u00b5s": 1e-6, "ns": 1e-9}[parts[5]]
    return int(parts[1] or 0) * 3600 + int(parts[2] or 0) * 60 + float(parts[3] or 0)


def test_durations_and_sizes_are_what_compose_makes_of_them():
    services = {f"d{index}": with_duration(text) for index, text in enumerate(DURATIONS)}
    found = rendered({**services, **{f"s{index}": with_size(text) for index, text in enumerate(SIZES)}})
    for index, text in enumerate(DURATIONS):
        assert measure("duration", text) == pytest.approx(seconds(found[f"d{index}"]["healthcheck"]["interval"])), text
    for index, text in enumerate(SIZES):
        assert measure("size", text) == int(found[f"s{index}"]["mem_limit"]), text


@pytest.mark.parametrize(
    ("kind", "service", "text"),
    [("duration", with_duration, text) for text in NO_DURATIONS] + [("size", with_size, text) for text in NO_SIZES],
)
def test_what_compose_refuses_is_none(kind, service, text):
    assert rendered({"x": service(text)}) is None
    with pytest.raises(ValueError):
        measure(kind, text)
