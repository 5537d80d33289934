# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a `.dockerignore` leaves out; `tests/integration` holds the same rules against a real build."""

from __future__ import annotations

import pytest

from ansible_collections.tria.production.plugins.module_utils import _dockerignore


@pytest.mark.parametrize(
    ("rules", "out", "inside"),
    [
        ("*.py", ["a.py"], ["b/a.py", "a.pyc"]),
        ("**/*.py", ["a.py", "b/c/a.py"], ["a.txt"]),
        ("b", ["b", "b/a", "b/c/d"], ["a", "c/b", "bb"]),
        ("/b/", ["b/a"], ["c/b/a"]),
        ("b/*", ["b/a", "b/c/d"], ["b", "a"]),
        ("b/**/x", ["b/x", "b/c/d/x", "b/x/y"], ["x", "b/xx"]),
        ("b/**", ["b/a", "b/c/d"], ["a"]),
        ("?.py", ["a.py"], ["ab.py", "/.py"]),
        ("[a-c].py", ["b.py"], ["d.py"]),
        ("[^a].py", ["b.py"], ["a.py"]),
        ("a[[]1", ["a[1"], ["a1"]),
        ("\\*", ["*"], ["a"]),
        ("b/../a", ["a"], ["b"]),
        ("*\n!src\nsrc/tests\n**/__pycache__", ["x", "src/tests/x", "src/a/__pycache__/x"], ["src/x"]),
        ("\ufeff# a\n\n  b  \n! b/c \n", ["b/a"], ["a", "b/c", "b/c/d", "# a"]),
        (".\n/\n!\n", [], ["a"]),
    ],
)
def test_rules(rules, out, inside):
    ignore = _dockerignore.Ignore(rules)
    assert [path for path in out + inside if ignore.leaves_out(path)] == out


def test_no_file(tmp_path):
    assert _dockerignore.read(str(tmp_path / ".dockerignore")) is None
    (tmp_path / ".dockerignore").write_text("a\n")
    assert _dockerignore.read(str(tmp_path / ".dockerignore")).leaves_out("a")
