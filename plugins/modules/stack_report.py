#!/usr/bin/python
# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Thin module over `module_utils/_report.py`."""

from __future__ import annotations

DOCUMENTATION = r"""
module: stack_report
short_description: Write the report of a deploy or of a validation
version_added: 0.1.0
author: tria.production contributors (@tria-production)
description:
  - Turns the checks, gates and diagnostics of all hosts into one report with one verdict, and points C(latest) at it.
  - Writes it three times. JSON is for programs, JUnit XML for the test pages of CI systems, HTML for people. The HTML page
    needs no script and fetches nothing.
  - Holds it against the previous report of the same name and stack below O(path), if there is one that can be read.
  - Runs on the controller, in the task's own process, whatever host the task is for; once for all hosts (C(run_once)).
  - The files are put in place together. When they cannot be written, for example on a full disk, the previous report and
    C(latest) stay as they were, and the module fails with the verdict and the lines in its result.
  - RV(ignore:changed) is always false. The report is the record of the run itself, not a state of a managed host, so that writing it
    must not turn a run without changes into one with a change.
attributes:
  check_mode:
    description: Gives the verdict, writes nothing.
    support: full
  diff_mode:
    description: Every report is a new one.
    support: none
options:
  path:
    description: Folder for the reports. Folders are made with mode 0700, files with 0600.
    type: path
    required: true
  release:
    description: The release the report is about; the name of a folder in O(path).
    type: str
    required: true
  name:
    description: Name of the files, without their extension.
    type: str
    default: deployment-validation-report
  stack:
    description: Name of the stack.
    type: str
    default: ""
  results:
    description:
      - For each host the list of its checks, as the modules of this collection return them in C(results).
      - A check with status V(skip) counts neither into RV(total_checks) nor into RV(passed_checks).
    type: dict
    default: {}
  diagnostics:
    description: For each host what M(tria.production.stack_diagnostics) returned as C(diagnostics).
    type: dict
    default: {}
  gates:
    description: The gates in the order they were entered.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the gate.
        type: str
        required: true
      status:
        description: How it ended. V(fail) and V(error) make the run not ready.
        type: str
        choices: [pass, warn, fail, error, skip]
        required: true
      offset_s:
        description: When it began, in seconds from the start of the run; without it, when the one before it on its host ended.
        type: float
      duration_s:
        description: Its wall time in seconds.
        type: float
      host:
        description: The host it ran on; without it, all of them.
        type: str
      cause:
        description: Why it ended like that, in words.
        type: str
  failure:
    description:
      - The error that stopped the run, if one did. It makes the run not ready. Its C(gate), C(host) and C(msg) are shown.
    type: dict
    default: {}
  started_at:
    description: When the run started, in UTC, such as V(2025-01-24T10:30:00Z).
    type: str
    default: ""
  finished_at:
    description: When the run finished, in the same form. Now if it is not given.
    type: str
    default: ""
  secrets:
    description: Values that must not appear in the report. Passwords in URLs are masked without being listed.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Write the report of a validated release
  tria.production.stack_report:
    path: "{{ playbook_dir }}/reports"
    stack: tria
    release: 20250124-103000-3f1c9a
    started_at: "2025-01-24T10:30:00Z"
    results:
      app1: "{{ hostvars.app1.preflight_result.results + hostvars.app1.validation_result.results }}"
    diagnostics:
      app1: "{{ hostvars.app1.diagnostics_result.diagnostics }}"
    gates:
      - {name: preflight, status: pass, duration_s: 0.6}
      - {name: validation, status: pass, duration_s: 2.1}
  delegate_to: localhost
  run_once: true
  register: written

- name: Show it
  ansible.builtin.debug:
    msg: "{{ written.lines }}"
"""

RETURN = r"""
report:
  description: Path of the JSON report.
  returned: success
  type: str
  sample: reports/20250124-103000-3f1c9a/deployment-validation-report.json
reports:
  description: Path of the report in each form.
  returned: success
  type: dict
  sample:
    json: reports/20250124-103000-3f1c9a/deployment-validation-report.json
    xml: reports/20250124-103000-3f1c9a/deployment-validation-report.xml
    html: reports/20250124-103000-3f1c9a/deployment-validation-report.html
overall_status:
  description:
    - V(NOT_READY) when a critical check failed or could not be run, a gate failed, the run was stopped, or nothing was checked;
      V(READY_WITH_WARNINGS) when only non-critical checks failed; else V(READY).
  returned: always
  type: str
  sample: READY
total_checks:
  description: Number of checks that were run.
  returned: always
  type: int
  sample: 15
passed_checks:
  description: Number of those that passed.
  returned: always
  type: int
  sample: 15
skipped_checks:
  description: Number of checks that did not apply; not part of RV(total_checks).
  returned: always
  type: int
  sample: 2
lines:
  description: The report for a terminal.
  returned: always
  type: list
  elements: str
  sample:
    - "📋 API"
    - "✓ API: Health check (127ms)"
    - "❌ API: Detailed health (203ms)"
    - "    Status: 500"
    - ""
    - "📊 OVERALL STATUS: 1/2 checks passed"
    - "❌ NOT PRODUCTION READY"
verdict:
  description: The last of RV(lines), from the overall status on.
  returned: always
  type: list
  elements: str
  sample:
    - "📊 OVERALL STATUS: 15/15 checks passed"
    - "🎉 ✓ PRODUCTION READY!"
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.tria.production.plugins.module_utils import _report
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError


def argument_spec() -> dict:
    """The options of `DOCUMENTATION`."""
    gate = {
        "name": {"type": "str", "required": True},
        "status": {"type": "str", "choices": ["pass", "warn", "fail", "error", "skip"], "required": True},
        "offset_s": {"type": "float"},
        "duration_s": {"type": "float"},
        "host": {"type": "str"},
        "cause": {"type": "str"},
    }
    return {
        "path": {"type": "path", "required": True},
        "release": {"type": "str", "required": True},
        "name": {"type": "str", "default": "deployment-validation-report"},
        "stack": {"type": "str", "default": ""},
        "results": {"type": "dict", "default": {}},
        "diagnostics": {"type": "dict", "default": {}},
        "gates": {"type": "list", "elements": "dict", "default": [], "options": gate},
        "failure": {"type": "dict", "default": {}},
        "started_at": {"type": "str", "default": ""},
        "finished_at": {"type": "str", "default": ""},
        "secrets": {"type": "list", "elements": "str", "default": [], "no_log": True},
    }


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    try:
        module.exit_json(changed=False, **_report.report(module.params, module.check_mode))
    except ProductionError as error:
        module.fail_json(**error.as_result())


if __name__ == "__main__":
    main()
