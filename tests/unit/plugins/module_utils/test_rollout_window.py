# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The budgets of the observation window: broken as soon as they cannot be kept, and not before."""

from __future__ import annotations

import pytest

from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError
from ansible_collections.tria.production.plugins.module_utils._probes._base import Target
from ansible_collections.tria.production.plugins.module_utils._probes._observation import Observation
from ansible_collections.tria.production.plugins.module_utils._rollout.release import Service
from ansible_collections.tria.production.plugins.module_utils._rollout.window import Figures, Window


def figures(good, bad=0, planned=100, ms=10.0, **budgets):
    made = Figures(Service("app", "image", "definition", **budgets), planned)
    for _one in range(bad):
        made.add(Observation("fail", "GET answered 502", duration_ms=ms))
    for _one in range(good):
        made.add(Observation("pass", "", duration_ms=ms))
    return made


@pytest.mark.parametrize(
    "good, bad, ratio, complete, broken",
    [
        (0, 0, 0.0, False, False),
        (10, 1, 0.0, False, True),
        (10, 1, 0.01, False, False),  # 99 good ones may follow
        (10, 2, 0.01, False, True),
        (98, 1, 0.01, True, True),  # fewer were asked than planned
        (99, 1, 0.01, True, False),
        (0, 100, 1.0, True, False),
    ],
)
def test_failures(good, bad, ratio, complete, broken):
    assert bool(figures(good, bad, max_failure_ratio=ratio).breach(complete)) is broken


def test_a_breach_names_budget_and_measured_value():
    assert figures(8, 2, max_failure_ratio=0.01).breach(False) == (
        "2 of 10 requests through the edge failed (20.0%), max_failure_ratio is 1.0%; the last: GET answered 502"
    )
    slow = figures(20, planned=20, ms=700.0, max_p95_ms=500.0)
    assert slow.breach(True) == "p95 of 20 requests through the edge is 700 ms, max_p95_ms is 500"


@pytest.mark.parametrize("slow, broken", [(5, False), (6, True)])
def test_p95(slow, broken):
    made = figures(50, max_p95_ms=500.0)
    for _one in range(slow):
        made.add(Observation("pass", "", duration_ms=600.0))
    assert bool(made.breach(False)) is broken


def test_no_request_breaks_nothing():
    made = figures(0, planned=0, max_p95_ms=1.0)
    assert made.breach(True) == "" and made.as_dict() == {"requests": 0, "failed": 0, "p95_ms": 0.0}


def test_figures():
    made = figures(0)
    for number in range(1, 101):
        made.add(Observation("pass", "", duration_ms=float(number)))
    assert made.as_dict() == {"requests": 100, "failed": 0, "p95_ms": 95.0}


def test_a_look_that_was_not_possible_says_nothing_of_the_new_containers():
    containers = Target("app", "container", {}, "Container")
    window = Window(None, Service("app", "image", "definition"), containers, [])
    window._take(containers, Observation("pass", ""))
    window._take(containers, Observation("error", "Docker Engine: does not answer"))
    with pytest.raises(ProductionError, match="app: after the switch container shop-app-2 has ended"):
        window._take(containers, Observation("fail", "container shop-app-2 has ended"))
