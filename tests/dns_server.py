"""A name server for tests: answers from zone text over UDP and TCP on loopback."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import cast

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset
import dns.zone


class DnsServer(asyncio.DatagramProtocol):
    """Serves one zone file text with absolute names. Names it does not hold do not exist.

    `failing`: (name, type) pairs that get SERVFAIL; `silent`: pairs that get no answer at all; a
    type of "*" stands for all. `missing`: NXDOMAIN; `refusing`: REFUSED; `lame`:
    nothing but a hint to other servers;
    `truncating`: over UDP only that the answer is too long, `by_tcp` lists what was asked by TCP.
    All may be changed while it runs. `asked` lists the questions.
    While `holding` is set no question is answered; `let_go` answers those that came. `mute`: a
    server that is not there.
    """

    def __init__(self, zone_text: str) -> None:
        text = "@ 300 IN SOA ns. admin. 1 300 300 300 5\n@ 300 IN NS ns.\n" + zone_text
        self._zone = dns.zone.from_text(text, origin=".", relativize=False)
        self.failing: set[tuple[str, str]] = set()
        self.silent: set[tuple[str, str]] = set()
        self.missing: set[tuple[str, str]] = set()
        self.refusing: set[tuple[str, str]] = set()
        self.lame: set[tuple[str, str]] = set()
        self.truncating: set[tuple[str, str]] = set()
        self.by_tcp: list[tuple[str, str]] = []
        self.asked: list[tuple[str, str]] = []
        self.holding = self.mute = False
        self._held: list[tuple[bytes, tuple[str, int]]] = []
        self._came = asyncio.Event()
        self.port = 0
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)
        self.port = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        query = dns.message.from_wire(data)
        question = query.question[0]
        name = question.name.to_text(omit_final_dot=True).lower()
        kind = dns.rdatatype.to_text(question.rdtype)
        self.asked.append((name, kind))
        self._came.set()
        if self.holding:
            self._held.append((data, addr))
        elif not self.mute and not self.silent & {(name, kind), (name, "*")} and self._transport:
            answer = self._answer(query, name, kind)
            if self.truncating & {(name, kind), (name, "*")}:
                answer.flags |= dns.flags.TC
                answer.answer.clear()
            self._transport.sendto(answer.to_wire(), addr)

    async def over_tcp(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One question."""
        length = int.from_bytes(await reader.readexactly(2))
        query = dns.message.from_wire(await reader.readexactly(length))
        name = query.question[0].name.to_text(omit_final_dot=True).lower()
        kind = dns.rdatatype.to_text(query.question[0].rdtype)
        self.by_tcp.append((name, kind))
        answer = self._answer(query, name, kind).to_wire(max_size=65535)
        writer.write(len(answer).to_bytes(2) + answer)
        await writer.drain()
        writer.close()

    async def came(self, questions: int) -> None:
        """Waits until so many questions have come."""
        async with asyncio.timeout(10.0):
            while len(self.asked) < questions:
                self._came.clear()
                await self._came.wait()

    def let_go(self) -> None:
        """Answers what was held, in the order in which it came."""
        self.holding = False
        held, self._held = self._held, []
        for data, addr in held:
            self.asked.pop(0)
            self.datagram_received(data, addr)

    def _answer(self, query: dns.message.Message, name: str, kind: str) -> dns.message.Message:
        response = dns.message.make_response(query)
        response.flags |= dns.flags.RA
        for asked, rcode in (
            (self.failing, dns.rcode.SERVFAIL),
            (self.refusing, dns.rcode.REFUSED),
            (self.missing, dns.rcode.NXDOMAIN),
        ):
            if asked & {(name, kind), (name, "*")}:
                response.set_rcode(rcode)
                return response
        if self.lame & {(name, kind), (name, "*")}:
            response.flags &= ~dns.flags.RA
            response.authority.append(dns.rrset.from_text(".", 300, "IN", "NS", "elsewhere."))
            return response
        self._fill(response, query.question[0].name, query.question[0].rdtype)
        return response

    def _fill(
        self, response: dns.message.Message, name: dns.name.Name, kind: dns.rdatatype.RdataType
    ) -> None:
        """Follows CNAMEs within the zone."""
        for _ in range(8):
            if self._zone.get_node(name) is None:
                response.set_rcode(dns.rcode.NXDOMAIN)
                return
            alias = self._zone.get_rrset(name, dns.rdatatype.CNAME)
            found = alias or self._zone.get_rrset(name, kind)
            if found is not None:
                response.answer.append(found)
            if alias is None:
                return
            name = alias[0].target


@contextlib.asynccontextmanager
async def serving_dns(
    zone_text: str, ip: str = "127.0.0.1", port: int = 0, *, tcp: bool = False
) -> AsyncIterator[DnsServer]:
    """A running server; its `port` is on `ip`. `tcp`: for TCP too."""
    loop = asyncio.get_running_loop()
    async with contextlib.AsyncExitStack() as stack:
        server = DnsServer(zone_text)
        if tcp:
            listener = await asyncio.start_server(server.over_tcp, ip, port)
            stack.callback(listener.close)
            port = listener.sockets[0].getsockname()[1]
        transport, _ = await loop.create_datagram_endpoint(lambda: server, local_addr=(ip, port))
        stack.callback(transport.close)
        yield server
