# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is made of the requests around a change, and when a case of `make faults ONLY=deploy` is called wrong."""

from __future__ import annotations

import pytest
from benchmarks.deploy import load as bench
from faults import deploy
from integration.deployed_stack import project_copy
from load import Request, Result
from load.observed import Observed, TimedRun


def _seen(*failed_at):
    """Ten seconds of a request every 100 ms, of which those due at these seconds fail; a change from 3 to 8."""
    requests = [
        Request(number / 10, 0.005, "status 502" if number / 10 in failed_at else "") for number in range(100)
    ]
    return Observed(Result(0.0, 10.0, tuple(requests)), 3.0, 8.0)


def _run(status=0, output="", lines=()):
    return TimedRun(status, output, 1.0, list(lines))


def test_before_and_meanwhile():
    seen = _seen(5.0, 6.0)
    assert (seen.steady.total, seen.meanwhile.total, seen.steady.failed, seen.meanwhile.failed) == (30, 50, 0, 2)
    assert seen.exposed_s == pytest.approx(1.005) and _seen().exposed_s == 0
    assert str(seen) == "requests=100 failed=2 retried=0 status_502=2 p99_ms=5.0 steady_p99_ms=5.0 gap_s=0.20"


def test_time_to_revert():
    failed = [(4.0, "❌ localhost: Check\n"), (5.0, "❌ localhost: Stop\n")]
    lines = [(1.0, "🔧 validation\n"), *failed, (9.5, "🔧 report\n")]
    assert _run(lines=lines).revert_s == 5.5
    assert _run(lines=lines[:1]).revert_s == 0 and _run(lines=lines[:2]).revert_s == 0


@pytest.mark.parametrize(
    "case, run, seen, wrong",
    [
        (deploy.Case("good", outcome=deploy.DEPLOYED), _run(), _seen(), ""),
        (deploy.Case("good", outcome=deploy.DEPLOYED), _run(2), _seen(), "the exit status is 2"),
        (deploy.Case("good", outcome=deploy.DEPLOYED), _run(), _seen(4.0), "1 requests failed"),
        (deploy.Case("bad", says="why"), _run(2, "this is why"), _seen(), ""),
        (deploy.Case("bad", says="why"), _run(0, "this is why"), _seen(), "the exit status is 0"),
        (deploy.Case("bad", says="why"), _run(2, "no idea"), _seen(), "'why' is not in the output"),
        (deploy.Case("bad"), _run(2), _seen(4.0), "1 requests failed"),
        (deploy.Case("bad", visible=True), _run(2), _seen(4.0), ""),
    ],
)
def test_verdicts(case, run, seen, wrong):
    assert deploy.shortcoming(case, run, seen) == wrong


@pytest.mark.parametrize("fault", deploy.FAULTS, ids=lambda fault: fault.name)
def test_faults_can_be_planted(fault, tmp_path):
    """Their places are in the example, and what is there then is still Python."""
    copy = project_copy(tmp_path, fault.changes)
    for name in fault.changes:
        compile((copy / name).read_text(encoding="utf-8"), name, "exec")


def test_lines_of_the_benchmark(capsys):
    good, dropped = bench.Change(_seen(), 30.0), bench.Change(_seen(4.0, 5.0), 10.0, 7.5)
    bench._show({"ours": [good, good], "compose_up": [dropped, dropped]}, {"ours": good, "compose_up": dropped})
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == [
        "# deploy: requests ours=200, compose_up=200",
        "bench deploy_failed_requests ours=0 peer=- ratio=- goal=0 met",
        "bench deploy_failed_requests_vs_compose_up ours=0 peer=4 ratio=0 goal=- -",
    ]
    assert "bench deploy_s_vs_compose_up ours=30 peer=10 ratio=3 goal=- -" in lines
    assert "bench deploy_broken_failed_requests ours=0 peer=- ratio=- goal=0 met" in lines
    assert "bench deploy_broken_revert_s_vs_compose_up ours=0 peer=7.5 ratio=0 goal=- -" in lines
