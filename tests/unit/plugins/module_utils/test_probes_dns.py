# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Kind dns, against a name server on loopback that says what it is told to."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time

import dns.flags
import dns.message
import dns.rcode
import dns.resolver
import dns.rrset
import pytest
from probe_peers import free_port, look, server

from ansible_collections.tria.production.plugins.module_utils import _deps, _probes
from ansible_collections.tria.production.plugins.module_utils._probes._base import Budget, Cancelled, Session

NAME = "shop.example.org"
ADDRESSES = (f"{NAME}. 60 IN A 192.0.2.1", f"{NAME}. 60 IN A 192.0.2.2")


def answer(query, *records, rcode=dns.rcode.NOERROR):
    response = dns.message.make_response(query)
    response.set_rcode(rcode)
    for record in records:
        name, ttl, rdclass, kind, text = record.split(" ", 4)
        rrset = response.find_rrset(response.answer, dns.name.from_text(name), rdclass, kind, create=True)
        rrset.update(dns.rrset.from_text(name, int(ttl), rdclass, kind, text))
    return response.to_wire()


@contextlib.contextmanager
def name_server(reply, port=0):
    """Answers each question with what `reply(query, number of the question)` gives: a message, several, or none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", port))
        port, asked = sock.getsockname()[1], []

        def serve():
            while True:
                data, peer = sock.recvfrom(4096)
                if not data:
                    return
                asked.append(data)
                for message in reply(dns.message.from_wire(data), len(asked)):
                    sock.sendto(message, peer)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield port
        finally:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
                last.sendto(b"", ("127.0.0.1", port))
            thread.join()


def ask(reply, **options):
    with name_server(reply) as port:
        return look("dns", **{"name": NAME, "server": "127.0.0.1", "port": port, **options})


def says(*records, **options):
    return lambda query, number: [answer(query, *records, **options)]


def test_good():
    seen = ask(says(*ADDRESSES), answers=["192.0.2.2"])
    assert seen.status == "pass" and seen.message == f"{NAME} is 192.0.2.1, 192.0.2.2"
    assert seen.data["answers"] == ["192.0.2.1", "192.0.2.2"] and seen.data["ttl"] == 60
    assert seen.data["server"] == "127.0.0.1"


@pytest.mark.parametrize(
    "kind, record, expected",
    [
        ("AAAA", f"{NAME}. 5 IN AAAA 2001:db8::1", "2001:0db8:0:0::1"),
        ("MX", f"{NAME}. 5 IN MX 10 mail.example.org.", "10 Mail.example.org"),
        ("NS", f"{NAME}. 5 IN NS ns1.example.org.", "ns1.example.org."),
        ("SRV", f"{NAME}. 5 IN SRV 0 5 443 a.example.org.", "0 5 443 a.example.org"),
        ("TXT", f'{NAME}. 5 IN TXT "v=spf1 " "-all"', "v=spf1 -all"),
        ("CNAME", f"{NAME}. 5 IN CNAME a.example.net.", "a.example.net"),
    ],
)
def test_records_of_every_type(kind, record, expected):
    assert ask(says(record), type=kind, answers=[expected]).status == "pass"
    other = "2001:db8::2" if kind == "AAAA" else expected.replace("1", "2").replace("a.", "b.").replace("-all", "~all")
    seen = ask(says(record), type=kind, answers=[other.replace("Mail", "other")])
    assert seen.status == "fail" and f"is not the {kind} record" in seen.message and not seen.permanent


def test_aliases_are_followed():
    alias = f"{NAME}. 30 IN CNAME edge.example.net."
    seen = ask(says(alias, "edge.example.net. 60 IN A 192.0.2.9"), answers=["192.0.2.9"])
    assert seen.status == "pass" and (seen.data["ttl"], seen.data["canonical_name"]) == (30, "edge.example.net")
    seen = ask(says(alias))
    assert seen.status == "fail" and "NODATA" in seen.message and "alias of edge.example.net" in seen.message
    assert "NODATA" in ask(says(f"{NAME}. 1 IN CNAME a.", f"a. 1 IN CNAME {NAME}.")).message


@pytest.mark.parametrize(
    "rcode, expected",
    [
        (dns.rcode.NXDOMAIN, f"the name {NAME} does not exist (NXDOMAIN, says 127.0.0.1)"),
        (dns.rcode.NOERROR, f"there is no A record of {NAME} (NODATA"),
        (dns.rcode.SERVFAIL, f"no answer for {NAME}: 127.0.0.1 answers SERVFAIL"),
        (dns.rcode.REFUSED, "127.0.0.1 answers REFUSED"),
    ],
)
def test_each_kind_of_no(rcode, expected):
    begun = time.monotonic()
    seen = ask(says(rcode=rcode))
    assert seen.status == "fail" and expected in seen.message and not seen.permanent
    assert time.monotonic() - begun < 0.5


def test_missing_and_wrong_are_told_apart_from_gone():
    assert ask(says(rcode=dns.rcode.NXDOMAIN)).gone and ask(says()).gone
    assert not ask(says(*ADDRESSES), answers=["192.0.2.3"]).gone and not ask(says(rcode=dns.rcode.SERVFAIL)).gone


def test_silence_costs_the_timeout_and_no_more():
    threads = threading.active_count()
    begun = time.monotonic()
    seen = ask(lambda query, number: [], timeout=0.7)
    assert 0.6 < time.monotonic() - begun < 1.2
    assert seen.phase == "answer" and "within 0.7 s: 127.0.0.1 does not answer" in seen.message
    assert threading.active_count() <= threads


def test_nobody_listens():
    seen = look("dns", name=NAME, server="127.0.0.1", port=free_port())
    assert seen.status == "fail" and "Connection refused" in seen.message


def test_a_lost_answer_is_asked_for_again():
    assert ask(lambda query, number: [answer(query, *ADDRESSES)] if number == 2 else []).status == "pass"


def test_what_is_no_answer_is_not_listened_to():
    def reply(query, _number):
        other = dns.message.make_query(NAME, "A")
        elsewhere = dns.message.make_query("other.example.org", "A", id=query.id)
        forged = [answer(one, f"{one.question[0].name} 60 IN A 203.0.113.1") for one in (other, elsewhere)]
        return [b"", b"junk", query.to_wire(), *forged, answer(query, *ADDRESSES)]

    assert ask(reply).data["answers"] == ["192.0.2.1", "192.0.2.2"]
    seen = ask(lambda query, number: [b"junk"], timeout=0.6)
    assert seen.status == "fail" and "does not answer" in seen.message


def test_an_answer_too_long_for_udp_is_fetched_over_tcp():
    def cut(query, _number):
        response = dns.message.make_response(query)
        response.flags |= dns.flags.TC
        return [response.to_wire()]

    def whole(connection):
        size = struct.unpack("!H", connection.recv(2))[0]
        wire = answer(dns.message.from_wire(connection.recv(size)), *ADDRESSES)
        connection.sendall(struct.pack("!H", len(wire)) + wire)

    with name_server(cut, free_port()) as port:
        seen = look("dns", name=NAME, server="127.0.0.1", port=port)
        assert "TCP fails: cannot connect" in seen.message
        with server(whole, port):
            assert look("dns", name=NAME, server="127.0.0.1", port=port).data["answers"] == ["192.0.2.1", "192.0.2.2"]
        with server(lambda connection: connection.recv(100), port):
            assert "no valid answer over TCP" in look("dns", name=NAME, server="127.0.0.1", port=port).message


def test_the_hosts_own_servers_in_their_order(monkeypatch, tmp_path):
    configuration = tmp_path / "resolv.conf"
    configuration.write_text("nameserver 127.0.0.2\nnameserver 127.0.0.1\n")
    resolver = dns.resolver.Resolver
    monkeypatch.setattr(dns.resolver, "Resolver", lambda: resolver(str(configuration)))
    with name_server(says(*ADDRESSES)) as port:  # nobody at 127.0.0.2
        assert look("dns", name=NAME, port=port).data["server"] == "127.0.0.1"
    monkeypatch.setattr(dns.resolver, "Resolver", lambda: resolver(str(tmp_path / "none")))
    assert "no name server is known" in look("dns", name=NAME).message


@pytest.mark.parametrize(
    "options, expected",
    [
        ({"name": "a..b"}, "'a..b' is no name"),
        ({"answers": ["not-an-address"]}, "answers: 'not-an-address' is no A"),
        ({"server": "ns.example.org"}, "server ns.example.org is no IP address"),
    ],
)
def test_impossible_options_are_final(options, expected):
    seen = look("dns", **{"name": NAME, **options})
    assert seen.permanent and expected in seen.message


def test_a_missing_library_is_named(monkeypatch):
    def missing(name):
        raise _deps.MissingLibrary(name)

    monkeypatch.setattr(_probes._deps, "load", missing)
    seen = look("dns", name=NAME)
    assert seen.status == "error" and "dnspython" in seen.message and seen.permanent


def test_a_cancelled_look_up_ends_soon():
    options = {"name": NAME, "type": "A", "answers": [], "server": "127.0.0.1"}
    session, ended = Session(), []

    def attempt(port):
        with pytest.raises(Cancelled):
            _probes.dns.probe({**options, "port": port}, _probes._base.Attempt(session, Budget(30, session.cancelled)))
        ended.append(time.monotonic())

    with name_server(lambda query, number: []) as port:
        thread = threading.Thread(target=attempt, args=(port,))
        thread.start()
        time.sleep(0.1)
        begun = time.monotonic()
        session.cancelled.set()
        thread.join()
    assert ended[0] - begun < 0.5
