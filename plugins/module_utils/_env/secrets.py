# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Secrets that others can guess. Private to the collection.

None of this measures entropy: it looks for what people make secrets of, and counts the bytes that an encoded one holds.
What a random generator yields in sixteen bytes or more passes.
"""

from __future__ import annotations

import operator
import re
import string

LEAST = 16  # bytes; where the schema does not say

# what images, tutorials and lists of passwords begin with; compared without case, and also as `_plain` gives it
_DEFAULTS = frozenset(
    """
    abc123 adm admin administrator airflow amqp baseball batman changeit changeme clickhouse couchdb data database
    default demo django docker dragon elastic elasticsearch football foobar gitea gitlab grafana guest harbor
    hello hunter iloveyou influxdb jenkins keycloak kibana kong letmein localhost login magento manager mariadb
    master metabase minio minioadmin minioaccesskey miniosecretkey mongo mongodb monkey mysql n8n nagios neo4j
    nextcloud nimda odoo operator oracle pass password passwd pgadmin pgpass postgres postgresql prestashop
    princess private pwd qwerty rabbitmq raspberry redis root sa secret shadow sonar sonarqube strapi
    sunshine super superman superset superuser supersecret swordfish sysadmin system test tester tiger tomcat toor
    trustno user username vagrant weblogic welcome wordpress zabbix zaq
    """.split()
)
_PUBLISHED = ("django-insecure-", "akiaiosfodnn7example", "wjalrxutnfemi/k7mdeng/bpxrficyexamplekey")
_LEET = str.maketrans("@430$517!", "aaeossiti")
_LONGEST_TAIL = 6  # more can be random
_TAIL = string.digits + string.punctuation + string.whitespace

_FEWEST = 6  # characters; below it, repetition and sequence say nothing that the length does not
_MOST = 4096  # characters that are looked at; keys that are longer are files
_ROWS = f"""
{string.ascii_lowercase}a {string.digits}0 9a qwertyuiop asdfghjkl zxcvbnm 1qaz 2wsx 3edc 4rfv 5tgb 6yhn 7ujm
"""
_NEIGHBOURS = {
    *(row[index : index + 2] for row in (*_ROWS.split(), *_ROWS[::-1].split()) for index in range(len(row) - 1)),
    *(2 * character for character in string.printable),
}

_HEX = re.compile(r"(?:0x)?(?:(?:[0-9a-f]{2})+|(?:[0-9A-F]{2})+)\Z")
_UUID = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}\Z")
# a password of letters and digits alone may well be no encoding, but what it says
_BASE64 = re.compile(
    r"(?=.*[A-Z])(?=.*[a-z])(?=.*[0-9])(?:(?=.*[+/=])[A-Za-z0-9+/]+|(?=.*[-_=])[A-Za-z0-9_-]+)={0,2}\Z"
)


def guessable(text: str) -> str | None:
    """The rule that names how others would guess a secret, None if they would not."""
    text = text[:_MOST]
    lower = text.lower()
    if lower in _DEFAULTS or _plain(lower) in _DEFAULTS or lower.startswith(_PUBLISHED):
        return "known_default"
    if len(text) < _FEWEST:
        return "repeated_secret" if len(text) > 2 and len(set(text)) == 1 else None
    if len(set(text)) <= (3 if len(text) >= 16 else 2) or _repeats(text):
        return "repeated_secret"
    return "sequential_secret" if _steps(lower) * 5 >= (len(text) - 1) * 4 else None


def shortness(text: str, least: int = LEAST) -> str | None:
    """Why a secret holds fewer than `least` bytes, or None; what is evidently encoded counts decoded."""
    encoding, size = _decoded(text)
    if size >= least:
        return None
    return f"is {encoding}, and decodes to fewer than {least} bytes" if encoding else f"shorter than {least} characters"


def _decoded(text: str) -> tuple[str, int]:
    """The encoding of a text (empty for none) and how many bytes it encodes."""
    if _UUID.match(text):
        return "hexadecimal", 16
    if _HEX.match(text):
        return "hexadecimal", len(text[2:] if text.startswith("0x") else text) // 2
    if len(text) % 4 == 0 and _BASE64.match(text):
        return "base64", len(text.rstrip("=")) * 3 // 4
    return "", len(text)


def _plain(lower: str) -> str:
    """A word as it was before somebody made a password of it: few digits at its end, none for letters."""
    word = lower.rstrip(_TAIL)
    return (word if len(lower) - len(word) <= _LONGEST_TAIL else lower).translate(_LEET)


def _repeats(text: str) -> bool:
    """Whether a piece of at most half the text makes it up by repetition, a last one possibly cut short."""
    half = text[: (len(text) + 1) // 2]
    start = text.find(half, 1)
    while start > 0 and text[start:] != text[:-start]:
        start = text.find(half, start + 1)
    return start > 0


def _steps(lower: str) -> int:
    """How many characters follow themselves or a neighbour: in the alphabet, among the digits, or on a keyboard."""
    return sum(map(_NEIGHBOURS.__contains__, map(operator.add, lower, lower[1:])))
