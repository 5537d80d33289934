# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""URLs in env files: taken apart without ever quoting them in an exception. Private to the collection."""

from __future__ import annotations

import dataclasses
import re
import urllib.parse

# a database URL without a database is no use; a file's URL has no host
DATABASES = frozenset(("postgresql", "postgres", "cockroachdb", "mysql", "mariadb", "mssql", "oracle"))
HOSTLESS = frozenset(("sqlite", "duckdb", "file"))
PORTS = {
    "postgresql": 5432,
    "postgres": 5432,
    "mysql": 3306,
    "mariadb": 3306,
    "redis": 6379,
    "rediss": 6379,
    "amqp": 5672,
    "mongodb": 27017,
    "http": 80,
    "https": 443,
}

_URL = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<authority>[^/?#]*)(?P<path>/[^?#]*)?(?P<query>\?[^#]*)?(?:#.*)?\Z"
)
_HOST = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+(?:%25[\w.~-]+)?\]|[^:\[\]@]*)(?::(?P<port>[^:]*))?\Z")
_FORBIDDEN = re.compile(r"[\x00-\x20\x7f]")
_BAD_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")


@dataclasses.dataclass(frozen=True)
class Url:
    """A URL's parts, percent-decoded. `scheme` is without a driver (`postgresql+psycopg2` gives `postgresql`)."""

    full_scheme: str
    user: str
    password: str
    hosts: tuple[str, ...]
    ports: tuple[int | None, ...]
    path: str
    unescaped: bool

    @property
    def scheme(self) -> str:
        return self.full_scheme.partition("+")[0]

    def part(self, name: str) -> str:
        """`user`, `password`, `host`, `port` (without one: the scheme's) or `path` (without its first slash)."""
        if name == "port":
            port = self.ports[0] if self.ports and self.ports[0] else PORTS.get(self.scheme)
            return str(port or "")
        if name == "host":
            return self.hosts[0] if self.hosts else ""
        if name == "path":
            return self.path[1:]
        return self.user if name == "user" else self.password


class UrlError(ValueError):
    """The message says what is wrong, and shows nothing of the URL."""


def split(text: str) -> Url:
    """Take a URL apart; raises `UrlError`."""
    if _FORBIDDEN.search(text):
        raise UrlError("the URL holds white space or a control character")
    match = _URL.match(text)
    if match is None:
        raise UrlError("the URL has no scheme://")
    userinfo, _at, authority = match["authority"].rpartition("@")
    user, _colon, password = userinfo.partition(":")
    hosts, ports = _hosts(authority)
    url = Url(
        full_scheme=match["scheme"].lower(),
        user=urllib.parse.unquote(user),
        password=urllib.parse.unquote(password),
        hosts=hosts,
        ports=ports,
        path=urllib.parse.unquote(match["path"] or ""),
        unescaped="@" in userinfo or ":" in password or bool(_BAD_PERCENT.search(userinfo)),
    )
    _complete(url, "host=" in (match["query"] or ""))
    return url


def _hosts(authority: str) -> tuple[tuple[str, ...], tuple[int | None, ...]]:
    hosts: list[str] = []
    ports: list[int | None] = []
    for member in authority.split(",") if authority else ():
        match = _HOST.match(member)
        if match is None:
            raise UrlError(
                "the URL's host is malformed; perhaps the password holds characters that are not percent-encoded"
            )
        port = match["port"]
        if port and not (re.fullmatch("[0-9]{1,5}", port) and 0 < int(port) < 65536):
            raise UrlError(
                "the URL's port is no number from 1 to 65535, "
                "or the password holds characters that are not percent-encoded"
            )
        hosts.append(urllib.parse.unquote(match["host"].strip("[]")))
        ports.append(int(port) if port else None)
    return tuple(hosts), tuple(ports)


def _complete(url: Url, host_in_query: bool) -> None:
    if url.scheme in HOSTLESS:
        if not url.path.strip("/"):
            raise UrlError("the URL has no path to a file")
        return
    if not host_in_query and not (url.hosts and all(url.hosts)):
        raise UrlError("the URL has no host")
    if url.scheme in DATABASES and not url.path.strip("/"):
        raise UrlError("the URL has no path: the name of the database is missing")


def is_local(host: str) -> bool:
    """Whether the host is the machine (in a container: the container) itself."""
    host = host.lower().rstrip(".")
    return (
        host in ("localhost", "::1", "0.0.0.0", "::")
        or host.endswith(".localhost")
        or bool(re.fullmatch(r"127(?:\.\d+){1,3}", host))
    )
