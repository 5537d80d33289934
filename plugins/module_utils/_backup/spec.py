# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Argument specs that modules share. Private to the collection.

`COMMON` is documented in the fragment `postgresql`, what `MAKING` adds to it in the fragment `backup`.
"""

from __future__ import annotations

import typing as t

_CONTAINER: dict[str, t.Any] = dict(
    type="dict",
    options=dict(
        project=dict(type="str"),
        service=dict(type="str", default="postgres"),
        name=dict(type="str"),
        scratch=dict(type="path", default="/tmp"),
    ),
    mutually_exclusive=[("project", "name")],
    required_one_of=[("project", "name")],
)
_COPIES: dict[str, t.Any] = dict(
    type="list",
    elements="dict",
    default=[],
    options=dict(
        name=dict(type="str", required=True),
        rclone=dict(type="str"),
        restic=dict(type="str"),
        config=dict(type="path"),
        password_file=dict(type="path", no_log=False),
        env=dict(type="dict"),
        secret_env=dict(type="dict", no_log=True),
    ),
    mutually_exclusive=[("rclone", "restic")],
    required_one_of=[("rclone", "restic")],
)
# Of every module that backs up or restores.
COMMON: dict[str, t.Any] = dict(
    dest=dict(type="path", required=True),
    dbname=dict(type="str", required=True),
    container=_CONTAINER,
    login_host=dict(type="str"),
    login_port=dict(type="int"),
    login_user=dict(type="str"),
    login_password=dict(type="str", no_log=True),
    jobs=dict(type="int"),
    keep_before=dict(type="int", default=7),
    timeout=dict(type="float", default=3600),
)
# All that a backup is made by.
MAKING: dict[str, t.Any] = dict(
    COMMON,
    when_absent=dict(type="str", choices=["fail", "skip_if_no_data", "skip"], default="fail"),
    format=dict(type="str", choices=["custom", "directory"], default="custom"),
    compression=dict(type="str", choices=["zstd", "gzip", "none"], default="zstd"),
    compression_level=dict(type="int"),
    globals=dict(type="bool", default=True),
    verify=dict(type="str", choices=["restore", "archive", "none"], default="archive"),
    verify_restore_up_to=dict(type="str"),
    keep_last=dict(type="int", default=7),
    keep_daily=dict(type="int", default=0),
    keep_weekly=dict(type="int", default=0),
    keep_monthly=dict(type="int", default=0),
    keep_min=dict(type="int", default=1),
    keep_labels=dict(type="list", elements="str", default=[]),
    keep_labels_in=dict(type="path"),
    min_size_ratio=dict(type="float", default=0.5),
    pin=dict(type="bool", default=False),
    label=dict(type="str"),
    lock_timeout=dict(type="float", default=30),
    age_recipients=dict(type="list", elements="str", default=[]),
    copies=_COPIES,
)
