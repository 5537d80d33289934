# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a validation found: all findings at once, as data, as checks and as a table. Private to the collection."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.tria.production.plugins.module_utils import _result
from ansible_collections.tria.production.plugins.module_utils._env.rules import ERROR, GROUPS, WARNING, Finding
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError

CATEGORY = "Environment"


@dataclasses.dataclass
class Outcome:
    """What a validation found. `waived`: findings that a waiver took out; `good`: variables in order that are required
    or recommended; `unset`: recommended ones that are not set, each with what it is for; `origins`: where each value
    comes from; `services`: the same for what each service of a Compose project gets."""

    labels: list[str]
    findings: list[Finding]
    waived: list[Finding]
    good: list[str] = dataclasses.field(default_factory=list)
    unset: dict[str, str] = dataclasses.field(default_factory=dict)
    origins: dict[str, str] = dataclasses.field(default_factory=dict)
    services: dict[str, dict[str, str]] = dataclasses.field(default_factory=dict)

    def add(self, label: str, findings: t.Iterable[Finding], waived: t.Iterable[Finding]) -> None:
        """What was found in a further file."""
        self.labels.append(label)
        self.findings.extend(findings)
        self.waived.extend(waived)

    def count(self, severity: str) -> int:
        return sum(finding.rule.severity == severity for finding in self.findings)

    @property
    def valid(self) -> bool:
        return not self.count(ERROR)

    def require(self, fail_on: str) -> None:
        """Raise `Refused` if there is a finding of severity `fail_on` or above (`error`, `warning`; `never`)."""
        if fail_on == ERROR and not self.valid or fail_on == WARNING and self.findings:
            raise Refused(self)

    def results(self) -> list[_result.CheckResult]:
        """As checks for the report: every good variable, every recommended one that is not set, then every finding."""
        checks = [_result.CheckResult(f"{name} configured", CATEGORY, _result.PASS) for name in self.good]
        for name, use in self.unset.items():
            told = "not set" + (f": {use}" if use else "")
            checks.append(_result.CheckResult(f"{name} configured", CATEGORY, _result.SKIP, False, message=told))
        for finding in self.findings:
            name = finding.variable or finding.file
            missing = finding.rule.name in ("required", "empty")
            checks.append(
                _result.failed(
                    f"{name} configured" if missing else f"{name} {finding.rule.name}",
                    CATEGORY,
                    critical=finding.rule.severity == ERROR,
                    message=finding.message,
                    remedy=finding.remedy,
                    data={"rule": finding.rule.id, "file": finding.file, "line": finding.line},
                )
            )
        return checks

    def as_dict(self) -> dict[str, t.Any]:
        """Return values of the module `env_validate`."""
        return {
            "valid": self.valid,
            "findings": [finding.as_dict() for finding in self.findings],
            "waived": [finding.as_dict() for finding in self.waived],
            "origins": self.origins,
            "services": self.services,
            "results": [check.as_dict() for check in self.results()],
        }

    def summary(self) -> str:
        counts = [(self.count(ERROR), ERROR), (self.count(WARNING), WARNING)]
        found = ", ".join(f"{count} {word}{'s' if count > 1 else ''}" for count, word in counts if count)
        return f"{found or 'nothing to report'} in {', '.join(self.labels)}"

    def table(self) -> str:
        """The findings by category, a line each, under a line that counts them: for reading in a terminal."""
        rows = [(finding.rule.severity, finding.variable or "-", _place(finding), finding) for finding in self.findings]
        widths = [max((len(row[column]) for row in rows), default=0) for column in range(3)]
        lines = [f"env_validate: {self.summary()}{':' if rows else ''}"]
        for title, rules in GROUPS.items():
            of_group = [row for row in rows if row[3].rule in rules]
            lines += [f"  {title}:"] if of_group else []
            for row in of_group:
                cells = "  ".join(cell.ljust(width) for cell, width in zip(row, widths))
                rule = f"{row[3].rule.id} {row[3].rule.name}"
                lines.append(f"    {cells}  {rule}: {row[3].message}. Remedy: {row[3].remedy}")
        return "\n".join(lines)


class Refused(ProductionError):
    """The environment is not as it must be; the message is the table of findings."""

    def __init__(self, outcome: Outcome) -> None:
        culprits = sorted({finding.variable or finding.file for finding in outcome.findings})
        super().__init__(", ".join(culprits), outcome.summary(), "Correct what the findings name.", **outcome.as_dict())
        self._table = outcome.table()

    def __str__(self) -> str:
        return self._table


def _place(finding: Finding) -> str:
    return f"{finding.file}:{finding.line}" if finding.line else finding.file
