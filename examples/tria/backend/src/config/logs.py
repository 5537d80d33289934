# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Logs: one line per record on standard output, with every known secret blanked out."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote, unquote

MASK = "********"
# Shorter values ("1", "dev") would blank out ordinary words; the validated secrets are longer than that.
_SHORTEST_SECRET = 4


class OneLineFormatter(logging.Formatter):
    """Formats a record, its traceback included, as a single line without secrets."""

    converter = staticmethod(time.gmtime)

    def __init__(self) -> None:
        super().__init__("%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%S")
        self._secrets: list[str] = []

    def hide(self, secrets: Iterable[str]) -> None:
        """Blank out these values from now on, in plain, URL-quoted and URL-unquoted form."""
        forms = {form for secret in secrets for form in (secret, quote(secret, safe=""), unquote(secret))}
        self._secrets = sorted((form for form in forms if len(form) >= _SHORTEST_SECRET), key=len, reverse=True)

    def redact(self, text: str) -> str:
        """`text` on one line and without the known secrets."""
        for secret in self._secrets:
            text = text.replace(secret, MASK)
        return " | ".join(line.strip() for line in text.splitlines() if line.strip())

    def redact_document(self, value: Any) -> Any:
        """A JSON document with every text in it redacted."""
        if isinstance(value, dict):
            return {key: self.redact_document(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.redact_document(item) for item in value]
        return self.redact(value) if isinstance(value, str) else value

    def format(self, record: logging.LogRecord) -> str:
        return self.redact(super().format(record))


def configure_logging() -> OneLineFormatter:
    """Send all records to standard output; returns the formatter, to be told the secrets once they are known."""
    formatter = OneLineFormatter()
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(formatter)
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    return formatter
