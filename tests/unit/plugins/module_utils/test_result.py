# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The result model: what stops a deploy, what degrades it."""

from __future__ import annotations

import pytest

from ansible_collections.tria.production.plugins.module_utils import _result
from ansible_collections.tria.production.plugins.module_utils._result import CheckResult, by_category, failed, overall


def check(status, critical=True, category="API"):
    return CheckResult("Health check", category, status, critical)


@pytest.mark.parametrize(
    ("statuses", "verdict"),
    [
        ([], "healthy"),
        ([("pass", True), ("skip", True)], "healthy"),
        ([("pass", True), ("warn", False)], "degraded"),
        ([("fail", False)], "degraded"),
        ([("error", False)], "degraded"),
        ([("warn", False), ("fail", True)], "unhealthy"),
        ([("pass", True), ("error", True)], "unhealthy"),
    ],
)
def test_overall(statuses, verdict):
    assert overall(check(status, critical) for status, critical in statuses) == verdict


@pytest.mark.parametrize(("critical", "status"), [(True, _result.FAIL), (False, _result.WARN)])
def test_a_failure_is_graded_by_its_importance(critical, status):
    result = failed("Clock", "Preflight", critical, message="unset")
    assert (result.status, result.blocks, result.degrades) == (status, critical, True)


def test_by_category_keeps_the_order_of_first_appearance():
    grouped = by_category([check("pass", category="B"), check("fail", category="A"), check("skip", category="B")])
    assert [(name, [row["status"] for row in rows]) for name, rows in grouped.items()] == [
        ("B", ["pass", "skip"]),
        ("A", ["fail"]),
    ]
