"""Headers mean what they mean to nats-py, which reads them letter by letter."""

import pytest
from nats.aio.client import Client

from tubepost.nats_headers import HeaderClient

BLOCKS = [
    b"",
    b'Nats-Stream: QUEUE_0\r\nNats-Sequence: 12\r\nTubepost: {"s": "a: b"}\r\n\r\n',
    b"Name:value\r\n Name2 :\tvalue \r\nEmpty:\r\n: no name\r\nno colon\r\n",
    b"Two words: x\r\nA\tTab: x\r\nAll\x1cthe\x1dodd: x\r\nGood: y\r\n",
    b"N\xc3\xa4me: x\r\nValue: \xc3\xa4\r\nBroken: \xff\r\n",
    b"Twice: 1\r\nTwice: 2\r\n",
]


@pytest.mark.parametrize("block", BLOCKS)
def test_a_block_is_read_as_nats_py_reads_it(block: bytes) -> None:
    for _ in range(2):  # the second time its names are known
        assert HeaderClient._parse_header_lines(block) == Client._parse_header_lines(block)
