# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""stack_rollout on a real Engine: a user's own project, under load, through good and broken rollouts."""

from __future__ import annotations

import threading
import urllib.request

import pytest
from load import Load
from rollout_project import Project, WebSocket

RATE = 80  # requests in a second


@pytest.fixture
def project(tmp_path, engine_client, base_images):
    made = Project(tmp_path, engine_client)
    yield made
    made.remove()


@pytest.fixture
def running(project):
    """With version 1 deployed."""
    project.first = project.stage(1)
    project.deploy(project.first)
    return project


def broken(project, release, culprit="app", **options):
    """What a rollout that must fail says; under load it harms nobody, and neither does going back."""
    with Load(project.url, rate=RATE) as load:
        error = project.refused("present", release, **options)
        assert project.served() == "1" and "1" in project.versions()
        project.done("reverted", project.first)
        told = load.stop()
    assert told.failed == 0, told.kinds
    assert error["culprit"] == culprit, error["msg"]
    went_back(project)
    return error


def went_back(project):
    assert project.versions() == ["1"] and project.served() == "1" and project.journal() == {}


def test_a_first_deploy_and_nothing_after_it(project):
    release = project.stage(1)
    foreseen = project.done("present", release, check=True)
    assert foreseen["changed"] and project.containers() == [] and project.journal() == {}
    result = project.done("present", release)
    assert {name: one["action"] for name, one in result["services"].items()} == {"app": "replaced", "edge": "updated"}
    assert {name: one["action"] for name, one in foreseen["services"].items()} == {"app": "replaced", "edge": "updated"}
    assert project.served() == "1" and project.journal()["release"] == release
    for _again in range(2):
        project.forget_commands()
        assert not project.done("present", release)["changed"]
        assert not project.done("present", release, check=True)["changed"]
        assert project.commands() == []
        project.commit(release)
        project.done("finished", release)
    assert not project.done("finished", release)["changed"] and project.journal() == {}


def test_a_first_deploy_that_fails_leaves_nothing(project):
    release = project.stage(1, CRASH_AFTER=0.5)
    assert project.refused("present", release)["culprit"] == "app"
    project.done("reverted", "")
    assert project.containers() == [] and project.journal() == {}
    assert not project.done("reverted", "")["changed"]


def test_a_good_rollout(running):
    release = running.stage(2)
    with Load(running.url, rate=RATE) as load:
        result = running.done("present", release, verify=[{"name": "again", "http": {"url": "http://{edge}:8080/"}}])
        assert running.versions() == ["1", "2"] and running.served() == "2"
        running.commit(release)
        running.done("finished", release)
        told = load.stop()
    assert running.versions() == ["2"] and running.journal() == {}
    assert told.failed == 0 and told.total > 300, told.kinds
    assert result["services"]["app"]["action"] == "replaced" and result["services"]["edge"]["action"] == "none"
    assert result["window"]["requests"] == 10 and result["window"]["failed"] == 0 and result["window"]["p95_ms"] > 0


def test_by_a_link_nothing_is_reloaded(tmp_path, engine_client, base_images):
    project = Project(tmp_path, engine_client, by_link=True)
    try:
        project.deploy(project.stage(1))
        release = project.stage(2)
        with Load(project.url, rate=RATE) as load:
            project.deploy(release)
            told = load.stop()
        assert project.versions() == ["2"] and project.served() == "2"
        assert told.failed == 0 and told.retried == 0, told.kinds
        names = sorted(path.name for path in (project.root / "edge" / "edge").iterdir())
        assert len(names) == 2 and names[0] == "app" and names[1].startswith("app-")
    finally:
        project.remove()


def test_going_back_after_the_switch(running):
    release = running.stage(2)
    with Load(running.url, rate=RATE) as load:
        running.done("present", release)
        verify = [{"name": "home", "http": {"url": "http://{edge}:8080/"}}]
        result = running.done("reverted", running.first, verify=verify)
        told = load.stop()
    assert told.failed == 0, told.kinds
    assert result["services"]["app"]["action"] == "switched" and result["switched_at"]
    went_back(running)


def test_going_back_when_the_old_containers_are_gone(running):
    second = running.stage(2)
    running.deploy(second)
    assert running.versions() == ["2"]
    with Load(running.url, rate=RATE) as load:
        running.done("reverted", running.first)
        told = load.stop()
    assert told.failed == 0, told.kinds
    went_back(running)


def test_several_replicas_in_batches(running):
    running.app["deploy"]["replicas"] = 3
    running.app["deploy"]["update_config"].update(parallelism=2, delay="500ms")
    release = running.stage(2)
    running.forget_commands()
    with Load(running.url, rate=RATE) as load:
        running.done("present", release)
        assert running.versions() == ["1", "2", "2", "2"]
        running.commit(release)
        running.done("finished", release)
        told = load.stop()
    assert [one[-1] for one in running.commands()] == ["app", "app"]
    assert [one[-2] for one in running.commands()] == ["app=3", "app=4"]
    assert running.versions() == ["2"] * 3 and told.failed == 0, told.kinds


def test_a_dead_old_container_is_not_started_again(running):
    second = running.stage(2)
    running.deploy(second)
    [old] = running.containers("app")
    old.stop(timeout=0)
    running.done("present", running.stage(3))
    assert running.versions() == ["3"] and len(running.containers("app")) == 1


def test_a_worker_needs_no_edge(project):
    del project.app["x-rollout"]["edge"], project.compose["services"]["edge"]
    project.deploy(project.stage(1))
    release = project.stage(2)
    result = project.done("present", release)
    assert project.versions() == ["1", "2"] and result["switched_at"] == ""
    project.commit(release)
    project.done("finished", release)
    assert project.versions() == ["2"]


def test_a_slow_starter_is_waited_for(running):
    release = running.stage(2, START_DELAY=4)
    with Load(running.url, rate=RATE) as load:
        running.deploy(release)
        told = load.stop()
    assert running.versions() == ["2"] and told.failed == 0, told.kinds


def test_never_ready(running):
    error = broken(running, running.stage(2, START_DELAY=0.1, HEALTHY=0))
    assert "is unhealthy" in error["cause"] or "is starting" in error["cause"]


def test_one_that_dies_before_it_is_ready(running):
    error = broken(running, running.stage(2, CRASH_AFTER=0.2))
    assert "the disk of cards is empty" in error["cause"] and error["log_tail"][-1] == "the disk of cards is empty"


def test_one_that_crashes_again_and_again_is_not_drained(project):
    project.app["x-rollout"]["drain"] = "60s"
    project.first = project.stage(1)
    project.deploy(project.first)
    project.refused("present", project.stage(2, CRASH_AFTER=0.2))
    assert project.done("reverted", project.first)["timings"]["drain"] < 10
    went_back(project)


@pytest.mark.slow
def test_a_smoke_test_that_fails(running):
    asked = {"url": "http://{address}:8000/", "contains": "version 3"}
    running.app["x-rollout"]["smoke"] = [{"name": "direct", "http": asked}]
    error = broken(running, running.stage(2), f"direct ({running.name}-app-2)", timeout=300)
    assert "version 3" in error["cause"] and "30 s" in error["cause"]


def test_a_file_that_the_edge_refuses_is_put_back_at_once(running):
    running.app["x-rollout"]["edge"]["content"] = "map {upstream}"
    path = running.root / "edge" / "edge" / "app.conf"
    before = path.read_text()
    release = running.stage(2)
    error = running.refused("present", release)
    assert path.read_text() == before and error["culprit"] == "edge"
    assert "nginx -t" in error["cause"] and "app.conf" in error["cause"]
    broken(running, release, culprit="edge")


@pytest.mark.slow
def test_an_edge_that_does_not_confirm(running):
    running.app["x-rollout"]["edge"].update(confirm=["echo", "somewhere else"])
    error = broken_after_switch(running, running.stage(2))
    assert error["culprit"] == "edge" and "somewhere else" in error["cause"]


def broken_after_switch(project, release):
    """As `broken`, where the new containers have got requests; but none any more, once that is known."""
    error = project.refused("present", release)
    assert project.served() == "1" and "also" not in error
    with Load(project.url, rate=RATE) as load:
        project.done("reverted", project.first)
        assert project.served() == "1"
        load.stop()
    went_back(project)
    return error


def test_too_many_failures_in_the_window(running):
    running.app["x-rollout"]["smoke"] = []
    error = broken_after_switch(running, running.stage(2, FAIL_RATE=0.6))
    assert error["culprit"] == "app" and "max_failure_ratio is 10.0%" in error["cause"] and "500" in error["cause"]
    assert error["window"]["failed"] >= 2


def test_too_slow_in_the_window(running):
    running.app["x-rollout"]["max_p95_ms"] = 150
    error = broken_after_switch(running, running.stage(2, LATENCY=0.3))
    assert "max_p95_ms is 150" in error["cause"] and error["window"]["p95_ms"] > 300 and error["window"]["failed"] == 0


def test_one_that_dies_in_the_window(running):
    running.app["deploy"]["update_config"]["monitor"] = "20s"
    error = broken_after_switch(running, running.stage(2, CRASH_AFTER=5))
    assert error["culprit"] == "app" and error["log_tail"][-1] == "the disk of cards is empty"


def test_long_requests_and_websockets_have_their_grace(running):
    running.app["x-rollout"].update(drain="5s", long_drain="8s")
    release = running.stage(2)
    answers = []

    def ask_slowly():
        with urllib.request.urlopen(f"{running.url}/slow/12", timeout=30) as response:
            answers.append(response.read().decode())

    slow = threading.Thread(target=ask_slowly)
    with WebSocket(running.port) as socket:
        assert socket.ask("hello") == "1 hello"
        slow.start()
        running.done("present", release)
        assert socket.ask("still there") == "1 still there" and running.served() == "2"
        running.commit(release)
        result = running.done("finished", release)
        slow.join()
        assert answers == ["version 1\n"] and running.versions() == ["2"]
        assert result["cut"] == 1 and socket.ask("gone") == ""  # the one that never ends


def test_a_one_shot_runs_first_and_its_failure_ends_it(running):
    services = running.compose["services"]
    services["prepare"] = {
        "image": running.app["image"], "command": ["sh", "-c", "echo prepared"], "restart": "no",
    }
    running.app["depends_on"] = {"prepare": {"condition": "service_completed_successfully"}}
    good = running.stage(1)
    result = running.deploy(good)
    assert result["services"]["prepare"]["action"] == "ran"
    running.first = good
    services["prepare"]["command"] = ["sh", "-c", "echo there is no table; exit 4"]
    error = broken(running, running.stage(2), culprit="prepare")
    assert "exit code 4" in error["cause"] and "there is no table" in error["cause"]
    assert len(running.containers("app")) == 1


@pytest.mark.slow
def test_what_belongs_to_no_service_is_removed(running):
    extra = {"image": running.app["image"], "command": ["sleep", "600"], "stop_grace_period": "0s"}
    running.compose["services"]["extra"] = extra
    second = running.stage(2)
    running.deploy(second)
    assert len(running.containers("extra")) == 1
    del running.compose["services"]["extra"]
    running.deploy(running.stage(3))
    assert running.containers("extra") == []


@pytest.mark.slow
def test_a_stack_from_before_generations(project):
    """The edge knows the application by its name and has no folder of ours; releases had no generations."""
    first = project.stage(1)
    project.make_legacy(first)
    assert project.served() == "1"
    second = project.stage(2)
    project.done("present", second)
    assert project.versions() == ["1", "2"] and project.served() == "2"
    project.done("reverted", first)
    assert project.versions() == ["1"] and project.served() == "1"
    project.deploy(second)
    assert project.versions() == ["2"] and project.served() == "2"


def test_check_mode_without_an_engine(running):
    release = running.stage(2)
    told = running.done("present", release, check=True, DOCKER_HOST="unix:///nowhere.sock")
    assert told["services"]["app"]["action"] == "replaced"
    assert running.done("present", "20990101T000000Z-nothing", check=True)["changed"]
    assert running.done("reverted", running.first, check=True)["changed"] is False
    assert running.versions() == ["1"] and running.journal() == {}
