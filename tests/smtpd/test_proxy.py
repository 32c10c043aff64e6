"""PROXY headers as balancers write them, as nobody should, and as noise; parsed octet by octet."""

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.smtpd.proxy import BINARY, LONGEST, LONGEST_TEXT, TEXT, Header, begins, parse
from tubepost.errors import BadInput

V4 = bytes([192, 0, 2, 7, 10, 0, 0, 1]) + b"\x10\x00\x00\x19"
V6 = ip_address("2001:db8::7").packed + ip_address("::1").packed + b"\x10\x00\x00\x19"


def binary(command: int, family: int, rest: bytes) -> bytes:
    return BINARY + bytes([command, family]) + len(rest).to_bytes(2, "big") + rest


LONGEST_V1 = b"PROXY TCP6 " + b" ".join([b"ffff:" * 7 + b"ffff"] * 2) + b" 65535 65535\r\n"

HEADERS = [
    (b"PROXY TCP4 192.0.2.7 10.0.0.1 56324 25\r\n", "192.0.2.7"),
    (b"PROXY TCP6 2001:DB8:0::7 ::1 0 65535\r\n", "2001:db8::7"),
    (b"PROXY TCP6 ::ffff:192.0.2.7 ::1 1 2\r\n", "192.0.2.7"),
    (LONGEST_V1, "ffff:" * 7 + "ffff"),
    (b"PROXY UNKNOWN\r\n", ""),
    (b"PROXY UNKNOWN ffff::1 what ever\r\n", ""),
    (binary(0x21, 0x11, V4), "192.0.2.7"),
    (binary(0x21, 0x21, V6), "2001:db8::7"),
    (binary(0x21, 0x11, V4 + b"\x04\x00\x03abc"), "192.0.2.7"),
    (binary(0x21, 0x21, V6 + bytes(LONGEST - 16 - len(V6))), "2001:db8::7"),
    (binary(0x20, 0x00, b""), ""),
    (binary(0x20, 0x11, V4), ""),
    (binary(0x20, 0xFF, b"what ever"), ""),
    (binary(0x21, 0x00, b""), ""),
]

BROKEN = [
    b"EHLO client.example\r\n",
    b"\r\nEHLO client.example\r\n",
    b"proxy TCP4 192.0.2.7 10.0.0.1 1 2\r\n",
    b"PROXY\r\n",
    b"PROXY  TCP4 192.0.2.7 10.0.0.1 1 2\r\n",
    b"PROXY TCP4 192.0.2.7 10.0.0.1 1\r\n",
    b"PROXY TCP4 192.0.2.7 10.0.0.1 1 2 \r\n",
    b"PROXY TCP4 192.0.2.7 10.0.0.1 1 65536\r\n",
    b"PROXY TCP4 192.0.2.7 10.0.0.1 -1 2\r\n",
    b"PROXY TCP4 192.0.2.7 10.0.0.1 \xb2 2\r\n",
    b"PROXY TCP4 192.0.2.256 10.0.0.1 1 2\r\n",
    b"PROXY TCP4 2001:db8::7 ::1 1 2\r\n",
    b"PROXY TCP6 192.0.2.7 10.0.0.1 1 2\r\n",
    b"PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n",
    b"PROXY TCP4 192.0.2.7 mail.example 1 2\r\n",
    b"PROXY TCP5 192.0.2.7 10.0.0.1 1 2\r\n",
    b"PROXY UNKNOWN " + b"x" * LONGEST_TEXT,
    binary(0x31, 0x11, V4),
    binary(0x22, 0x11, V4),
    binary(0x21, 0x12, V4),
    binary(0x21, 0x31, bytes(216)),
    binary(0x21, 0x11, V4[:-1]),
    binary(0x21, 0x21, V4),
    binary(0x21, 0x11, bytes(LONGEST)),
]


@pytest.mark.parametrize(("octets", "client"), HEADERS)
def test_a_header_is_read_to_its_end_and_no_further(octets: bytes, client: str) -> None:
    wanted = Header(client, len(octets))
    assert parse(octets) == wanted
    assert parse(octets + b"EHLO x\r\n") == wanted


@pytest.mark.parametrize("octets", [octets for octets, _ in HEADERS])
def test_a_part_of_a_header_wants_more(octets: bytes) -> None:
    assert {parse(octets[:end]) for end in range(len(octets))} == {None}
    assert all(begins(octets[:end]) for end in range(len(octets)))


@pytest.mark.parametrize("octets", BROKEN)
def test_what_is_no_header_is_refused(octets: bytes) -> None:
    with pytest.raises(BadInput):
        parse(octets)


def test_the_longest_text_of_the_specification_fits() -> None:
    assert len(LONGEST_V1) == 104
    assert len(b"PROXY UNKNOWN " + LONGEST_V1[len(b"PROXY TCP6 ") :]) == LONGEST_TEXT


NOISE = st.builds(
    lambda start, rest: start + rest,
    st.sampled_from([b"", TEXT, TEXT + b"TCP4 ", TEXT + b"TCP6 ", BINARY, BINARY + b"\x21\x11"]),
    st.binary(max_size=400),
)
MANGLED = st.builds(
    lambda octets, at, octet: octets[:at] + bytes([octet]) + octets[at + 1 :],
    st.sampled_from([octets for octets, _ in HEADERS]),
    st.integers(0, 120),
    st.integers(0, 255),
)


@given(NOISE | MANGLED)
def test_noise_is_a_header_or_none_or_wants_more_within_bounds(octets: bytes) -> None:
    try:
        header = parse(octets)
    except BadInput:
        return
    if header is None:
        assert len(octets) < LONGEST
    else:
        assert header.length <= len(octets)
        assert not header.client or str(ip_address(header.client)) == header.client


@given(NOISE | MANGLED)
def test_what_is_said_of_a_part_stays_true_of_the_whole(octets: bytes) -> None:
    """The octets come in any pieces: the outcome is the same as of all at once."""

    def outcome(part: bytes) -> Header | str | None:
        try:
            return parse(part)
        except BadInput:
            return "refused"

    first = next((found for n in range(len(octets)) if (found := outcome(octets[:n]))), None)
    assert first is None or first == outcome(octets)


@given(st.ip_addresses(v=4), st.ip_addresses(v=6), st.binary(max_size=300))
def test_every_address_comes_through(v4: object, v6: object, additions: bytes) -> None:
    for number in (ip_address(str(v4)), ip_address(str(v6))):
        mapped = number.ipv4_mapped if number.version == 6 else None
        family = 0x11 if number.version == 4 else 0x21
        packed = binary(0x21, family, number.packed * 2 + bytes(4) + additions)
        text = f"PROXY TCP{number.version} {number} {number} 1 2\r\n".encode()
        for header in (parse(packed), parse(text)):
            assert header
            assert header.client == str(mapped or number)
