# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Kind `dns`: a name server has the expected answer. Private to the collection.

`getaddrinfo` knows no deadline and cannot tell a name that does not exist from a server that does not answer. So the
servers are asked directly; dnspython makes and reads the messages, the sockets stay within the attempt's budget.
"""

from __future__ import annotations

import importlib
import io
import select
import socket
import struct
import time
import typing as t

from ansible_collections.tria.production.plugins.module_utils._probes import _base, _net

DOCUMENTATION = r"""
dns:
  description:
    - A look-up in the DNS. Name servers are asked directly, the next one when one does not answer, and the result is
      told apart by C(NXDOMAIN), no such record, C(SERVFAIL) and no answer at all.
    - Neither F(/etc/hosts) nor the search list of F(/etc/resolv.conf) is used.
  type: dict
  suboptions:
    name:
      description: Name to look up, in full.
      type: str
      required: true
    type:
      description: Type of record.
      type: str
      choices: [A, AAAA, CAA, CNAME, MX, NS, PTR, SRV, TXT]
      default: A
    answers:
      description:
        - Records that must be among the answers, written as in a zone file, such as C(10 mail.example.org) for an
          V(MX). Names are taken in full. A V(TXT) is its bare text.
        - Without it, any record will do.
      type: list
      elements: str
      default: []
    server:
      description: Address of the name server to ask. By default those of F(/etc/resolv.conf), in their order.
      type: str
    port:
      description: Port of the name server.
      type: int
      default: 53
"""
CATEGORY = "Network"
LIBRARIES = ("dns",)
SPEC: dict[str, t.Any] = {
    "options": {
        "name": {"type": "str", "required": True},
        "type": {
            "type": "str",
            "choices": ["A", "AAAA", "CAA", "CNAME", "MX", "NS", "PTR", "SRV", "TXT"],
            "default": "A",
        },
        "answers": {"type": "list", "elements": "str", "default": []},
        "server": {"type": "str"},
        "port": {"type": "int", "default": 53},
    }
}

_FIRST_WAIT, _LONGEST_WAIT = 0.5, 4.0  # s for one server before the next is asked; doubles with every round
_MAX_MESSAGE = 65535
_RESPONSE = "response"


def probe(options: dict[str, t.Any], attempt: _base.Attempt) -> _base.Outcome:
    """Asks until a server has answered with a verdict, and looks for every expected record in that."""
    library = _Library()
    name, kind = library.name(options["name"]), options["type"]
    expected = {text: library.record(kind, text) for text in options["answers"]}
    query = library.message.make_query(name, kind)
    server, response = _ask(library, query, _servers(library, options), attempt.budget)
    label = f"{kind} record of {options['name']}"
    data = {"name": options["name"], "type": kind, "server": server, "answers": [], "ttl": None}
    if response.rcode() == library.rcode.NXDOMAIN:
        raise _base.ProbeFailure(
            f"the name {options['name']} does not exist (NXDOMAIN, says {server})",
            "Correct name, or create the record.", _RESPONSE, data=data, gone=True,
        )
    records, data["ttl"], canonical = library.answer(response, name, kind)
    data["answers"] = sorted(library.text(one) for one in records)
    if canonical != name:
        data["canonical_name"] = canonical.to_text(omit_final_dot=True)
    if not records:
        alias = f"; it is an alias of {data['canonical_name']}" if canonical != name else ""
        raise _base.ProbeFailure(
            f"there is no {label} (NODATA, says {server}){alias}", "Correct type, or create the record.", _RESPONSE,
            data=data, gone=True,
        )
    missing = [text for text, record in expected.items() if record not in records]
    if missing:
        raise _base.ProbeFailure(
            f"{', '.join(missing)} is not the {label}: {server} says {', '.join(data['answers'])}",
            "Correct the record, or wait for its TTL if it was changed.", _RESPONSE, data=data,
        )
    return _base.Outcome(f"{options['name']} is {', '.join(data['answers'])}", data)


class _Library:
    """What is used of dnspython, on untrusted input: its exceptions become `ProbeFailure`."""

    def __init__(self) -> None:
        for part in ("exception", "flags", "message", "rcode", "rdata", "rdataclass", "rdatatype", "resolver"):
            setattr(self, part, importlib.import_module(f"dns.{part}"))
        self.names = importlib.import_module("dns.name")

    def name(self, text: str) -> t.Any:
        try:
            return self.names.from_text(text)
        except self.exception.DNSException as exc:
            raise _base.ProbeFailure(f"{text!r} is no name: {exc}", "Correct name.", "request", True) from exc

    def record(self, kind: str, text: str) -> t.Any:
        """What an expected record looks like in an answer."""
        if kind == "TXT":
            return text
        try:
            return self.rdata.from_text(
                self.rdataclass.IN, self.rdatatype.from_text(kind), text, origin=self.names.root, relativize=False
            )
        except self.exception.DNSException as exc:
            told = f"answers: {text!r} is no {kind}: {exc}"
            raise _base.ProbeFailure(told, "Correct answers.", "request", True) from exc

    def answer(self, response: t.Any, name: t.Any, kind: str) -> tuple[list[t.Any], int | None, t.Any]:
        """Records, their TTL and the name that has them, after all aliases."""
        wanted, alias = self.rdatatype.from_text(kind), self.rdatatype.CNAME
        found = {(rrset.name, rrset.rdtype): rrset for rrset in response.answer}
        ttls = []
        for _alias in range(len(found) + 1):
            rrset = found.get((name, wanted))
            if rrset is not None:
                return [self.plain(one) for one in rrset], min([*ttls, rrset.ttl]), name
            if (name, alias) not in found:
                break
            ttls.append(found[name, alias].ttl)
            name = found[name, alias][0].target
        return [], None, name

    def plain(self, record: t.Any) -> t.Any:
        """A TXT record as the text that it is, which comes in pieces; every other one as it is."""
        if record.rdtype == self.rdatatype.TXT:
            return b"".join(record.strings).decode("utf-8", "replace")
        return record

    @staticmethod
    def text(record: t.Any) -> str:
        return record if isinstance(record, str) else record.to_text()

    def parse(self, wire: bytes, query: t.Any) -> t.Any:
        """The response to `query` in `wire`, None where that is something else."""
        try:
            response = self.message.from_wire(wire)
        except (self.exception.DNSException, ValueError, struct.error):
            return None
        return response if query.is_response(response) else None


def _servers(library: _Library, options: dict[str, t.Any]) -> list[tuple[str, t.Any, t.Any]]:
    """(as text, family, socket address) of the servers to ask."""
    try:
        texts = [options["server"]] if options["server"] else library.resolver.Resolver().nameservers
    except library.exception.DNSException as exc:
        raise _base.ProbeFailure(
            f"no name server is known: {exc}", "Name one in /etc/resolv.conf, or in server.", "request"
        ) from exc
    servers = []
    for text in map(str, texts):
        found = _net.numeric_addresses(text, options["port"])
        if not found:
            raise _base.ProbeFailure(f"server {text} is no IP address", "Correct server.", "request", permanent=True)
        servers.append((text, *found[0]))
    return servers


def _ask(
    library: _Library, query: t.Any, servers: list[tuple[str, t.Any, t.Any]], budget: _base.Budget
) -> tuple[str, t.Any]:
    """The first server with a verdict, and its response. Raises when all of them refuse, and when time is up."""
    pause, troubles, silent = _FIRST_WAIT, {}, True
    verdicts = (library.rcode.NOERROR, library.rcode.NXDOMAIN)
    while silent and not _is_over(budget):
        silent = False
        for text, family, address in servers:
            try:
                response = _exchange(library, query, family, address, budget, pause)
                if response.rcode() in verdicts:
                    return text, response
                troubles[text] = f"{text} answers {library.rcode.to_text(response.rcode())}"
            except TimeoutError:
                troubles[text], silent = f"{text} does not answer", True
            except OSError as exc:
                troubles[text] = f"{text}: {exc.strerror or exc}"
        pause = min(2 * pause, _LONGEST_WAIT)
    told = f"no answer for {query.question[0].name.to_text(omit_final_dot=True)}"
    told += f" within {budget.seconds:.3g} s: " if silent else ": "
    remedy = "Is the name server there, and reachable over UDP?" if silent else "See the name server's log."
    raise _base.ProbeFailure(told + "; ".join(troubles.values()), remedy, "answer")


def _is_over(budget: _base.Budget) -> bool:
    try:
        return budget.remaining() <= 0
    except TimeoutError:
        return True


def _exchange(
    library: _Library, query: t.Any, family: t.Any, address: t.Any, budget: _base.Budget, seconds: float
) -> t.Any:
    """One question over UDP, and over TCP when the answer is cut short. What is no answer to it is not listened to."""
    end = time.monotonic() + seconds
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        sock.connect(address)  # answers of others do not get in, and "port unreachable" does
        sock.send(query.to_wire())
        while True:
            budget.wait(sock, select.POLLIN, at_most=max(0.0, end - time.monotonic()))
            response = library.parse(sock.recv(_MAX_MESSAGE), query)
            if response is not None:
                break
    if response.flags & library.flags.TC:
        return _exchange_tcp(library, query, address, budget)
    return response


def _exchange_tcp(library: _Library, query: t.Any, address: t.Any, budget: _base.Budget) -> t.Any:
    wire = query.to_wire()
    try:
        with _net.connect(address[0], address[1], budget) as connection, io.BufferedReader(connection) as reader:
            connection.sendall(struct.pack("!H", len(wire)) + wire)
            head = reader.read(2)
            response = library.parse(reader.read(struct.unpack("!H", head)[0]), query) if len(head) == 2 else None
    except _base.ProbeFailure as exc:
        raise ConnectionError(f"the answer is too long for UDP, and TCP fails: {exc}") from exc
    if response is None:
        raise ConnectionError("no valid answer over TCP")
    return response
