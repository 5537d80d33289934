# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a stack leaves open to others: ports, secrets, databases. Private to the collection.

Each check yields what is wrong with one workload; it knows the whole stack.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import re
import typing as t

from ansible_collections.tria.production.plugins.module_utils._env import urls
from ansible_collections.tria.production.plugins.module_utils._security import secrets
from ansible_collections.tria.production.plugins.module_utils._security.observation import Check, Inapplicable, Unseen
from ansible_collections.tria.production.plugins.module_utils._security.workload import Port, Workload

_POSTGRES = re.compile(r"(?:.*[-_])?(?:postgres(?:ql)?|postgis|pgvector|timescaledb(?:-ha)?)\Z")
_MYSQL = re.compile(r"(?:.*[-_])?(?:mysql(?:-server)?|mariadb|percona)\Z")
_REDIS = re.compile(r"(?:.*[-_])?(?:redis(?:-stack)?(?:-server)?|valkey|keydb)\Z")
_OTHER_DATA = re.compile(
    r"(?:.*[-_])?(?:mongo(?:db)?|memcached|elasticsearch|opensearch|rabbitmq|clickhouse(?:-server)?|cassandra|couchdb"
    r"|etcd|influxdb|neo4j|qdrant|chroma(?:db)?|weaviate|milvus|kafka|zookeeper|nats)\Z"
)
_DATA_PORTS = (1433, 1521, 2379, 3306, 5432, 5672, 5984, 6379, 8086, 9042, 9092, 9200, 11211, 27017)
_DEBUG_NAMES = re.compile(r"(?:\A|_)DEBUG\Z|\APYTHONDEVMODE\Z")
_ENVIRONMENT_NAMES = ("FLASK_ENV", "NODE_ENV", "RAILS_ENV", "ASPNETCORE_ENVIRONMENT")
_DEBUG_ARGUMENTS = ("--debug", "--reload", "--inspect", "-Xdebug")
_OFF = ("", "0", "false", "no", "off", "none")
_LEAST_SEARCHED = 8  # shorter values occur in ordinary words


@dataclasses.dataclass
class Stack:
    """All workloads of one area, and the ports that everybody is meant to reach."""

    workloads: list[Workload]
    public_ports: t.Sequence[int] = ()

    def secrets(self) -> dict[str, str]:
        """Value -> the name of a variable that holds it."""
        found = {}
        for workload in self.workloads:
            found.update({value: name for name, value in secrets.in_environment(workload.environment).items()})
        return {value: name for value, name in found.items() if len(value) >= _LEAST_SEARCHED}


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address to listen on."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def published_data(workload: Workload, _stack: Stack) -> t.Iterator[str]:
    for port in workload.ports:
        if not is_loopback(port.host) and _holds_data(workload, port):
            yield f"publishes {_numbers(port)} on {port.host or 'all addresses'}"


def published_ports(workload: Workload, stack: Stack) -> t.Iterator[str]:
    for port in workload.ports:
        meant = all(number in stack.public_ports for number in range(port.first, port.last + 1))
        if not is_loopback(port.host) and not meant and not _holds_data(workload, port):
            yield f"publishes {_numbers(port)} on {port.host or 'all addresses'}"


def weak_secret(workload: Workload, _stack: Stack) -> t.Iterator[str]:
    yield from secrets.weakness(secrets.in_environment(workload.environment))


def exposed_secret(workload: Workload, stack: Stack) -> t.Iterator[str]:
    known = stack.secrets()
    for place, words in workload.arguments.items():
        text = "\0".join(words)
        for name in sorted({name for value, name in known.items() if value in text}):
            yield f"its {place} holds the value of {name}"


def debug(workload: Workload, _stack: Stack) -> t.Iterator[str]:
    for name, value in workload.environment.items():
        upper = name.upper()
        if _DEBUG_NAMES.search(upper) and value.strip().lower() not in _OFF:
            yield f"{name} is on"
        elif upper in _ENVIRONMENT_NAMES and value.strip().lower().startswith("dev"):
            yield f"{name} is for development"
    for argument in workload.arguments.get("command") or []:
        if set(_DEBUG_ARGUMENTS).intersection(argument.partition("=")[0].split()):
            yield "its command has a debugger's or reloader's option"


def database_auth(workload: Workload, _stack: Stack) -> t.Iterator[str]:
    environment = {name.upper(): value for name, value in workload.environment.items()}
    if _is(workload, _POSTGRES):
        yield from _postgres_auth(environment)
    elif _is(workload, _MYSQL):
        for name in ("MYSQL_ALLOW_EMPTY_PASSWORD", "MARIADB_ALLOW_EMPTY_ROOT_PASSWORD"):
            if environment.get(name, "").lower() not in _OFF:
                yield f"{name} is on"
    elif _is(workload, _REDIS):
        yield from _redis_auth(workload, environment)
    else:
        raise Inapplicable("is no PostgreSQL, MySQL or Redis")


def superuser_role(workload: Workload, stack: Stack) -> t.Iterator[str]:
    superusers = {
        one.service: one.environment.get("POSTGRES_USER") or "postgres"
        for one in stack.workloads
        if _is(one, _POSTGRES)
    }
    logins = [(name, host, user) for name, host, user in _logins(workload) if host in superusers]
    if _is(workload, _POSTGRES) or not logins:
        raise Inapplicable("does not log in to a PostgreSQL of this stack by a URL or PGUSER")
    if workload.one_shot:
        raise Inapplicable("is meant to end: it may prepare the database")
    for name, host, user in logins:
        if user == superusers[host]:
            yield f"{name} logs in to {host} as its POSTGRES_USER"


CHECKS: dict[str, Check] = {
    check.__name__: check
    for check in (
        published_data, published_ports, weak_secret, exposed_secret, debug, database_auth, superuser_role
    )
}


def _is(workload: Workload, kind: t.Pattern[str]) -> bool:
    repository = workload.image.partition("@")[0].rpartition("/")[2].partition(":")[0]
    return bool(kind.match(repository) or kind.match(workload.service))


def _holds_data(workload: Workload, port: Port) -> bool:
    return port.target in _DATA_PORTS or any(_is(workload, kind) for kind in (_POSTGRES, _MYSQL, _REDIS, _OTHER_DATA))


def _numbers(port: Port) -> str:
    if not port.first:
        return f"any free port for {port.target}"
    return f"port {port.first}" if port.first == port.last else f"port {port.first}-{port.last}"


def _postgres_auth(environment: dict[str, str]) -> t.Iterator[str]:
    if environment.get("POSTGRES_HOST_AUTH_METHOD", "").lower() == "trust":
        yield "POSTGRES_HOST_AUTH_METHOD is trust"
    elif not environment.get("POSTGRES_PASSWORD") and not environment.get("POSTGRES_PASSWORD_FILE"):
        yield "has no POSTGRES_PASSWORD"
    if re.search(r"(?:\A|\s)(?:-A|--auth(?:-local|-host)?)[ =]?trust\b", environment.get("POSTGRES_INITDB_ARGS", "")):
        yield "POSTGRES_INITDB_ARGS has trust"


def _redis_auth(workload: Workload, environment: dict[str, str]) -> t.Iterator[str]:
    command = " ".join(workload.arguments.get("command") or [])
    if environment.get("ALLOW_EMPTY_PASSWORD", "").lower() not in _OFF:
        yield "ALLOW_EMPTY_PASSWORD is on"
    elif re.search(r"\brequirepass\s+(?!['\"]{2})\S|--aclfile|\baclfile\s", command):
        return
    elif environment.get("REDIS_PASSWORD") and "bitnami" in workload.image:
        return
    elif re.search(r"\S+\.conf\b", command):
        raise Unseen("its configuration file is not looked at here")
    else:
        yield "asks for no password (requirepass)"


def _logins(workload: Workload) -> t.Iterator[tuple[str, str, str]]:
    """(variable, host, user) of every PostgreSQL that the environment names."""
    environment = workload.environment
    for name, value in environment.items():
        if value.startswith(("postgres", "postgresql")) and "://" in value:
            try:
                url = urls.split(value)
            except urls.UrlError:
                continue
            for host in url.hosts:
                yield name, host, url.user
    for prefix in ("PG", "POSTGRES_", "DB_", "DATABASE_"):
        host, user = environment.get(f"{prefix}HOST"), environment.get(f"{prefix}USER")
        if host and user:
            yield f"{prefix}USER", host, user
