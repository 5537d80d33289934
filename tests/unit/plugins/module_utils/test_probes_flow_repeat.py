# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Kind flow, repeated: percentiles, budgets, errors, bounded concurrency, and no verdict without samples."""

from __future__ import annotations

import threading
import time

import pytest
from flow_server import DELETE, UPLOAD, shop
from probe_peers import entries, look, server, silence

from ansible_collections.tria.production.plugins.module_utils import _waiting
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError
from ansible_collections.tria.production.plugins.module_utils._probes import _flow_samples

FAST = {"name": "fast", "path": "/echo"}
SLOW = {"name": "slow", "path": "/slow"}
FLAKY = {"name": "flaky", "path": "/flaky"}


def flow(site, *steps, cleanup=(), timeout=5.0, **repeat):
    return look("flow", timeout=timeout, url=site.url, steps=list(steps), cleanup=list(cleanup), repeat=repeat)


def test_percentiles_are_by_nearest_rank():
    assert _flow_samples.percentiles([5.0]) == {"p50_ms": 5.0, "p95_ms": 5.0, "p99_ms": 5.0}
    assert _flow_samples.percentiles(range(20, 0, -1)) == {"p50_ms": 10, "p95_ms": 19, "p99_ms": 20}
    assert _flow_samples.percentiles(range(1, 201)) == {"p50_ms": 100, "p95_ms": 190, "p99_ms": 198}


def test_runs_warm_up_and_samples_with_percentiles_of_each_step():
    with shop() as site:
        site.slow = 0.02
        seen = flow(site, FAST, SLOW, samples=10, warmup=3, concurrency=4, max_p95_ms=1000)
    assert seen.status == "pass" and seen.message.startswith("2 steps 10 times, p95 ")
    assert len(site.asked) == 26 and seen.data["samples"] == 10 and seen.data["errors"] == 0
    fast, slow = seen.data["steps"]
    assert (fast["name"], slow["name"]) == ("fast", "slow") and slow["p50_ms"] >= 20
    assert slow["p99_ms"] <= seen.data["p99_ms"]


@pytest.mark.parametrize("concurrency", [1, 3])
def test_no_more_runs_at_the_same_time_than_allowed(concurrency):
    with shop() as site:
        assert flow(site, SLOW, samples=9, warmup=1, concurrency=concurrency).status == "pass"
    assert site.most_at_once == concurrency
    for thread in [one for one in threading.enumerate() if one.name == "probe"]:
        thread.join(0.5)
        assert not thread.is_alive()


@pytest.mark.parametrize("limit", ["max_p50_ms", "max_p95_ms", "max_p99_ms"])
def test_each_budget_is_held(limit):
    with shop() as site:
        seen = flow(site, SLOW, samples=5, concurrency=5, **{limit: 20})
    assert seen.status == "fail" and f"{limit[4:7]} " in seen.message
    assert seen.message.endswith("ms of 5 samples, more than 20") and seen.data["steps"][0]["p50_ms"] >= 50
    assert {name: value for name, value in seen.data.items() if name.startswith("max_")} == {limit: 20}


def test_the_budget_of_a_step_warns():
    with shop() as site:
        seen = flow(site, {**SLOW, "max_ms": 20}, samples=5, concurrency=5)
    assert seen.status == "warn" and "step slow has p95" in seen.message
    assert seen.data["steps"][0]["max_p95_ms"] == 20 and "max_p95_ms" not in seen.data


def test_errors_count():
    with shop() as site:
        site.failures = 2
        seen = flow(site, FLAKY, samples=20, warmup=2)
        assert seen.status == "pass", "the warm-up does not count"
        site.failures = 2
        seen = flow(site, FLAKY, samples=20, warmup=0, max_error_percent=10)
        assert seen.status == "pass" and (seen.data["samples"], seen.data["errors"]) == (18, 2)
        assert seen.data["failures"] == [{"message": "step flaky failed: status 503 instead of 200", "count": 2}]
        site.failures = 2
        seen = flow(site, FLAKY, samples=20, warmup=0, max_error_percent=10, min_samples=19)
        assert "too few samples: 18 good runs of 19" in seen.message
        site.failures = 9
        asked = len(site.asked)
        seen = flow(site, FLAKY, samples=20, warmup=0, max_error_percent=5)
        assert seen.status == "fail" and not seen.permanent
        assert seen.message.startswith("2 of 2 runs failed, more than 5% of 20: step flaky failed: status 503")
        assert len(site.asked) == asked + 2, "the verdict is known: no more requests"


def test_too_few_samples_are_no_verdict():
    with shop() as site:
        seen = flow(site, SLOW, samples=100, warmup=0, timeout=0.5, max_p95_ms=1000)
        assert seen.status == "fail" and "too few samples" in seen.message and "of 100 within 0.5 s" in seen.message
        assert 0 < seen.data["samples"] < 12 and seen.duration_ms < 1000
        seen = flow(site, SLOW, samples=5, warmup=1000, timeout=0.3)
        assert "too few samples: 0 good runs of 5" in seen.message
    with server(silence) as port:
        seen = look("flow", timeout=0.3, url=f"http://127.0.0.1:{port}", steps=[FAST], repeat={"concurrency": 2})
    assert "too few samples: 0 good" in seen.message and seen.duration_ms < 1000


def test_what_can_never_work_ends_at_once_as_it_is():
    with shop() as site:
        seen = flow(site, {"name": "go", "path": "http://localhost:1/"}, samples=50)
        assert seen.permanent and "step go failed: http://localhost:1 is not an origin" in seen.message
        assert not site.asked


def test_every_run_cleans_up_with_names_of_its_own():
    with shop() as site:
        seen = flow(site, UPLOAD, cleanup=[DELETE], samples=12, warmup=2, concurrency=4)
        assert seen.status == "pass", seen.message
        assert sum(one.startswith("DELETE") for one in site.asked) == 14 and not site.files
        assert len({one for one in site.asked if one.startswith("DELETE")}) == 14
        site.slow = 2.0
        seen = flow(site, UPLOAD, SLOW, cleanup=[DELETE], samples=500, warmup=0, concurrency=4, timeout=0.6)
        assert "too few samples" in seen.message and site.asked.count("POST /files") == 18 and not site.files


def test_what_a_run_that_was_cut_off_leaves_behind_is_said():
    with shop() as site:
        site.slow = 2.0
        seen = flow(site, UPLOAD, SLOW, cleanup=[{**DELETE, "status": [200]}], samples=50, warmup=0, timeout=0.6)
    assert "too few samples" in seen.message and "clean-up step delete failed: status 204" in seen.message


def test_a_run_that_would_be_cut_off_is_not_begun():
    with shop() as site:
        site.slow = 0.2
        seen = flow(site, SLOW, samples=10, warmup=0, timeout=0.7)
    assert "too few samples" in seen.message and len(site.asked) == seen.data["samples"] < 3


def test_failing_clean_up_is_an_error_of_its_run():
    with shop() as site:
        seen = flow(site, FAST, cleanup=[{**DELETE, "path": "/files/x"}], samples=5)
    assert "1 of 1 runs failed" in seen.message and "clean-up step delete failed: status 404" in seen.message


def test_a_wait_that_ends_leaves_nothing_behind():
    with shop() as site:
        repeat = {"samples": 500, "concurrency": 4}
        options = {"url": site.url, "steps": [UPLOAD, SLOW], "cleanup": [DELETE], "repeat": repeat}
        begun = time.monotonic()
        with pytest.raises(ProductionError):
            _waiting.wait(entries({"name": "it", "timeout": 10, "flow": options}), _waiting.Settings(0.4))
        assert time.monotonic() - begun < 1.4 and not site.files
        asked = len(site.asked)
        time.sleep(0.2)
        assert len(site.asked) == asked


def test_a_fault_in_the_check_itself_is_an_error(monkeypatch):
    def broken(*_args):
        raise KeyError("broken")

    monkeypatch.setattr("ansible_collections.tria.production.plugins.module_utils._probes._flow_run.run", broken)
    with shop() as site:
        seen = flow(site, FAST)
    assert seen.status == "error" and "the check broke: KeyError" in seen.message
