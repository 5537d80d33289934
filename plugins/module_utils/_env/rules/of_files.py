# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The file itself. Private to the collection."""

from __future__ import annotations

from ansible_collections.tria.production.plugins.module_utils._env.rules._rule import ERROR, WARNING, Rule

TITLE = "The file itself"
RULES = (
    Rule(
        "ENV401",
        "file_missing",
        ERROR,
        "the file does not exist",
        "Create it, or correct the path.",
        "files:  [/opt/shop/.env]",
    ),
    Rule(
        "ENV402",
        "file_kind",
        ERROR,
        "not a regular file",
        "Name a file, not a directory, pipe or device.",
        "files:  [/opt/shop]",
    ),
    Rule(
        "ENV403",
        "file_unreadable",
        ERROR,
        "the file cannot be read",
        "Give the user that runs the module permission to read it.",
        "file:   of another user, mode 0600",
    ),
    Rule(
        "ENV404",
        "file_too_large",
        ERROR,
        "the file is too large for an environment",
        "Name an env file; a process environment holds about two megabytes.",
        "files:  [/var/lib/dump.sql]",
    ),
    Rule(
        "ENV405",
        "file_mode",
        WARNING,
        "others than the owner have access to the file",
        "chmod 0600",
        "file:   mode 0644",
    ),
    Rule(
        "ENV406",
        "file_link",
        ERROR,
        "a symbolic link that leads to no file",
        "Correct the link, or name the file itself.",
        "files:  [/opt/shop/.env]   (a link to a file that was removed, or to itself)",
    ),
    Rule(
        "ENV408",
        "file_owner",
        WARNING,
        "the file belongs to a user who should not have it",
        "chown it to root or to the user that runs the module, or name its owner in the option owner.",
        "file:   of user www-data, read as root",
    ),
    Rule(
        "ENV409",
        "folder_writable",
        WARNING,
        "everybody can put another file in its place: a folder above it is world-writable",
        "chmod o-w the folder",
        "files:  [/srv/shared/.env] with mode 0777 for /srv/shared",
    ),
    Rule(
        "ENV410",
        "git_tracked",
        ERROR,
        "git tracks the file: all who have the repository have its secrets",
        "git rm --cached it, add it to .gitignore, and replace every secret in it.",
        "files:  [/opt/shop/.env], which git ls-files lists",
    ),
    Rule(
        "ENV411",
        "git_unignored",
        WARNING,
        "the file is in a git repository that does not ignore it",
        "Add it to .gitignore.",
        "files:  [/opt/shop/.env] and no line of .gitignore that matches",
    ),
)
