# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a task that may take long does, and on what: its arguments, templated as the task will. Private to the collection."""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleError
from ansible.template import Templar

from ansible_collections.tria.production.plugins.plugin_utils._lines import one_line

# By module: what it does, and the option that says on what. Not here are options that may hold a secret, and those that
# take long to template: a wait names its targets itself, on the board.
DOING = {
    "acme_certificate": ("obtaining a certificate", ""),
    "apt": ("installing packages", "name"),
    "debian_image": ("building the root file system", "name"),
    "docker_compose_v2": ("starting the services of", "project_name"),
    "docker_image_build": ("building images", "name"),
    "package": ("installing packages", "name"),
    "pg_backup": ("backing up database", "dbname"),
    "pg_restore": ("restoring database", "dbname"),
    "pip": ("installing Python packages", "name"),
    "readiness_wait": ("waiting for", ""),
    "security_check": ("checking the security of the stack", ""),
    "service_health": ("checking the running stack", ""),
    "source_archive": ("packing the sources", ""),
    "stack_rollout": ("rolling out release", "release"),
}
# The same modules asked for something else.
_OTHERWISE = {
    ("docker_compose_v2", "state", "absent"): "removing the services of",
    ("docker_compose_v2", "state", "stopped"): "stopping the services of",
    ("stack_rollout", "state", "finished"): "taking away what was replaced by release",
    ("stack_rollout", "state", "reverted"): "going back to release",
}
# What is another thing in check mode, not the same without writing.
_ONLY_CHECKED = {"restoring database": "verifying a backup of database"}
_MOST = 8  # names in a line
_NAMELESS = {"starting the services of": "starting services", "waiting for": "waiting until everything is ready"}


class Doing(t.NamedTuple):
    """`names` are those of a loop's items in their order when `looped`."""

    verb: str = ""
    names: t.Tuple[str, ...] = ()
    looped: bool = False

    def __str__(self) -> str:
        return f"{self.verb} {some(self.names)}" if self.names else _NAMELESS.get(self.verb, self.verb)


def some(names: t.Sequence[str], most: int = _MOST) -> str:
    """The first of them, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def module_of(task: t.Any) -> str:
    return task.action.rpartition(".")[2]


def doing(task: t.Any, host: t.Any, play: t.Any) -> Doing:
    """What the task does on this host; nothing for a task that is not known to take long.

    Names that cannot be known yet are left out: the task itself reports what is wrong with them.
    """
    module = module_of(task)
    if module not in DOING:
        return Doing()
    verb, option = DOING[module]
    for (name, key, value), other in _OTHERWISE.items():
        if name == module and task.args.get(key) == value:
            verb = other
    if task.check_mode:
        verb = _ONLY_CHECKED.get(verb, verb)
    if task.no_log or not option or option not in task.args:
        return Doing(verb)
    try:
        variables = play.get_variable_manager().get_vars(play=play, host=host, task=task)
        templar = Templar(loader=play.get_loader(), variables=variables)
        if not task.loop:
            return Doing(verb, _names(templar.template(task.args[option])))
        found: list[str] = []
        for item in templar.template(task.loop):
            templar.available_variables = {**variables, _loop_variable(task): item}
            found += _names(templar.template(task.args[option]))
        return Doing(verb, tuple(found), looped=True)
    except (AnsibleError, TypeError):
        return Doing(verb)


def _loop_variable(task: t.Any) -> str:
    return (task.loop_control and task.loop_control.loop_var) or "item"


def _names(value: t.Any) -> tuple[str, ...]:
    return tuple(one_line(one) for one in (value if isinstance(value, list) else [value]))
