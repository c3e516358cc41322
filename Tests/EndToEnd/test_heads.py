"""Rule 4: the bound of the hold."""

from .laboratory_case import CACHED_HOST, LaboratoryCase, topology
from lab.capture import read_segments
from lab.downloads import segmented_get
from lab.scenarios import Played


def head_of(size):
    """Headers that make the whole head `size` bytes."""
    fixed = len(f"GET /small.bin HTTP/1.1\r\nHost: {CACHED_HOST}\r\nUser-Agent: segments\r\n\r\n")
    headers, left = "", size - fixed
    while left > 0:
        line = min(left, 4000)
        if 0 < left - line < 40:
            line -= 40
        headers += "X-Fill: " + "f" * (line - len("X-Fill: \r\n")) + "\\r\\n"
        left -= line
    return headers


def big_head(size, expected):
    def scenario(laboratory):
        got = segmented_get(laboratory.topology, topology.v4("origin"), CACHED_HOST, "/small.bin", [size], headers=head_of(size))
        return Played(got, ["small.bin"], expected)

    return scenario


class Heads(LaboratoryCase):
    def test_rule4_a_head_of_14000_bytes_is_transferred(self):
        self.play(big_head(14_000, "proxy"), "head14000")

    def test_rule4_a_head_of_16_kib_goes_to_the_origin_without_a_retransmission(self):
        result = self.play(big_head(16_384, "origin"), "head16384")
        path = self.services.path("head16384-c0.pcap")
        self.assertEqual(client_retransmissions(path), 0, result["timeline"])


def client_retransmissions(path):
    highest, again = {}, 0
    for segment in read_segments(path):
        if segment.destination[1] == 80 and segment.length > 0:
            end = segment.sequence + segment.length
            if end <= highest.get(segment.source, 0):
                again += 1
            highest[segment.source] = max(end, highest.get(segment.source, 0))
    return again
