# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What was seen, rule by rule and subject by subject, and the results that it comes to. Private to the collection."""

from __future__ import annotations

import dataclasses
import time
import typing as t

from ansible_collections.tria.production.plugins.module_utils import _result
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError
from ansible_collections.tria.production.plugins.module_utils._result import ERROR, FAIL, PASS, SKIP, CheckResult
from ansible_collections.tria.production.plugins.module_utils._security import rules

CATEGORY = "Security"
ANY = "*"
INAPPLICABLE = "inapplicable"  # becomes a `skip`, or nothing

Check = t.Callable[..., t.Iterable[str]]
Waivers = t.Dict[t.Tuple[str, str], str]


class Unseen(Exception):
    """What a check raises when there is nothing to look at, or no way to: a `skip` with this reason."""


class Inapplicable(Exception):
    """What a check raises for a subject that its rule does not concern; tells something only when it concerns none."""


class Broken(Exception):
    """What a check raises when it should have been able to look, and was not: an `error` with this reason."""


@dataclasses.dataclass(frozen=True)
class Observation:
    """One rule, held against one subject (a service, a container, a file, a page). `message` never holds a secret."""

    rule: rules.Rule
    subject: str
    status: str
    message: str = ""
    duration_ms: float = 0.0

    def told(self) -> str:
        return f"{self.subject}: {self.message}" if self.subject else self.message


def look(name: str, subject: str, check: Check, *args: t.Any) -> Observation:
    """Runs one check, which yields what is wrong."""
    started = time.monotonic()
    try:
        problems = list(check(*args))
        status, message = (FAIL, ", ".join(dict.fromkeys(problems))) if problems else (PASS, "")
    except Unseen as exc:
        status, message = SKIP, str(exc)
    except Inapplicable as exc:
        status, message = INAPPLICABLE, str(exc)
    except Broken as exc:
        status, message = ERROR, str(exc)
    except OSError as exc:
        status, message = ERROR, f"could not be looked at: {exc.strerror or type(exc).__name__}"
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        # without its text, which may quote a value
        status, message = ERROR, f"is of an unexpected form ({type(exc).__name__})"
    return Observation(rules.RULES[name], subject, status, message, (time.monotonic() - started) * 1000)


def load_waivers(raw: t.Iterable[dict[str, str]]) -> Waivers:
    """(rule's name, subject) -> reason; raises `ProductionError` for a rule that does not exist, or no reason."""
    found: Waivers = {}
    for index, item in enumerate(raw):
        rule = rules.find(item["rule"])
        if rule is None:
            known = "docs/security-rules.md lists the rules."
            raise ProductionError(f"waivers[{index}]", f"there is no rule {item['rule']!r}.", known)
        if not item["reason"].strip():
            raise ProductionError(f"waivers[{index}]", "has no reason.", f"Say why {rule.id} may stay as it is.")
        found[(rule.name, item["subject"])] = item["reason"].strip()
    return found


def grade(observations: t.Iterable[Observation], area: str, waivers: Waivers) -> list[CheckResult]:
    """The results of one area: for each rule one of what was looked at, and one each of what was waived or not seen."""
    by_rule: dict[str, list[Observation]] = {}
    for one in observations:
        by_rule.setdefault(one.rule.name, []).append(one)
    return [result for name in rules.RULES if name in by_rule for result in _graded(by_rule[name], area, waivers)]


def _graded(seen: list[Observation], area: str, waivers: Waivers) -> t.Iterator[CheckResult]:
    rule = seen[0].rule
    concerned = [one for one in seen if one.status != INAPPLICABLE]
    seen = concerned or [dataclasses.replace(one, status=SKIP) for one in seen]
    reasons = {one.subject: _reason(one, waivers) for one in seen if one.status == FAIL}
    bad = [one for one in seen if one.status == FAIL and not reasons[one.subject]]
    waived = [one for one in seen if one.status == FAIL and reasons[one.subject]]
    good = [one for one in seen if one.status == PASS]
    if bad:
        result = _result.failed(rule.title, CATEGORY, rule.critical, message=_listed(bad), remedy=rule.remedy)
        yield _finished(result, rule, area, bad + good, bad)
    elif good:
        yield _finished(CheckResult(rule.title, CATEGORY, PASS, rule.critical, message=_good(good)), rule, area, good)
    if waived:
        told = "; ".join(f"{one.told()} ({reasons[one.subject]})" for one in waived)
        result = CheckResult(f"{rule.title}, waived", CATEGORY, SKIP, rule.critical, message=f"waived: {told}")
        waived_as = [{"subject": one.subject, "reason": reasons[one.subject]} for one in waived]
        yield _finished(result, rule, area, waived, waived=waived_as)
    for status, label in ((ERROR, "could not be checked"), (SKIP, "not looked at")):
        some = [one for one in seen if one.status == status]
        if some:
            remedy = "Look at it by hand, or correct what kept this check from looking." if status == ERROR else ""
            result = CheckResult(
                f"{rule.title}, {label}", CATEGORY, status, rule.critical, message=_listed(some), remedy=remedy
            )
            yield _finished(result, rule, area, some)


def _reason(one: Observation, waivers: Waivers) -> str:
    return waivers.get((one.rule.name, one.subject)) or waivers.get((one.rule.name, ANY)) or ""


def _listed(seen: list[Observation]) -> str:
    """`a, b: what; c: other`, those of one message together."""
    subjects: dict[str, list[str]] = {}
    for one in seen:
        subjects.setdefault(one.message, []).append(one.subject)
    groups = ((", ".join(filter(None, names)), told) for told, names in subjects.items())
    return "; ".join(": ".join(filter(None, group)) for group in groups)


def _good(seen: list[Observation]) -> str:
    names = [one.subject for one in seen if one.subject]
    return "good: " + ", ".join(names) if names else "good"


def _finished(
    result: CheckResult,
    rule: rules.Rule,
    area: str,
    seen: list[Observation],
    bad: t.Sequence[Observation] = (),
    **data: t.Any,
) -> CheckResult:
    result.name = f"{rule.id} {result.name} ({area})"
    result.duration_ms = round(sum(one.duration_ms for one in seen), 1)
    result.data = {
        "rule": rule.id,
        "rule_name": rule.name,
        "severity": rule.severity,
        "cis": rule.cis,
        "area": area,
        "subjects": [one.subject for one in bad or seen],
        **data,
    }
    return result
