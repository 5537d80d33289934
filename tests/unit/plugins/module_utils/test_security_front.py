# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The rules for an HTTP front, against small servers: each fault is planted in a good one."""

from __future__ import annotations

import contextlib
import http.server
import shutil
import ssl
import subprocess
import threading

import pytest
from probe_peers import free_port

from ansible_collections.tria.production.plugins.module_utils._security import front, rules

GOOD = {
    "Strict-Transport-Security": "max-age=31536000; includeSubDomains",
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Set-Cookie": "session=1; HttpOnly; Secure; SameSite=Lax",
}
TRACE = b'Traceback (most recent call last):\n  File "/app/src/main.py", line 3, in <module>\n'


class Site(http.server.ThreadingHTTPServer):
    """Answers 200 on / and on `pages`, else 404; `headers` go with all, `missing_headers` with a 404 instead."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.headers, self.missing_headers, self.pages, self.missing = dict(GOOD), None, {"/": (200, b"hi")}, b"no"
        self.cors = None
        self.asked = []

    def handle_error(self, request, client_address):
        """Clients of these tests hang up when they like."""


class _Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_args):
        """Not to the terminal."""

    def version_string(self):
        return "site"

    def do_GET(self):
        site = self.server
        site.asked.append((self.command, self.path))
        status, body = site.pages.get(self.path, (404, site.missing))
        headers = site.headers if status != 404 or site.missing_headers is None else site.missing_headers
        self.send_response(status)
        for name, value in {**headers, **(site.cors(self.headers.get("Origin")) if site.cors else {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_OPTIONS = do_GET


@contextlib.contextmanager
def serving(site):
    thread = threading.Thread(target=site.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield site
    finally:
        site.shutdown()
        thread.join()
        site.server_close()


@pytest.fixture()
def site():
    with serving(Site()) as served:
        yield served


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    pem = tmp_path_factory.mktemp("certificate") / "site.pem"
    assert shutil.which("openssl")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", "/CN=localhost", "-addext",
         "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", f"{pem}.key", "-out", str(pem)],
        check=True, capture_output=True,
    )
    return str(pem)


@contextlib.contextmanager
def serving_tls(certificate, **settings):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate + ".key")
    for name, value in settings.items():
        if name == "ciphers":
            context.set_ciphers(value)
        else:
            setattr(context, name, value)
    site = Site()
    site.socket = context.wrap_socket(site.socket, server_side=True, do_handshake_on_connect=False)
    with serving(site):
        yield site


def url(site, scheme="http"):
    return f"{scheme}://127.0.0.1:{site.server_address[1]}"


def seen(address, status="fail", ca_path=None, **options):
    """(rule, subject) -> message."""
    given = {
        "url": address, "ca_path": ca_path, "timeout": 10, "paths": ["/"], "hidden_paths": ["/.env", "/debug"],
        "protected_paths": [], "http_url": None, **options,
    }
    found = list(front.observe(given))
    assert {one.rule.name for one in found} == {one.name for one in rules.GROUPS["The HTTP front"]}
    return {(one.rule.name, one.subject): one.message for one in found if one.status == status}


def test_a_good_front(site):
    assert seen(url(site)) == seen(url(site), "error") == {}
    assert {name for name, _subject in seen(url(site), "skip")} == {"tls", "https_redirect"}
    assert {method for method, _path in site.asked} == {"GET", "OPTIONS"}


@pytest.mark.parametrize(
    "rule, headers",
    [
        ("csp", {"Content-Security-Policy": None}),
        ("csp", {"Content-Security-Policy": "script-src *; frame-ancestors 'none'"}),
        ("csp", {"Content-Security-Policy": "frame-ancestors 'none'"}),
        ("csp", {"Content-Security-Policy": "default-src 'self' 'unsafe-inline'; frame-ancestors 'none'"}),
        ("nosniff", {"X-Content-Type-Options": None}),
        ("framing", {"X-Frame-Options": None, "Content-Security-Policy": "default-src 'self'"}),
        ("framing", {"Content-Security-Policy": "default-src 'self'; frame-ancestors *"}),
        ("cookies", {"Set-Cookie": "session=1; SameSite=Lax"}),
        ("cookies", {"Set-Cookie": "session=1; HttpOnly"}),
        ("cookies", {"Set-Cookie": "session=1; HttpOnly; SameSite=None"}),
        ("server_banner", {"X-Powered-By": "PHP/8.1"}),
    ],
)
def test_a_fault_in_the_headers(site, rule, headers):
    faulty = {name: value for name, value in {**GOOD, **headers}.items() if value is not None}
    site.headers = faulty
    assert set(seen(url(site))) == {(rule, "/"), (rule, front.MISSING_PAGE)}
    site.headers, site.missing_headers = GOOD, faulty  # on errors alone
    assert set(seen(url(site))) == {(rule, front.MISSING_PAGE)}


def test_a_cookie_that_scripts_may_read(site):
    site.headers = {**GOOD, "Set-Cookie": "XSRF-TOKEN=1; SameSite=Strict"}
    assert seen(url(site)) == {}


@pytest.mark.parametrize(
    "answers, bad",
    [
        (lambda origin: {"Access-Control-Allow-Origin": origin or "*"}, {front.HOSTILE_ORIGIN, "null"}),
        (lambda origin: {"Access-Control-Allow-Origin": "null"}, {"null"}),
        (lambda _origin: {"Access-Control-Allow-Origin": "*", "Access-Control-Allow-Credentials": "true"},
         {front.HOSTILE_ORIGIN, "null"}),
        (lambda _origin: {"Access-Control-Allow-Origin": "https://shop.example.org"}, set()),
        (lambda _origin: {"Access-Control-Allow-Origin": "*"}, set()),
    ],
)
def test_cors(site, answers, bad):
    site.cors = answers
    assert set(seen(url(site))) == {("cors", f"Origin {origin}") for origin in bad}


def test_hidden_paths_and_stack_traces(site):
    site.pages.update({"/.env": (200, b"PASSWORD=x"), "/debug": (500, TRACE)})
    assert seen(url(site)) == {
        ("hidden_paths", "/.env"): "answers 200", ("stack_traces", "/debug"): "answers 500 with a stack trace"
    }
    site.pages, site.missing = {}, TRACE
    assert {name for name, _subject in seen(url(site))} == {"stack_traces"}


@pytest.mark.parametrize(
    "text",
    ["at com.example.Shop.run(Shop.java:12)", "at Object.<anonymous> (/app/server.js:3:7)", "#0 /var/www/index.php(12)",
     "goroutine 1 [running]:", "app.rb:12:in `call'", "Werkzeug Debugger"],
)
def test_stack_traces_of_other_languages(site, text):
    site.pages["/"] = (500, text.encode())
    assert ("stack_traces", "/") in seen(url(site))


def test_a_single_page_application_answers_every_path(site):
    class Same(dict):
        def get(self, _path, _default):
            return 200, b"<html>app</html>"

    site.pages = Same()
    assert seen(url(site)) == {}


def test_protected_paths(site):
    site.pages.update({"/open": (200, b"all of it"), "/closed": (401, b""), "/invalid": (422, b"")})
    paths = ["/open", "/closed", "/invalid", "/nowhere"]
    assert seen(url(site), protected_paths=paths) == {
        ("protected_paths", "/open"): "answers 200 without credentials",
        ("protected_paths", "/invalid"): "answers 422 without credentials",
    }
    assert set(seen(url(site), "error", protected_paths=paths)) == {("protected_paths", "/nowhere")}


def test_a_proxy_without_its_application_hides_nothing(site):
    site.pages = {path: (502, b"") for path in ("/", "/.env", "/debug")}
    assert seen(url(site)) == {}
    assert {name for name, _subject in seen(url(site), "error")} == {"cors", "hidden_paths"}


def test_when_the_time_is_over(site):
    messages = set(seen(url(site), "error", timeout=0).values())
    assert messages == {"no answer to look at: the timeout of 0 s is over"} and not site.asked


def test_a_front_that_does_not_answer_is_an_error():
    address = f"http://127.0.0.1:{free_port()}"
    assert seen(address) == {}
    unseen = {name for name, _subject in seen(address, "error")}
    assert unseen == set(front.answers.CHECKS) - {"hsts"} | {"cors", "hidden_paths", "hsts"}
    assert seen(address, "pass") == {}


def test_a_good_front_with_tls(certificate, site):
    site.pages["/"] = (308, b"")
    site.headers = {**GOOD, "Location": "https://127.0.0.1/"}
    with serving_tls(certificate) as secure:
        assert seen(url(secure, "https"), ca_path=certificate, http_url=url(site)) == {}
        assert seen(url(secure, "https"), "error", ca_path=certificate, http_url=url(site)) == {}


def test_faults_of_tls(certificate, site):
    with serving_tls(certificate) as secure:
        short = {"Strict-Transport-Security": "max-age=60", "Set-Cookie": "a=1; HttpOnly; SameSite=Lax"}
        secure.headers = {**GOOD, **short}
        found = seen(url(secure, "https"), http_url=url(site))
        assert {name for name, _subject in found} == {"tls", "https_redirect", "hsts", "cookies"}
        assert "self-signed" in found[("tls", "certificate")]
        del secure.headers["Strict-Transport-Security"]
        nobody = f"http://127.0.0.1:{free_port()}"
        assert ("hsts", "/") in seen(url(secure, "https"), http_url=nobody, ca_path=certificate)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_old_versions_of_tls(certificate):
    oldest, newest = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    with serving_tls(
        certificate, minimum_version=oldest, maximum_version=newest, ciphers="ALL:@SECLEVEL=0"
    ) as secure:
        found = seen(url(secure, "https"), ca_path=certificate, http_url=f"http://127.0.0.1:{free_port()}")
    assert found[("tls", "versions before 1.2")].startswith("are accepted (TLSv1")


def test_a_front_beyond_this_machine_needs_tls(monkeypatch, site):
    monkeypatch.setattr(front, "is_loopback", lambda _host: False)
    assert seen(url(site))[("tls", "certificate")] == "is served without TLS"
