# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""All targets at once: grading, deadline, document, failure."""

from __future__ import annotations

import threading
import time

import pytest
from probe_peers import entries, free_port, http_server, server, silence

from ansible_collections.tria.production.plugins.module_utils import _health, _probes
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError


def tcp(name, port, **options):
    return {"name": name, "tcp": {"port": port}, **options}


def test_healthy_document():
    with server(silence) as port:
        found = _health.check(entries(tcp("a", port), {"name": "host", "system": {}}), 5)
    document = found["health"]
    assert (document["status"], document["overall_healthy"]) == ("healthy", True)
    assert document["services"]["a"]["healthy"] is True and document["services"]["a"]["response_time_ms"] >= 0
    assert set(document["metrics"]) == {"cpu_percent", "memory_percent", "disk_percent"}
    assert document["timestamp"].endswith("Z")
    assert [one["name"] for one in found["results"]] == ["a", "host"]


def test_a_target_that_is_not_critical_degrades():
    targets = entries(tcp("a", free_port(), critical=False))
    found = _health.check(targets, 5)
    assert (found["overall_status"], found["results"][0]["status"]) == ("degraded", "warn")
    assert found["health"]["overall_healthy"] is True and found["health"]["services"]["a"]["healthy"] is False
    with pytest.raises(ProductionError):
        _health.check(targets, 5, "degraded")


def test_a_critical_failure_raises_with_everything():
    with server(silence) as port:
        with pytest.raises(ProductionError) as caught:
            _health.check(entries(tcp("good", port), tcp("bad", free_port()), tcp("worse", free_port())), 5)
    error = caught.value
    assert error.culprit == "bad, worse" and "2 of 3 targets" in error.cause and "bad: Nothing listens" in error.remedy
    assert len(error.details["results"]) == 3 and error.details["health"]["status"] == "unhealthy"
    assert _health.check(entries(tcp("bad", free_port())), 5, "never")["overall_status"] == "unhealthy"


def test_slower_than_the_budget_is_a_warning():
    with http_server((200, "x")) as port:
        target = {"name": "api", "max_ms": 0.001, "http": {"url": f"http://127.0.0.1:{port}/"}}
        found = _health.check(entries(target), 5)
    assert found["overall_status"] == "degraded" and "more than max_ms 0.001" in found["results"][0]["message"]
    assert found["health"]["services"]["api"]["healthy"] is True
    assert found["results"][0]["data"]["max_ms"] == 0.001


@pytest.mark.parametrize("kind", ["http", "tcp"])
def test_a_failure_has_its_budget_too(kind):
    port = free_port()
    target = {"name": "api", "max_ms": 5, "http": {"url": f"http://127.0.0.1:{port}/"}, "tcp": {"port": port}}
    del target["tcp" if kind == "http" else "http"]
    assert _health.check(entries(target), 5, "never")["results"][0]["data"]["max_ms"] == 5


def test_skipped_is_neither_good_nor_bad():
    target = {"name": "order", "http": {"url": "http://127.0.0.1:1/", "method": "POST"}}
    found = _health.check(entries(target), 5, check_mode=True)
    assert found["overall_status"] == "healthy" and found["results"][0]["status"] == "skip"
    assert found["health"]["services"]["order"]["healthy"] is None


def test_all_at_the_same_time_and_within_the_deadline():
    threads = threading.active_count()
    with server(silence) as port:
        urls = [{"name": f"t{n}", "http": {"url": f"http://127.0.0.1:{port}/"}} for n in range(20)]
        begun = time.monotonic()
        found = _health.check(entries(*urls), 0.5, "never")
        assert time.monotonic() - begun < 1.5
    assert {one["status"] for one in found["results"]} == {"fail"}
    assert threading.active_count() <= threads


def test_a_probe_that_breaks_is_an_error_and_never_a_pass(monkeypatch):
    monkeypatch.setattr(_probes.tcp, "probe", lambda options, attempt: 1 / 0)
    with pytest.raises(ProductionError) as caught:
        _health.check(entries(tcp("a", 1)), 5)
    assert caught.value.details["results"][0]["status"] == "error" and "ZeroDivisionError" in caught.value.cause


def test_a_probe_that_hangs_for_ever_is_an_error(monkeypatch):
    hang = threading.Event()
    monkeypatch.setattr(_probes.tcp, "probe", lambda options, attempt: hang.wait())
    begun = time.monotonic()
    found = _health.check(entries(tcp("a", 1)), 0.2, "never")
    hang.set()
    assert found["results"][0]["status"] == "error" and time.monotonic() - begun < 2


def test_impossible_targets():
    with pytest.raises(ProductionError, match="two targets have this name"):
        _health.check(entries(tcp("a", 1), tcp("a", 2)), 5)
    with pytest.raises(ProductionError, match="timeout is not above 0"):
        _health.check(entries(tcp("a", 1, timeout=0)), 5)
    with pytest.raises(ProductionError, match="has no kind"):
        _probes.parse([{"name": "a", "timeout": 1}])
