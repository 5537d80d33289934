# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Kind postgres without a server: what its errors mean; a real one is in the integration tests."""

from __future__ import annotations

import sys

import pytest
from probe_peers import drip, free_port, look, server, silence

from ansible_collections.tria.production.plugins.module_utils._probes import postgres


@pytest.mark.parametrize(
    "text, permanent, phase",
    [
        ('FATAL:  password authentication failed for user "shop"', True, "login"),
        ("fe_sendauth: no password supplied", True, "login"),
        ('FATAL:  database "nothing" does not exist', True, "login"),
        ('FATAL:  role "nobody" does not exist', True, "login"),
        ('FATAL:  no pg_hba.conf entry for host "10.0.0.1"', True, "login"),
        ("server does not support SSL, but SSL was required", True, "login"),
        ("SSL error: certificate verify failed", True, "login"),
        ("FATAL:  the database system is starting up", False, "login"),
        ("FATAL:  sorry, too many clients already", False, "login"),
        ("Connection refused", False, "connect"),
    ],
)
def test_what_the_server_says(text, permanent, phase):
    failure = postgres._connect_failure(Exception(text), "10.0.0.9 port 5432")
    assert (failure.permanent, failure.phase) == (permanent, phase) and failure.remedy


def test_refused_silent_and_strange_servers():
    seen = look("postgres", port=free_port(), dbname="shop")
    assert (seen.status, seen.phase, seen.permanent) == ("fail", "connect", False)
    for behaviour in (silence, drip):
        with server(behaviour) as port:
            seen = look("postgres", port=port, dbname="shop", timeout=0.4)
        assert seen.status == "fail" and seen.duration_ms < 1000


def test_without_the_library_the_check_has_not_passed(monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg2", None)
    seen = look("postgres", dbname="shop")
    assert (seen.status, seen.permanent) == ("error", True) and "psycopg2" in seen.message


@pytest.mark.parametrize(
    "text, gone",
    [
        ('FATAL:  database "shop" does not exist', True),
        ("Connection refused", True),
        ('FATAL:  role "nobody" does not exist', False),
        ("timeout expired", False),
    ],
)
def test_what_is_gone(text, gone):
    assert postgres._connect_failure(Exception(text), "10.0.0.9 port 5432").gone is gone
