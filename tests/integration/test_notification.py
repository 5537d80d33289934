# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The role `notification` and the deploy with a webhook, against real receivers: who hears what."""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import pathlib
import socket
import ssl
import subprocess
import sys
import threading
import time
import typing as t

import pytest
from deployed_stack import DeployedStack

ROOT = pathlib.Path(__file__).parents[2]
SECRET = "c4n4ry-T000-B000"
REPORT = {"overall_status": "READY", "total_checks": 15, "passed_checks": 15, "reports": {"html": "reports/r1/x.html"}}
FAILED = {"notification_failure": {"gate": "rollout", "host": "app1", "msg": "<b> & c4n4ry-password"}}


class Receiver:
    """A webhook: `url` with the secret in it, `got` the messages it took."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.got: list[dict[str, t.Any]] = []


@contextlib.contextmanager
def receiver(status: int = 200, location: str = "", pem: pathlib.Path | None = None) -> t.Iterator[Receiver]:
    """A server that answers every POST with `status`; with `pem` (certificate and key) over TLS."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            made.got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(status)
            self.send_header("Location", location)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: t.Any) -> None:
            """No words about requests."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        if pem:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(pem)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        made = Receiver(f"http{'s' if pem else ''}://localhost:{server.server_port}/services/{SECRET}")
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield made
        finally:
            server.shutdown()
            thread.join()


def run(playbook: pathlib.Path, url: str, inventory: str, *arguments: str, **variables: t.Any) -> tuple[int, str]:
    """Runs a playbook as a CI job would, with the webhook in its environment; exit status and all output."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GITHUB_")}
    environment.update(ANSIBLE_CONFIG=str(ROOT / "ansible.cfg"), ANSIBLE_NOCOLOR="1", COLUMNS="1000")
    environment.update(CI_JOB_URL="https://ci.example.com/1", GITLAB_USER_LOGIN="alex", NOTIFICATION_WEBHOOK_URL=url)
    command = [sys.executable, "-m", "ansible", "playbook", str(playbook), "-i", inventory, "-e", json.dumps(variables)]
    done = subprocess.run(
        [*command, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert SECRET not in done.stdout + done.stderr
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(name="pem", scope="module")
def fixture_pem(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A self-signed certificate for localhost, and its key, in one file."""
    pem = tmp_path_factory.mktemp("tls") / "both.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(pem), "-out", str(pem.with_suffix(".crt"))]
    subprocess.run(command, check=True, capture_output=True)
    pem.write_text(pem.read_text() + pem.with_suffix(".crt").read_text())
    return pem


@pytest.fixture(name="play")
def fixture_play(tmp_path: pathlib.Path) -> t.Callable[..., str]:
    """Runs the role on two hosts, then says that the run goes on; the output, in which there is never a secret."""
    tasks = [
        {"ansible.builtin.include_role": {"name": "tria.production.notification"}},
        {"ansible.builtin.debug": {"msg": "The run goes on."}, "run_once": True},
    ]
    playbook = tmp_path / "play.yml"
    playbook.write_text(json.dumps([{"hosts": "all", "gather_facts": False, "tasks": tasks}]))

    def play(url: str, *arguments: str, **variables: t.Any) -> str:
        given = {"notification_stack": "shop", "notification_report": REPORT}
        given["notification_secrets"] = ["c4n4ry-password"]
        # in a file: with -vvvv Ansible itself shows its arguments
        (tmp_path / "given.json").write_text(json.dumps({**given, **variables}))
        status, output = run(playbook, url, "a,b", "-e", f"@{tmp_path}/given.json", *arguments)
        assert status == 0 and "The run goes on." in output and "c4n4ry" not in output, output
        return output

    return play


def fields(message: dict[str, t.Any]) -> dict[str, str]:
    return {field["title"]: field["value"] for field in message["attachments"][0]["fields"]}


def test_success_and_failure_are_told_once_for_all_hosts(play: t.Callable[..., str]) -> None:
    with receiver() as webhook:
        assert "not sent" not in play(webhook.url, notification_release="r1", notification_duration=61)
        play(webhook.url, **FAILED)
    good, bad = webhook.got
    assert good["text"] == "✅ shop: deploy READY, 15/15 checks passed"
    assert fields(good) == {
        "Release": "r1",
        "Hosts": "2",
        "Duration": "1 min 1 s",
        "Started by": "alex",
        "Job": "<https://ci.example.com/1>",
        "Report": "reports/r1/x.html",
    }
    assert bad["text"] == "❌ shop: deploy failed at rollout on app1"
    assert bad["attachments"][0]["text"] == "```\n&lt;b&gt; &amp; ********\n```"


def test_the_url_is_in_no_output_however_much_is_asked_for(play: t.Callable[..., str]) -> None:
    with receiver(500) as webhook:
        output = play(webhook.url, "-vvvv", **FAILED)
    assert webhook.got and "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER" in output


def test_json_for_a_program(play: t.Callable[..., str]) -> None:
    with receiver() as webhook:
        play(webhook.url, notification_format="json", notification_event="validation")
    [message] = webhook.got
    assert (message["event"], message["failed"], message["passed_checks"]) == ("validation", False, 15)


@pytest.mark.parametrize(
    ("told_on", "variables", "messages"),
    [
        ("failure", {}, 0),
        ("failure", FAILED, 1),
        ("failure", {"notification_report": {**REPORT, "overall_status": "NOT_READY"}}, 1),
        ("change", {}, 0),
        ("change", {"notification_changed": True}, 1),
        ("change", FAILED, 1),
    ],
)
def test_when_it_is_told(
    play: t.Callable[..., str], told_on: str, variables: dict[str, t.Any], messages: int
) -> None:
    with receiver() as webhook:
        play(webhook.url, notification_on=told_on, **variables)
    assert len(webhook.got) == messages


def test_neither_check_mode_nor_an_empty_url_sends(play: t.Callable[..., str]) -> None:
    with receiver() as webhook:
        assert "not sent" not in play(webhook.url, "--check")
        assert "not sent" not in play("")
    assert not webhook.got


def test_a_receiver_that_refuses_changes_nothing_but_one_line(play: t.Callable[..., str]) -> None:
    with receiver() as elsewhere, receiver(302, elsewhere.url) as redirects, receiver(500) as broken:
        for webhook, reason in ((redirects, "answered 302, a redirect, and none is"), (broken, "answered 500")):
            output = play(webhook.url)
            assert output.count("not sent") == 1 and f"The notification was not sent: the webhook {reason}" in output
    assert not elsewhere.got


def test_a_receiver_that_never_answers_is_not_waited_for(play: t.Callable[..., str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        begun = time.monotonic()
        output = play(f"http://127.0.0.1:{silent.getsockname()[1]}/{SECRET}", notification_timeout=1)
    assert "The notification was not sent: no answer within 1 s." in output and time.monotonic() - begun < 30


def test_tls(play: t.Callable[..., str], pem: pathlib.Path) -> None:
    with receiver(pem=pem) as webhook:
        output = play(webhook.url)
        assert "not sent: the certificate of localhost is not valid: self-signed certificate." in output
        assert not webhook.got
        play(webhook.url, notification_ca_path=str(pem.with_suffix(".crt")))
        play(webhook.url, notification_validate_certs=False)
    assert len(webhook.got) == 2


# --- checklist and validation -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("playbook", "event"), [("checklist", "checklist"), ("validate", "validation")])
def test_a_verdict_on_any_api_is_told_with_what_failed(tmp_path: pathlib.Path, playbook: str, event: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    given = {"api_url": f"http://127.0.0.1:{port}", "timeout": 1, "deploy_reports": str(tmp_path)}
    given.update(ansible_connection="local", ansible_python_interpreter=sys.executable)
    with receiver() as webhook:
        status, output = run(ROOT / "playbooks" / f"{playbook}.yml", webhook.url, "localhost,", **given)
    assert status == 2 and "NOT PRODUCTION READY" in output, output
    [message] = webhook.got
    assert message["text"].startswith(f"❌ 127.0.0.1-{port}: {event} ")
    assert f"port {port}" in message["attachments"][0]["text"]
    assert fields(message)["Stack"] == f"<http://127.0.0.1:{port}>"


# --- the deploy -------------------------------------------------------------------------------------------------------


@pytest.fixture(name="refused")
def fixture_refused(tmp_path: pathlib.Path) -> t.Iterator[t.Callable[..., str]]:
    """Deploys a stack whose port is taken; the output of the run."""
    stack = DeployedStack("trianotify", tmp_path)

    def deploy(url: str, *arguments: str, **variables: t.Any) -> str:
        with socket.create_server(("127.0.0.1", stack.port)):
            ended = stack.deploy(*arguments, notification_webhook_url=url, **variables)
        assert ended.status == 2 and ended.gates == ["preflight"]
        assert f"Port 127.0.0.1:{stack.port}: " in ended.output
        return ended.output

    yield deploy
    stack.remove()


def test_a_deploy_that_is_refused_is_told(refused: t.Callable[..., str]) -> None:
    with receiver() as webhook:
        refused(webhook.url)
    [message] = webhook.got
    assert message["text"] == "❌ trianotify: deploy failed at preflight on localhost"
    assert "does not meet 1 requirement of this stack" in message["attachments"][0]["text"]
    assert fields(message)["Stack"].startswith("<http://127.0.0.1:")


def test_a_refusal_by_one_of_several_hosts_is_told_once(tmp_path: pathlib.Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, receiver() as webhook:
        local = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
        refuses = {**local, "preflight_ports": [{"port": taken.getsockname()[1], "host": "127.0.0.1"}]}
        inventory = tmp_path / "inventory.json"
        inventory.write_text(json.dumps({"all": {"children": {"stack": {"hosts": {"one": local, "two": refuses}}}}}))
        schema = str(ROOT / "examples" / "tria" / "env.schema.yaml")
        given = {"stack_name": "trianotify", "environment_variables": {}, "environment_schema_file": schema}
        status, output = run(ROOT / "playbooks" / "deploy.yml", webhook.url, str(inventory), **given)
    assert status == 2 and output.count("does not meet 1 requirement") == 1, output
    [message] = webhook.got
    assert message["text"] == "❌ trianotify: deploy failed at preflight on two" and fields(message)["Hosts"] == "2"


def test_a_refused_deploy_stays_what_it_is_without_the_receiver(refused: t.Callable[..., str]) -> None:
    with receiver(500) as webhook:
        output = refused(webhook.url)
        assert "The notification was not sent: the webhook answered 500." in output and SECRET not in output
        assert len(webhook.got) == 1
        refused(webhook.url, "--check")
    assert len(webhook.got) == 1


@pytest.mark.slow
def test_a_deploy_that_fails_later_is_told_after_its_report(stack: DeployedStack) -> None:
    with receiver() as webhook:
        url = {"notification_webhook_url": webhook.url}
        wrong = {"name": "wrong", "http": {"url": f"http://127.0.0.1:{stack.port}/no-such-page"}}
        ended = stack.deploy(validation_targets=[wrong], **url)
        assert ended.status != 0 and ended.gates[-1] == "validation"
        ended = stack.deploy(**url)
        assert ended.status == 0 and "PRODUCTION READY" in ended.output, ended.output
        stack.deploy("--check", **url)
    bad, good = webhook.got
    assert bad["text"] == f"❌ {stack.name}: deploy failed at validation on localhost"
    assert "wrong" in bad["attachments"][0]["text"]
    assert good["text"].startswith(f"✅ {stack.name}: deploy READY, ")
    assert fields(good)["Release"] == stack.current
    assert fields(good)["Report"].endswith("/deployment-validation-report.html")
