# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A Python program in one file, of modules of this collection, without the rest of it. Private to the collection."""

from __future__ import annotations

import ast
import importlib.util
import io
import typing as t
import zipfile

_ROOT = "ansible_collections.tria.production.plugins.module_utils"
_MAIN = "import sys\n\nfrom {module} import main\n\nsys.exit(main(sys.argv))\n"


def build(entry: str, interpreter: str) -> bytes:
    """A zip archive that `interpreter` runs: the module `entry` below module_utils, whose `main(argv)` is called.

    With it is every module of the collection that it imports, wherever in a function. The same sources make the same
    bytes. They are read as they were imported, also out of the archive in which Ansible brings a module to its host.
    """
    module = f"{_ROOT}.{entry}"
    files = {"__main__.py": _MAIN.format(module=module), **_sources(module)}
    parts = _ROOT.split(".")
    files.update({"/".join(parts[: count + 1] + ["__init__.py"]): "" for count in range(len(parts))})
    program = io.BytesIO()
    program.write(f"#!{interpreter}\n".encode("utf-8"))
    with zipfile.ZipFile(program, "w") as archive:
        for name in sorted(files):
            archive.writestr(zipfile.ZipInfo(name), files[name])  # of 1980: no time, no difference
    return program.getvalue()


def _sources(entry: str) -> dict[str, str]:
    """The source of `entry` and of all that it imports of this collection, by its path in the archive."""
    files: dict[str, str] = {}
    seen: set[str] = set()
    waiting = [entry]
    while waiting:
        name = waiting.pop()
        if name in seen or not name.startswith(f"{_ROOT}."):
            continue
        seen.add(name)
        waiting.append(name.rpartition(".")[0])
        source, package = _source(name)
        if source is None:
            continue  # a name in a module
        files[name.replace(".", "/") + ("/__init__.py" if package else ".py")] = source
        waiting += _imports(source)
    return files


def _source(name: str) -> tuple[str | None, bool]:
    """The source of a module, None for what is none; and whether it is a package."""
    parent = importlib.util.find_spec(name.rpartition(".")[0])
    if parent is None or parent.submodule_search_locations is None:
        return None, False
    spec = importlib.util.find_spec(name)
    if spec is None:
        return None, False
    return t.cast(t.Any, spec.loader).get_source(name), spec.submodule_search_locations is not None


def _imports(source: str) -> t.Iterator[str]:
    """Whatever a module imports, and the names that it takes from there, which may be modules."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            for each in node.names:
                yield each.name
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            for each in node.names:
                yield f"{node.module}.{each.name}"
