# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The words of the live view: lines for checks, headings, times, on any terminal. Private to the collection."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.tria.production.plugins.module_utils._redact import printable

Line = t.Tuple[str, t.Optional[str]]  # text, colour

MARKS = {"pass": "✓", "warn": "⚠", "fail": "❌", "error": "❌", "skip": "-"}
_ASCII_MARKS = {"pass": "ok", "warn": "warn", "fail": "FAIL", "error": "FAIL", "skip": "skip"}
QUIET = "bright gray"
COLORS = {"pass": None, "warn": "yellow", "fail": "red", "error": "red", "skip": QUIET}
_TROUBLE = ("warn", "fail", "error")
# What a terminal without these signs gets for them; signs that only decorate are left out.
_ASCII = {
    "✓": "ok", "⚠": "warn", "❌": "FAIL", "⏭": "skip", "…": "...", "·": "-", "→": "->", "↩": "<-", "—": "-", "–": "-",
    "🔧": "==", "🚀": "==", "📊": "==", "🎉": "==", "📋": "==", "\N{VARIATION SELECTOR-16}": "",
}  # fmt: skip
_LAST_WORDS = 5  # lines of what a program said
_REASON = 100  # characters of the reason why something was skipped
# Signs that turn or hide the text around them.
_TURNING = re.compile("[\u200b\u200e\u200f\u2028-\u202e\u2060\u2066-\u2069\ufeff]")

HEADINGS = {
    "Environment": "🔧 Checking Environment Variables...",
    "Database": "🗄️ Checking Database...",
    "API": "🌐 Checking API Endpoints...",
    "Auth": "🔐 Checking Authentication...",
    "Upload": "📤 Checking Uploads...",
    "Observability": "📈 Checking Observability...",
    "Security": "🔒 Checking Security...",
    "Storage": "💾 Checking Storage...",
    "Deployment Readiness": "🚦 Checking Deployment Readiness...",
    "Core Endpoints": "🌐 Checking Core Endpoints...",
    "Authentication Flow": "🔐 Checking Authentication Flow...",
    "Upload System": "📤 Checking Upload System...",
    "Monitoring System": "📈 Checking Monitoring System...",
    "GDPR Compliance": "📜 Checking GDPR Compliance...",
    "Performance Benchmarks": "⚡ Checking Performance...",
    "Preflight": "🧰 Checking Host...",
    "Container": "📦 Checking Containers...",
    "Cache": "🧠 Checking Cache...",
    "Network": "📡 Checking Network...",
    "System": "💻 Checking System...",
}
_ANY_HEADING = "🔎 Checking {}..."
MANY = 8  # checks of one result within a gate, from which on headings help


def plain(text: t.Any) -> str:
    """Text of others without anything that could steer the terminal."""
    return _TURNING.sub("", printable(str(text)))


def one_line(text: t.Any) -> str:
    """As `plain`, on one line: a name or a reason cannot pass for a line of ours."""
    return " ".join(plain(text).split())


def block(text: t.Any, indent: str) -> list[str]:
    """As `plain`, every line indented."""
    return [indent + line for line in plain(text).strip().splitlines()]


def seconds(value: float) -> str:
    return f"{value:.0f} s" if value < 100 else f"{value // 60:.0f} min {value % 60:.0f} s"


def is_check(value: t.Any) -> bool:
    return isinstance(value, dict) and {"category", "name"} <= value.keys() and value.get("status") in MARKS


class Words:
    """Lines fit for an output encoding: one that cannot carry the signs gets ASCII instead."""

    def __init__(self, encoding: str) -> None:
        self._encoding = encoding
        try:
            "".join([*MARKS.values(), *_ASCII]).encode(encoding)
            self._ascii = False
        except (UnicodeError, LookupError):
            self._ascii = True

    def fit(self, text: str) -> str:
        if not self._ascii:
            return text
        for sign, instead in _ASCII.items():
            text = text.replace(sign, instead)
        text = re.sub("[\U0001f000-\U0001ffff\u2600-\u27bf]", "==", text)
        try:
            return text.encode(self._encoding, "backslashreplace").decode(self._encoding)
        except LookupError:
            return text.encode("ascii", "backslashreplace").decode("ascii")

    def checks(self, found: list[dict[str, t.Any]], gate: str, host: str, headings: bool = True) -> list[Line]:
        """The lines of one result's checks, by category; `host` is empty where there is only one.

        Headings would repeat what the gate's own line says when there is one category or there are few checks.
        """
        categories: dict[str, list[dict[str, t.Any]]] = {}
        for check in found:
            categories.setdefault(one_line(check["category"]), []).append(check)
        helpful = [name.lower() for name in categories] != [gate.lower()] and (not gate or len(found) >= MANY)
        where = f" [{host}]" if host else ""
        lines: list[Line] = []
        for category, checks in categories.items():
            if headings and helpful:
                space = "" if gate and not lines else "\n"
                lines.append((f"{space}{HEADINGS.get(category) or _ANY_HEADING.format(category)}{where}", None))
            for check in checks:
                lines += self._check(check, category, where)
        return lines

    def _check(self, check: dict[str, t.Any], category: str, where: str) -> list[Line]:
        status = check["status"]
        mark = (_ASCII_MARKS if self._ascii else MARKS)[status]
        took = check.get("duration_ms")
        took = f" ({took:.0f}ms)" if isinstance(took, (int, float)) and took >= 1 else ""
        head = f"{mark} {category}: {one_line(check['name'])}{took}{where}"
        reason = one_line(check.get("message", "")) if status == "skip" else ""
        if reason:
            head += f": {reason}" if len(reason) <= _REASON else f": {reason[:_REASON]}…"
        lines = [head]
        if status in _TROUBLE:
            lines += block(check.get("message", ""), "    ")
            lines += block(f"Remedy: {check['remedy']}", "    ") if check.get("remedy") else []
        return [(line, COLORS[status]) for line in lines]


def worth_saying(found: list[dict[str, t.Any]]) -> list[dict[str, t.Any]]:
    """Those that somebody who wants to hear little wants to hear of."""
    return [check for check in found if check["status"] in _TROUBLE]


def failure_text(answer: dict[str, t.Any], exception: t.Any) -> str:
    """Why a task failed: its message, what that came from, and the last words of a program that it ran."""
    text = plain(answer.get("msg") or answer.get("censored") or answer.get("reason") or "").strip()
    cause = one_line(_cause(exception))
    last = answer.get("stderr") or answer.get("module_stderr") or (answer.get("stdout") if answer.get("rc") else "")
    words = block(last, "    ")[-_LAST_WORDS:] if last and plain(last).strip() not in text else []
    return "\n".join(filter(None, [text, "" if cause in one_line(text) else cause, *words])) or "no reason given"


def _cause(exception: t.Any) -> str:
    """The innermost error of an error summary (ansible-core 2.19); before, `msg` has it all."""
    event = getattr(exception, "event", None)
    while event is not None and event.chain:
        event = event.chain.event
    return event.msg if event else ""
