# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the checklist's tests read out of its report."""

from __future__ import annotations

import json
import pathlib

CATEGORIES = ("Environment", "Database", "API", "Auth", "Upload", "Observability", "Security", "Storage")


def report_in(folder: pathlib.Path) -> dict:
    return json.loads((folder / "reports" / "latest" / "production-readiness-report.json").read_text(encoding="utf-8"))


def checks(report: dict, host: str = "localhost", *statuses: str) -> set[str]:
    """`category: name` of a host's checks with one of these statuses."""
    return {
        f"{category}: {row['name']}"
        for category, rows in report["categories"].items()
        for row in rows
        if row["host"] == host and row["status"] in statuses
    }
