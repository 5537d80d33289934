# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The outcome of a run told to a webhook. Private to the collection.

`document` says what there is to tell, each function in `FORMATS` puts it as a receiver wants it, `notify` delivers it.
"""

from __future__ import annotations

import json
import re
import typing as t

from ansible_collections.tria.production.plugins.module_utils._probes._base import Budget, ProbeFailure
from ansible_collections.tria.production.plugins.module_utils._probes._http import (
    Client,
    Request,
    basic_authorization,
    split,
)
from ansible_collections.tria.production.plugins.module_utils._redact import printable, redact, redact_tree
from ansible_collections.tria.production.plugins.module_utils._report_reading import (
    NOT_READY,
    READY,
    READY_WITH_WARNINGS,
)

MAX_CAUSE = 1500  # characters; a message is for a glance, the report has the rest
MAX_WORDS = 300  # characters of everything else
_MAX_ANSWER = 65536  # bytes
_MARKS = {READY: "✅", READY_WITH_WARNINGS: "⚠️", NOT_READY: "❌"}
_COLORS = {READY: "good", READY_WITH_WARNINGS: "warning", NOT_READY: "danger"}
_COUNTS = ("total_checks", "passed_checks", "skipped_checks")
_URL = re.compile(r"https?://[!-~]+\Z", re.IGNORECASE)
# What would end a link, or start its label, in the receiver's mark-up.
_IN_LINKS = {"|": "%7C", "<": "%3C", ">": "%3E"}

Document = t.Dict[str, t.Any]


def notify(options: dict[str, t.Any], check_mode: bool = False) -> dict[str, t.Any]:
    """Deliver the message, or say in `reason` why it was not delivered: that is never an error.

    Returns `sent`, `reason`, which does not show the webhook's URL, and `status` (0 without an answer).
    """
    if check_mode:
        return _not_sent("check mode sends nothing")
    url = options["url"]
    hidden = _hidden(url)
    if not hidden:
        return _not_sent("the webhook's URL is none of HTTP")
    told = document(options, [*options["secrets"], *hidden])
    http = {
        "url": url,
        "url_username": None,
        "url_password": None,
        "follow_redirects": "none",
        "validate_certs": options["validate_certs"],
        "ca_path": options["ca_path"],
        "max_body_bytes": _MAX_ANSWER,
    }
    headers = {"Content-Type": "application/json", **basic_authorization(http)}
    request = Request("POST", url, headers, json.dumps(FORMATS[options["format"]](told)).encode())
    try:
        answer = Client(http).send(request, Budget(options["timeout"]))
    except (ProbeFailure, OSError) as exc:  # OSError: a connection that ended, a time that is over
        return _not_sent(_words(redact(str(exc), hidden, guess=False)) or type(exc).__name__)
    if 200 <= answer.status < 300:
        return {"sent": True, "status": answer.status, "reason": ""}
    redirect = ", a redirect, and none is followed" if 300 <= answer.status < 400 else ""
    return _not_sent(f"the webhook answered {answer.status}{redirect}", answer.status)


def document(options: dict[str, t.Any], secrets: t.Sequence[str] = ()) -> Document:
    """What there is to tell, redacted and bounded; what is not known is left out.

    `event`, `stack`, `overall_status`, `headline` and `failed` are always there.
    """
    report, failure = options["report"], options["failure"]
    status = NOT_READY if failure else report.get("overall_status", NOT_READY)
    told = {key: options[key] for key in ("event", "stack", "release", "stack_url", "started_by", "job_url")}
    told.update({key: report[key] for key in _COUNTS if key in report})
    told["report"] = options["report_url"] or report.get("reports", {}).get("html", "")
    told["failure"] = {key: str(failure[key]) for key in ("gate", "host", "msg") if failure.get(key)}
    told = {key: value for key, value in redact_tree(told, secrets, guess=False).items() if value not in ("", {})}
    told = {key: _words(value) if isinstance(value, str) else value for key, value in told.items()}
    if "failure" in told:
        told["failure"] = {key: _bounded(key, value) for key, value in told["failure"].items()}
    told.update({key: options[key] for key in ("hosts", "duration_s") if options[key] is not None})
    told.setdefault("stack", "stack")
    told.update(overall_status=status, failed=status == NOT_READY)
    return {**told, "headline": _headline(told)}


def as_json(told: Document) -> Document:
    """As it is."""
    return told


def as_slack(told: Document) -> Document:
    """A message with one attachment, which Slack, Mattermost, Rocket.Chat and Discord (`…/slack`) all show."""
    fields = [
        {"title": title, "value": value, "short": len(value) <= 40}
        for title, value in (
            ("Release", _escaped(told.get("release", ""))),
            ("Stack", _link(told.get("stack_url", ""))),
            ("Hosts", str(told.get("hosts", ""))),
            ("Duration", _duration(told["duration_s"]) if "duration_s" in told else ""),
            ("Started by", _escaped(told.get("started_by", ""))),
            ("Job", _link(told.get("job_url", ""))),
            ("Report", _link(told.get("report", ""))),
        )
        if value
    ]
    headline = _escaped(told["headline"])
    attachment = {"color": _COLORS[told["overall_status"]], "fallback": headline, "fields": fields}
    cause = told.get("failure", {}).get("msg")
    if cause:
        # within a block of code nothing is mark-up but its end
        attachment.update(text="```\n" + _escaped(cause.replace("```", "'''")) + "\n```", mrkdwn_in=["text"])
    return {"text": headline, "attachments": [attachment]}


FORMATS: dict[str, t.Callable[[Document], Document]] = {"slack": as_slack, "json": as_json}


def _headline(told: Document) -> str:
    mark = f"{_MARKS[told['overall_status']]} {told['stack']}: {told['event']}"
    failure = told.get("failure", {})
    if "gate" in failure:
        host = f" on {failure['host']}" if "host" in failure else ""
        return f"{mark} failed at {failure['gate']}{host}"
    if "total_checks" not in told:
        return f"{mark} {told['overall_status']}"
    skipped = f" ({told['skipped_checks']} skipped)" if told.get("skipped_checks") else ""
    counts = f"{told.get('passed_checks', 0)}/{told['total_checks']} checks passed{skipped}"
    return f"{mark} {told['overall_status']}, {counts}"


def _hidden(url: str) -> list[str]:
    """What of a webhook's URL may be shown nowhere: itself and all behind the host; [] when it is none of HTTP."""
    if not _URL.match(url):
        return []
    try:
        parts = split(url)
    except ProbeFailure:
        return []
    return [url, parts.path, parts.query]


def _not_sent(reason: str, status: int = 0) -> dict[str, t.Any]:
    return {"sent": False, "status": status, "reason": reason}


def _bounded(key: str, text: str) -> str:
    if key != "msg":
        return _words(text)
    text = printable(text).strip()
    cut = len(text) - MAX_CAUSE
    return f"{text[:MAX_CAUSE]}\n… ({cut} more characters, see the report)" if cut > 0 else text


def _words(text: str) -> str:
    """One line, bounded."""
    line = " ".join(printable(text).split())
    return line[: MAX_WORDS - 1] + "…" if len(line) > MAX_WORDS else line


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _link(text: str) -> str:
    """A link when it is one, else the text."""
    if not _URL.match(text):
        return _escaped(text)
    for character, escaped in _IN_LINKS.items():
        text = text.replace(character, escaped)
    return f"<{_escaped(text)}>"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"
