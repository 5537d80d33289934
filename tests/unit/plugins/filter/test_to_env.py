# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The filter `to_env`."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.tria.production.plugins.filter.to_env import FilterModule

to_env = FilterModule().filters()["to_env"]


def test_text():
    assert to_env({"B": "it's", "A": True, "D": None, "C": 0.08}) == "A=true\nB='it\\'s'\nC=0.08\n"
    assert to_env({}) == ""


@pytest.mark.parametrize("value", [["canary"], {"x": "canary"}])
def test_nested_values_are_named_and_not_shown(value):
    with pytest.raises(AnsibleFilterError, match="to_env: LIST: a (list|mapping) cannot be written") as caught:
        to_env({"LIST": value})
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("variables", ["canary=1", ["canary"], None])
def test_only_a_dictionary(variables):
    with pytest.raises(AnsibleFilterError, match="a dictionary of variables is needed") as caught:
        to_env(variables)
    assert "canary" not in str(caught.value)


def test_vaulted_objects_of_older_cores_become_text():
    class Vaulted:
        vault = object()

        def __str__(self):
            return "de crypted"

    assert to_env({"A": Vaulted()}) == "A='de crypted'\n"
