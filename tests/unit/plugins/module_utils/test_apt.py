# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""apt's sources in both forms, with what other people put beside them."""

from __future__ import annotations

import textwrap

import pytest

from ansible_collections.tria.production.plugins.module_utils import _apt

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
DEB822 = f"""
    # written by the installer
    Types: deb deb-src
    URIs: http://deb.example.org/debian
    Suites: bookworm bookworm-updates
    Components: main contrib
    Signed-By: {KEYRING}

    Types: deb
    URIs: http://security.debian.org/debian-security
    Suites: bookworm-security
    Components: main
    Signed-By: {KEYRING}
"""


@pytest.fixture
def apt(tmp_path):
    """Write files below a folder that stands for /etc/apt, and read them as bookworm."""
    (tmp_path / "sources.list.d").mkdir()

    def read(codename="bookworm", **files):
        for name, text in files.items():
            path = tmp_path / "sources.list.d" / name.replace("__", ".") if "__" in name else tmp_path / "sources.list"
            path.write_text(textwrap.dedent(text).lstrip("\n"))
        return _apt.sources(str(tmp_path), codename)

    return read


def suites(found):
    return [source["suite"] for source in found]


def test_deb822(apt):
    found = apt(debian__sources=DEB822)
    assert suites(found) == ["bookworm", "bookworm-updates", "bookworm-security"]
    assert found[0] == {
        "uri": "http://deb.example.org/debian",
        "suite": "bookworm",
        "components": ["main", "contrib"],
        "signed_by": KEYRING,
        "line": f"deb [signed-by={KEYRING}] http://deb.example.org/debian bookworm main contrib",
    }


def test_one_line_form(apt):
    found = apt(sources_list=f"""
        # deb http://commented.example/debian bookworm main
        deb-src http://deb.example.org/debian bookworm main
        deb http://deb.example.org/debian bookworm-updates main
        deb\t[arch=amd64 signed-by={KEYRING}]  http://deb.example.org/debian   bookworm main # the release
        deb http://broken.example
        """)
    assert suites(found) == ["bookworm", "bookworm-updates"]  # the release itself comes first
    assert found[0]["signed_by"] == KEYRING and found[1]["signed_by"] == ""
    assert found[1]["line"] == "deb http://deb.example.org/debian bookworm-updates main"


@pytest.mark.parametrize("value", ["no", "No", "false", "0"])
def test_a_disabled_stanza(apt, value):
    stanza = "Enabled: {}\nTypes: deb\nURIs: http://a.example\nSuites: bookworm\nComponents: main\n"
    assert apt(a__sources=stanza.format(value)) == []
    assert suites(apt(a__sources=stanza.format("yes"))) == ["bookworm"]


def test_fields_over_several_lines_and_spaced_blank_lines(apt):
    found = apt(a__sources="""
        Types: deb
        URIs:
         http://a.example/debian
        # one more
         http://b.example/debian
        Suites: bookworm
        Components: main
        \x20
        Types: deb
        URIs: http://c.example/debian
        Suites: bookworm-security
        Components: main
        """)
    assert [source["uri"][7:8] for source in found] == ["a", "b", "c"]


@pytest.mark.parametrize(
    "line",
    [
        "deb [signed-by=/etc/apt/keyrings/docker.asc] https://download.docker.com/linux/debian bookworm stable",
        "deb https://apt.postgresql.org/pub/repos/apt bookworm-pgdg main",
        "deb [signed-by=/usr/share/keyrings/redis-archive-keyring.gpg] https://packages.redis.io/deb bookworm main",
        "deb http://deb.example.org/debian trixie main",
    ],
)
def test_archives_of_others_are_left_out(apt, line):
    found = apt(debian__sources=DEB822, other__list=line + "\n")
    assert suites(found) == ["bookworm", "bookworm-updates", "bookworm-security"]


def test_a_private_mirror_with_its_own_key_is_all_there_is(apt):
    found = apt(sources_list="deb [signed-by=/etc/apt/keyrings/corp.gpg] http://mirror.example/debian bookworm main\n")
    assert suites(found) == ["bookworm"]


def test_a_key_inside_the_file_has_no_one_line_form(apt):
    stanza = """
        Types: deb
        URIs: http://a.example
        Suites: bookworm
        Components: main
        Signed-By:
         -----BEGIN PGP PUBLIC KEY BLOCK-----
         .
         mQINBF
         -----END PGP PUBLIC KEY BLOCK-----
    """
    assert apt(a__sources=stanza) == []


def test_the_same_source_twice_counts_once(apt):
    line = "deb http://deb.example.org/debian bookworm main\n"
    assert len(apt(a__list=line, b__list=line)) == 1


def test_nothing_there(tmp_path):
    assert _apt.sources(str(tmp_path / "missing"), "bookworm") == []


def test_a_release_without_a_code_name(apt, monkeypatch):
    monkeypatch.setattr(_apt, "os_release", lambda: {})
    assert apt(codename="", sources_list="deb http://a.example -updates main\n") == []


def test_os_release(tmp_path):
    (tmp_path / "os-release").write_text(
        "PRETTY_NAME=\"Debian GNU/Linux 12\"\nID=debian\n\nVERSION_CODENAME='bookworm'\n"
    )
    assert _apt.os_release(str(tmp_path / "os-release")) == {
        "PRETTY_NAME": "Debian GNU/Linux 12",
        "ID": "debian",
        "VERSION_CODENAME": "bookworm",
    }
    assert _apt.os_release(str(tmp_path / "missing")) == {}
