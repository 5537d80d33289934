# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The one error."""

from __future__ import annotations

import pytest

from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError


def test_what_a_module_fails_with():
    error = ProductionError("SECRET_KEY", "is too short.", "Write at least 32 characters.", rule="min_length")
    assert error.as_result() == {
        "msg": "SECRET_KEY: is too short. Remedy: Write at least 32 characters.",
        "culprit": "SECRET_KEY",
        "cause": "is too short.",
        "remedy": "Write at least 32 characters.",
        "rule": "min_length",
    }
    assert str(ProductionError("db", "is gone.")) == "db: is gone."


def test_details_never_replace_the_message():
    assert ProductionError("a", "b", msg="other").as_result()["msg"] == "a: b"


@pytest.mark.parametrize(
    ("refused", "message"),
    [
        (PermissionError(13, "Permission denied", "/opt/tria"), "/opt/tria: Permission denied. Remedy: Help."),
        (OSError(28, "No space left on device"), "OSError: No space left on device. Remedy: Help."),
        (ConnectionError("the Engine hung up"), "ConnectionError: the Engine hung up. Remedy: Help."),
    ],
)
def test_what_the_operating_system_refused(refused, message):
    assert str(ProductionError.from_os(refused, "Help.")) == message
