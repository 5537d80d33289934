#!/usr/bin/python
# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: env_validate
short_description: Hold env files, and what each service gets, against a schema, read as Docker Compose reads them
version_added: 0.1.0
description:
  - Parses env files by the rules of Docker Compose (quotes, escapes, C(export), inline comments, multi-line values,
    interpolation), so that what is validated is what a container gets.
  - Holds the result against a schema and returns every violation at once, with file, line, rule and remedy.
  - Of a Compose project, works out what the containers of each service get, and where every value comes from.
  - Also finds what no schema says. Placeholders, secrets that are short, guessable, known or used for two variables, keys
    that do not have their vendor's form, a C($) or C(#) that changes the value, duplicate, unknown and misspelt names,
    and files that others can read or change, or that git tracks.
  - No value of any variable, and no part of one, appears in results, messages or logs.
author:
  - tria.production contributors (@tria-production)
attributes:
  check_mode:
    description: Can run in check_mode and return changed status prediction without modifying target.
    support: full
    details: The module only reads, but for O(example) with O(example.state=present).
  diff_mode:
    description: Will return details on what has changed (or possibly needs changing in check_mode), when in diff mode.
    support: full
    details: Of an example that was there before, only names and what stays as it is are shown.
  idempotent:
    description: When run twice in a row outside check mode, with the same arguments, the second invocation indicates no change.
    support: full
options:
  files:
    description:
      - Env files on the target, in the order in which Compose gets them; later ones win.
      - One of O(files), O(content), O(environment) and O(compose) is needed, unless only an O(example) is looked at.
    type: list
    elements: path
  content:
    description:
      - The text of an env file that is not written yet.
      - With O(compose) it stands for the project's C(.env).
    type: str
  environment:
    description:
      - Variables in place, a mapping of names to text, numbers or booleans, as C(environment) of a service has them.
      - They are taken as they are, and win over O(files), O(content) and the process environment. Null is a bare key,
        which takes the value of the process environment where that takes part, and the variable away otherwise.
    type: json
  compose:
    description:
      - A Compose project on the target, from which the environment of each service is worked out as
        C(docker compose config) does it. Its C(env_file)s in order, and over them its C(environment), both with references
        replaced by what the process environment (see O(process_environment)) and then the project's env files say.
      - C(extends), C(include), several files, anchors, C(!reset), C(!override) and profiles count as they do for Compose.
        Only files behind URLs are not read, which is an error.
      - The schema is held against all of it as one. A variable is set when the project's env files or any service have it,
        and each different value of it is checked once, wherever it is. Where values are compared with each other, that of
        the project's env files comes first, then that of the first service.
      - Names that only the C(environment) of a service has need not be in the schema.
      - Needs PyYAML on the target.
    type: dict
    suboptions:
      files:
        description: The Compose files, in order.
        type: list
        elements: path
        required: true
      project_directory:
        description: What paths are relative to. By default the folder of the first file.
        type: path
      project_name:
        description: The project's name. By default what Compose makes of environment, files and folder.
        type: str
      env_files:
        description: The env files to replace references from. By default C(.env) in the project's folder, if it is there.
        type: list
        elements: path
      profiles:
        description: The profiles whose services count. By default C(COMPOSE_PROFILES).
        type: list
        elements: str
      services:
        description: The services that count, whatever their profile. By default all that run with the profiles.
        type: list
        elements: str
  schema:
    description:
      - What the environment must be. Its keys are those below; a mistake in it is an error that names its place.
      - Exactly one of O(schema) and O(schema_file) is needed.
      - C(variables) maps each name to C(type) (V(str), V(int), V(float), V(bool), V(url), V(email), V(host), V(port),
        V(path), V(duration), V(size), V(json), V(list)), C(required), C(default), C(secret), C(pattern) (a Python
        regular expression, searched for), C(min_length), C(max_length), C(choices), C(min), C(max), C(schemes)
        (V(postgresql) also allows C(postgresql+psycopg2)), C(allow_empty), C(description), C(deprecated) (true, or the
        reason) with C(replacement) (a name), and C(in_container) (for a URL that a container uses; C(localhost) in it is
        then a warning).
      - V(duration) is as Go and Compose write it (V(1m30s), V(500ms)), V(size) as the Engine does (V(64m), V(1.5gb)).
        C(min) and C(max) are then seconds and bytes, or written in the same way.
      - A V(list) has C(elements) (the type of its items) and C(separator) (a comma unless it is given). C(min) and C(max)
        are then the number of its items; everything else holds for each item.
      - C(required_together), C(required_one_of), C(mutually_exclusive), C(required_if) and C(required_by) are as in the
        argument specification of an Ansible module.
      - C(consistent) is a list of mappings from C(url) to the name of a variable with a URL, and from C(user),
        C(password), C(host), C(port) and C(path) to names of variables that must hold that part of it, compared after
        percent-decoding.
      - C(in_container) is the default for all URLs.
      - An empty or blank value counts as not set; with C(allow_empty) it is good enough for a required variable.
    type: dict
  schema_file:
    description:
      - Path of a file on the target that holds the O(schema), in YAML or JSON. YAML needs PyYAML there.
    type: path
  example:
    description: The C(.env.example) on the target, which shows what the environment holds without its secrets.
    type: dict
    suboptions:
      path:
        description: Its path.
        type: path
        required: true
      state:
        description:
          - V(checked) warns of what it has more or less than the schema, of defaults that are others, and of secrets.
          - V(present) writes it from the schema, with what each variable must be as comments, and without any secret. A
            file that was not made in this way, or was filled in, is refused. Nothing is written either when the environment is refused.
        type: str
        choices: [checked, present]
        default: checked
  example_files:
    description:
      - Example files on the target. A variable that is C(secret) and still has the value, or the password in its URL, that
        one of them has for it is an error.
      - Without any, the C(.env.example), C(.env.sample), C(.env.template) and C(.env.dist) beside each of O(files) or
        O(compose.env_files), and their own names with these suffixes, as far as they exist.
    type: list
    elements: path
    default: []
  owner:
    description:
      - Name or ID of the user that env files must belong to; another one is a warning.
      - Without it, that is root, the user who runs the module, or the one who became that by C(sudo).
    type: str
  waive:
    description:
      - Findings to leave out. An item is the name of a variable, or a mapping of C(name) and C(rule) (its ID or name).
        For findings about a file rather than a variable, the name is the path.
      - A finding that was left out is returned as RV(waived).
    type: list
    elements: raw
    default: []
  recommended:
    description:
      - Names of variables that may be missing, but are worth a word. RV(results) has a check for each one, V(pass) where
        it is set and V(skip) where it is not.
    type: list
    elements: str
    default: []
  process_environment:
    description:
      - Whether the process environment of the module takes part, and wins over the files, as that of a shell does in
        which C(docker compose) is called.
    type: bool
    default: false
  fail_on:
    description: The severity from which a finding makes the task fail.
    type: str
    choices: [error, warning, never]
    default: error
seealso:
  - plugin: tria.production.to_env
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Validate the env file of a stack
  tria.production.env_validate:
    files: [/opt/shop/current/.env]
    schema:
      variables:
        DATABASE_URL: {type: url, schemes: [postgresql], required: true, secret: true}
        SECRET_KEY: {type: str, min_length: 32, required: true, secret: true}
        TAX_RATE: {type: float, min: 0.0, max: 1.0, required: true}
        ENVIRONMENT: {type: str, choices: [development, staging, production], required: true}
      required_together: [[XERO_CLIENT_ID, XERO_CLIENT_SECRET, XERO_TENANT_ID, XERO_REFRESH_TOKEN]]
      required_if: [[ENVIRONMENT, production, [SENTRY_DSN]]]
      consistent:
        - {url: DATABASE_URL, user: POSTGRES_USER, password: POSTGRES_PASSWORD, path: POSTGRES_DB}

- name: Validate what will be written, before anything is
  tria.production.env_validate:
    content: "{{ shop_environment | tria.production.to_env }}"
    schema: "{{ lookup('ansible.builtin.file', 'env-schema.yml') | from_yaml }}"
    waive:
      - {name: SMTP_PASSWORD, rule: placeholder}

- name: Validate what every service of a Compose project gets
  tria.production.env_validate:
    compose:
      files: [/opt/shop/compose.yaml, /opt/shop/compose.production.yaml]
      profiles: [mail]
    schema: "{{ lookup('ansible.builtin.file', 'env-schema.yml') | from_yaml }}"

- name: Write an example of the env file
  tria.production.env_validate:
    schema_file: /opt/shop/env.schema.yaml
    example: {path: /opt/shop/.env.example, state: present}
"""

RETURN = r"""
valid:
  description: Whether there is no finding of severity V(error).
  returned: always, unless schema or waivers are wrong
  type: bool
  sample: false
findings:
  description: What is wrong, sorted by file and line.
  returned: always, unless schema or waivers are wrong
  type: list
  elements: dict
  sample:
    - file: content
      line: 0
      variable: REDIS_HOST
      rule: ENV001
      name: required
      severity: error
      message: not set
      remedy: Set it.
  contains:
    file:
      description: The path of the file, or V(content). Of several, the last env file for a variable that is in none.
      type: str
      returned: success
    line:
      description: The line at which the statement begins, V(0) where there is none.
      type: int
      returned: success
    variable:
      description: Its name. What might be a piece of a value rather than a name is shown as V((a name\)).
      type: str
      returned: success
    rule:
      description: The rule's ID, which stays the same between versions.
      type: str
      returned: success
    name:
      description: The rule's name, which stays the same between versions.
      type: str
      returned: success
    severity:
      description: V(error) or V(warning).
      type: str
      returned: success
    message:
      description: What was found.
      type: str
      returned: success
    remedy:
      description: What to do.
      type: str
      returned: success
waived:
  description: Findings that O(waive) left out, in the form of RV(findings).
  returned: always, unless schema or waivers are wrong
  type: list
  elements: dict
  sample: []
results:
  description:
    - The same as checks of the validation report. One for each good required variable, one for each of O(recommended), one
      for each finding.
  returned: always, unless schema or waivers are wrong
  type: list
  elements: dict
  sample:
    - name: DATABASE_URL configured
      category: Environment
      status: pass
      critical: true
      duration_ms: 0.0
      message: ""
      remedy: ""
      data: {}
origins:
  description:
    - Where the value of each variable comes from. The file and line, V(environment) for the option, or
      V(process environment). With O(compose) that is what its files are replaced from.
  returned: always, unless schema or waivers are wrong
  type: dict
  sample: {DATABASE_URL: "/opt/shop/.env:3", REDIS_HOST: process environment}
services:
  description:
    - Of each service in O(compose) the variables that its containers get, with their origins in the form of RV(origins).
      Of an inline value that is the line of the Compose file.
  returned: always, unless schema or waivers are wrong
  type: dict
  sample: {web: {DATABASE_URL: "/opt/shop/compose.yaml:12", TZ: "/opt/shop/common.env:1"}}
diff:
  description: What O(example) had, as far as it may be shown, and has now.
  returned: when O(example.state=present) changes it
  type: dict
schema_errors:
  description: Every mistake in the schema, with its place.
  returned: when the schema is wrong
  type: list
  elements: str
  sample: ["variables.TAX_RATE.min: must be a number"]
"""

import os
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.tria.production.plugins.module_utils._env import engine
from ansible_collections.tria.production.plugins.module_utils._env.outcome import Outcome
from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError


SPEC = {
    "argument_spec": {
        "files": {"type": "list", "elements": "path"},
        "content": {"type": "str", "no_log": True},
        # as text: of a mapping, each value by itself would be blanked out of every message, a 1 as well
        "environment": {"type": "json", "no_log": True},
        "compose": {
            "type": "dict",
            "options": {
                "files": {"type": "list", "elements": "path", "required": True},
                "project_directory": {"type": "path"},
                "project_name": {"type": "str"},
                "env_files": {"type": "list", "elements": "path"},
                "profiles": {"type": "list", "elements": "str"},
                "services": {"type": "list", "elements": "str"},
            },
        },
        "schema": {"type": "dict"},
        "schema_file": {"type": "path"},
        "example": {
            "type": "dict",
            "options": {
                "path": {"type": "path", "required": True},
                "state": {"type": "str", "choices": ["checked", "present"], "default": "checked"},
            },
        },
        "waive": {"type": "list", "elements": "raw", "default": []},
        "example_files": {"type": "list", "elements": "path", "default": []},
        "owner": {"type": "str"},
        "recommended": {"type": "list", "elements": "str", "default": []},
        "process_environment": {"type": "bool", "default": False},
        "fail_on": {"type": "str", "choices": ["error", "warning", "never"], "default": "error"},
    },
    "mutually_exclusive": [
        ("files", "content"),
        ("files", "compose"),
        ("environment", "compose"),
        ("schema", "schema_file"),
    ],
    "required_one_of": [("files", "content", "environment", "compose", "example"), ("schema", "schema_file")],
}


def validated(options: dict, environment: t.Mapping[str, str]) -> Outcome:
    """What was found; raises `ProductionError` for what is as bad as `fail_on`."""
    outcome = engine.check(options, environment)
    outcome.require(options["fail_on"])
    return outcome


def result_of(outcome: Outcome) -> dict:
    """The module's result."""
    return {"changed": False, "msg": outcome.table(), **outcome.as_dict()}


def main() -> None:
    module = AnsibleModule(supports_check_mode=True, **SPEC)
    try:
        outcome = validated(module.params, os.environ)
        made = engine.ensure_example(module.params, module.check_mode)
    except ProductionError as exc:
        module.fail_json(**exc.as_result())
    if outcome.findings:
        module.warn(outcome.table())
    module.exit_json(**{**result_of(outcome), **made})


if __name__ == "__main__":
    main()
