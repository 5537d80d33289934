#!/usr/bin/python
# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Thin module over `module_utils/_notification.py`."""

from __future__ import annotations

DOCUMENTATION = r"""
module: stack_notify
short_description: Tell a webhook how a run ended
version_added: 0.1.0
author: tria.production contributors (@tria-production)
description:
  - Posts one message about a deploy, a checklist or a validation to a webhook of Slack, of what understands Slack's
    messages (Mattermost, Rocket.Chat, Discord), or of a program of one's own.
  - A message that cannot be delivered is a warning, never a failure. No redirect is followed and no proxy is used.
  - The webhook's URL is a secret. It is shown nowhere, nor is the part of it behind the host.
  - Runs on the controller (C(delegate_to) localhost, C(run_once)).
  - RV(ignore:changed) is always false. A message is no state of a managed host.
attributes:
  check_mode:
    description: Sends nothing.
    support: full
  diff_mode:
    description: There is nothing to compare.
    support: none
options:
  url:
    description: The webhook.
    type: str
    required: true
  format:
    description: V(slack) is C({text, attachments}), V(json) what there is to tell as it is.
    type: str
    choices: [slack, json]
    default: slack
  timeout:
    description: Seconds after which the whole delivery ends.
    type: float
    default: 10
  validate_certs:
    description: Whether the receiver's certificate is verified.
    type: bool
    default: true
  ca_path:
    description: A file or directory with CA certificates to trust instead of the system's.
    type: path
  event:
    description: What ended.
    type: str
    default: deploy
  stack:
    description: Name of the stack.
    type: str
    default: ""
  release:
    description: The release the run was about.
    type: str
    default: ""
  report:
    description: What M(tria.production.stack_report) returned. Its verdict, counts and path are told.
    type: dict
    default: {}
  failure:
    description:
      - The error that stopped the run, as O(ignore:failure) of M(tria.production.stack_report) has it. Of its C(msg),
        1500 characters are told.
    type: dict
    default: {}
  hosts:
    description: How many hosts the run concerned.
    type: int
  duration_s:
    description: How long the run took, in seconds.
    type: float
  stack_url:
    description: Where the stack is reached.
    type: str
    default: ""
  report_url:
    description: Where the report is read; without it, its path is told.
    type: str
    default: ""
  started_by:
    description: Who started the run.
    type: str
    default: ""
  job_url:
    description: The CI job that the run is part of.
    type: str
    default: ""
  secrets:
    description: Values that must not appear in the message. Passwords in URLs are masked without being listed.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Tell the team
  tria.production.stack_notify:
    url: "{{ vault_webhook_url }}"
    stack: tria
    release: 20250124-103000-3f1c9a
    report: "{{ written }}" # registered from tria.production.stack_report
    stack_url: https://tria.example.com
  delegate_to: localhost
  run_once: true
"""

RETURN = r"""
sent:
  description: Whether the receiver took the message.
  returned: always
  type: bool
  sample: true
status:
  description: The receiver's HTTP status; 0 when there was none.
  returned: always
  type: int
  sample: 200
reason:
  description: Why the message was not sent; empty when it was.
  returned: always
  type: str
  sample: the webhook answered 500
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.tria.production.plugins.module_utils import _notification


def argument_spec() -> dict:
    """The options of `DOCUMENTATION`."""
    texts = ("stack", "release", "stack_url", "report_url", "started_by", "job_url")
    return {
        "url": {"type": "str", "required": True, "no_log": True},
        "format": {"type": "str", "choices": ["slack", "json"], "default": "slack"},
        "timeout": {"type": "float", "default": 10},
        "validate_certs": {"type": "bool", "default": True},
        "ca_path": {"type": "path"},
        "event": {"type": "str", "default": "deploy"},
        **{name: {"type": "str", "default": ""} for name in texts},
        "report": {"type": "dict", "default": {}},
        "failure": {"type": "dict", "default": {}},
        "hosts": {"type": "int"},
        "duration_s": {"type": "float"},
        "secrets": {"type": "list", "elements": "str", "default": [], "no_log": True},
    }


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    outcome = _notification.notify(module.params, module.check_mode)
    if not outcome["sent"] and not module.check_mode:
        module.warn(f"The notification was not sent: {outcome['reason']}.")
    module.exit_json(changed=False, **outcome)


if __name__ == "__main__":
    main()
