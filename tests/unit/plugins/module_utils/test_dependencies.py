# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""`depends_on`: a failure names its cause, and its victims as victims."""

from __future__ import annotations

import pytest
from probe_peers import entries, free_port, http_server
from waiting_peers import BAD, FINAL, GOOD, http, refused, tcp, wait

from ansible_collections.tria.production.plugins.module_utils import _health, _probes
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError
from ansible_collections.tria.production.plugins.module_utils._probes import _dependencies


def parsed(*targets):
    return {target.name: target for target in _probes.parse(entries(*targets))}


def by_name(monkeypatch, **scripts):
    """Makes each target answer with its own observations, the last one for ever."""
    monkeypatch.setattr(_probes, "known_addresses", lambda target, memory: [])

    def observe(target, *_args):
        left = scripts[target.name]
        return left.pop(0) if len(left) > 1 else left[0]

    monkeypatch.setattr(_probes, "observe", observe)


def test_causes_are_at_the_end_of_the_chain():
    targets = parsed(
        tcp(1, "database"), tcp(2, "cache"), tcp(3, "backend", depends_on=["database", "cache"]),
        tcp(4, "edge", depends_on=["backend"]), tcp(5, "search"),
    )
    found = _dependencies.causes(["database", "backend", "edge", "search"], targets)
    assert found == {"backend": ["database"], "edge": ["database"]}
    assert _dependencies.causes(["backend", "edge"], targets) == {"edge": ["backend"]}
    assert _dependencies.causes(["database", "edge"], targets)["edge"] == ["database"]


@pytest.mark.parametrize("depends_on, expected", [
    ({"a": ["nobody"]}, "names nobody, which is no target"),
    ({"a": ["a"]}, "depends on itself"),
    ({"a": ["b"], "b": ["c"], "c": ["a"]}, "depends on itself"),
])
def test_impossible_dependencies_are_refused(depends_on, expected):
    with pytest.raises(ProductionError) as caught:
        parsed(*(tcp(1, name, depends_on=depends_on.get(name, [])) for name in "abc"))
    assert expected in caught.value.cause and caught.value.culprit == "a"


def test_the_cause_leads_at_the_deadline():
    targets = [http(free_port(), "edge", depends_on=["backend"]), http(free_port(), "backend", depends_on=["database"])]
    error = refused(*targets, tcp(free_port(), "database"), tcp(free_port(), "search"), timeout=0.3)
    assert error.culprit == "database" and error.details["victims"] == ["edge", "backend"]
    assert "Not ready because of it: edge (cannot connect" in error.cause
    assert "Not ready either: search (cannot connect" in error.cause


def test_a_lost_victim_is_held_until_its_cause_shows(monkeypatch):
    by_name(monkeypatch, backend=[FINAL], database=[BAD, BAD, FINAL])
    error = refused(tcp(1, "backend", depends_on=["database"]), tcp(2, "database"))
    assert error.culprit == "database" and error.details["elapsed"] < 1
    assert "Not ready because of it: backend (never)" in error.cause


def test_a_lost_target_with_a_good_dependency_is_itself_to_blame(monkeypatch):
    by_name(monkeypatch, backend=[BAD, FINAL], database=[GOOD])
    error = refused(tcp(1, "backend", depends_on=["database"]), tcp(2, "database"), stable_for=0.0)
    assert error.culprit == "backend" and error.details["victims"] == []


def test_a_dependency_that_is_good_but_not_yet_ready_is_not_blamed(monkeypatch):
    by_name(monkeypatch, backend=[BAD, FINAL], database=[GOOD])
    error = refused(tcp(1, "backend", depends_on=["database"]), tcp(2, "database"), stable_for=5)
    assert error.culprit == "backend" and "Not ready either: database" in error.cause


def test_the_hold_does_not_last(monkeypatch):
    by_name(monkeypatch, backend=[FINAL], database=[BAD])
    error = refused(tcp(1, "backend", depends_on=["database"]), tcp(2, "database"))
    assert error.details["elapsed"] < 0.6
    assert error.culprit == "database" and "backend (never)" in error.cause


def test_a_cause_that_is_not_critical_is_still_the_cause():
    error = refused(tcp(free_port(), "backend", depends_on=["cache"]), tcp(free_port(), "cache", critical=False), timeout=0.3)
    assert error.culprit == "cache" and error.details["victims"] == ["backend"]


def test_all_good():
    with http_server((200, "x")) as port:
        assert wait(http(port, "edge", depends_on=["port"]), tcp(port))["overall_status"] == "healthy"


def test_service_health_blames_the_cause():
    targets = entries(http(free_port(), "api", depends_on=["database"]), tcp(free_port(), "database"))
    with pytest.raises(ProductionError) as caught:
        _health.check(targets, 5.0)
    assert caught.value.culprit == "database"
    assert caught.value.cause.index("database:") < caught.value.cause.index("api:")
    assert "(it depends on database)" in caught.value.cause
