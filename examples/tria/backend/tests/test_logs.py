# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Log lines: one per record, without secrets."""

from __future__ import annotations

import logging

import pytest

from config.logs import MASK, OneLineFormatter


def record(message: str, **kwargs: object) -> logging.LogRecord:
    return logging.LogRecord("test", logging.ERROR, "file", 1, message, (), kwargs.get("exc_info"))  # type: ignore[arg-type]


def test_a_record_is_one_line() -> None:
    assert OneLineFormatter().format(record("one\n  two\r\nthree")).endswith("test: one | two | three")


def test_a_traceback_is_one_line_without_secrets() -> None:
    formatter = OneLineFormatter()
    formatter.hide(["p@ss/word"])
    with pytest.raises(ValueError) as caught:
        raise ValueError("connecting to postgresql://u:p%40ss%2Fword@host with p@ss/word")
    line = formatter.format(record("failed", exc_info=(ValueError, caught.value, caught.tb)))
    assert "\n" not in line
    assert "word" not in line
    assert line.count(MASK) >= 2


def test_documents_are_redacted_to_their_leaves() -> None:
    formatter = OneLineFormatter()
    formatter.hide(["secret-value"])
    assert formatter.redact_document({"a": ["x secret-value", 1, None]}) == {"a": [f"x {MASK}", 1, None]}
