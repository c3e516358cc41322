"""The demo's scenarios, each a test."""

from .laboratory_case import LaboratoryCase, scenarios
from lab.capture import ControlPackets
from lab.witnesses import expert_errors

MEBIBYTE = 1 << 20
#: They take long, and others play them to look closer: test_drain, test_reload, test_keys.
PLAYED_ELSEWHERE = (scenarios.drain, scenarios.reload, scenarios.rotate)


def packet_offsets(data):
    """Where the frames of a pcap file begin."""
    offset = 24
    while offset + 16 <= len(data):
        yield offset + 16
        offset += 16 + int.from_bytes(data[offset + 8 : offset + 12], "little")


class Scenarios(LaboratoryCase):
    datagrams = True
    files = {"cached.bin": (16 * MEBIBYTE, True), "narrow.bin": (48 * MEBIBYTE, True), "huge.bin": (512 * MEBIBYTE, True)}

    def tearDown(self):
        self.assertNothingHeld()
        self.assertConserved()

    def test_invariant1_the_client_sees_no_control_packet(self):
        """Invariant 1, and that the count of it can fail: a client's capture with a reset in it is told."""
        result = self.play(scenarios.keepalive, "invariant1")
        self.assertEqual(result["row"]["clientControlPackets"], 0)
        captured = self.services.path("invariant1-c0.pcap")
        spoilt = self.services.path("invariant1-spoilt.pcap")
        with open(captured, "rb") as file:
            data = bytearray(file.read())
        last = max(at for at in packet_offsets(data) if data[at + 12 : at + 14] == b"\x08\x00" and data[at + 23] == 6)
        data[last + 14 + 20 + 13] |= 4
        with open(spoilt, "wb") as file:
            file.write(data)
        self.assertEqual(ControlPackets().read(spoilt, {80}).count, 1)
        self.assertEqual((expert_errors(captured), len(expert_errors(spoilt))), ([], 1), "its checksum is wrong, too")

    def test_invariant6_every_packet_has_one_fate(self):
        """Invariant 6: what came in went out, is held, or was dropped for a counted reason."""
        before = self.services.counters()
        self.play(scenarios.cached, "invariant6")
        self.assertConserved()
        self.assertGreater(self.counted["receivedFromClients"], before["receivedFromClients"])


def _add(scenario):
    def test(self):
        self.play(scenario)

    test.__doc__ = scenario.__doc__
    setattr(Scenarios, f"test_{scenario.__name__.replace('-', '_')}", test)


for _scenario in scenarios.ALL:
    if _scenario not in PLAYED_ELSEWHERE:
        _add(_scenario)
