"""The bench's own arithmetic: a wrong ratio or a wrong checksum would speak for itself in every figure."""

import contextlib
import io
import json
import os
import struct
import sys
import tempfile
import unittest
import xml.etree.ElementTree

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "..", "bench"))

import captures  # noqa: E402
import contests  # noqa: E402
import plot  # noqa: E402
import results  # noqa: E402
import run  # noqa: E402
from baton import Baton, BatonFailed  # noqa: E402
from series import Series  # noqa: E402
from sources import Sources  # noqa: E402


def ones_complement(data):
    total = 0
    for word in struct.unpack(f"!{len(data) // 2}H", data.ljust(len(data) + len(data) % 2, b"\0")):
        total = (total + word) % 0xFFFF
    return total


def packets(path):
    with open(path, "rb") as file:
        data = file.read()
    offset = 24
    while offset < len(data):
        length = struct.unpack_from("<I", data, offset + 8)[0]
        yield data[offset + 16 : offset + 16 + length]
        offset += 16 + length


class CaptureTests(unittest.TestCase):
    def test_every_packet_is_right(self):
        for ipv6 in (False, True):
            for size, opens in (("64", False), ("512", False), ("imix", False), ("64", True)):
                with self.subTest(ipv6=ipv6, size=size, opens=opens), tempfile.TemporaryDirectory() as directory:
                    path = captures.capture(directory, 50, size, ipv6, first=7, opens=opens)
                    found = list(packets(path))
                    self.assertEqual(len(found), 50)
                    for frame in found:
                        self.check(frame, ipv6, opens)

    def check(self, frame, ipv6, opens):
        ip = frame[14:]
        if ipv6:
            self.assertEqual(frame[12:14], b"\x86\xdd")
            length = struct.unpack_from("!H", ip, 4)[0]
            addresses, tcp = ip[8:40], ip[40 : 40 + length]
        else:
            self.assertEqual(ones_complement(ip[:20]), 0)
            length = struct.unpack_from("!H", ip, 2)[0] - 20
            addresses, tcp = ip[12:20], ip[20 : 20 + length]
        self.assertEqual(len(tcp), length)
        self.assertEqual(ones_complement(addresses + struct.pack("!HH", 6, length) + tcp), 0)
        self.assertEqual(tcp[13], 0x02 if opens else 0x10)
        if opens:
            self.assertEqual(length, tcp[12] >> 4 << 2, "a first SYN has no payload")

    def test_each_connection_comes_once_and_is_the_one_of_the_rules(self):
        with tempfile.TemporaryDirectory() as directory:
            found = {frame[26:34] + frame[34:36] for frame in packets(captures.capture(directory, 300, first=40))}
        wanted = set()
        for index in range(40, 340):
            client, server, port, _ = captures.flow_addresses(index)
            wanted.add(bytes(map(int, client.split("."))) + bytes(map(int, server.split("."))) + struct.pack("!H", port))
        self.assertEqual(found, wanted)

    def test_a_flood_takes_the_place_of_as_many_packets(self):
        for syns in range(3):
            with self.subTest(syns), tempfile.TemporaryDirectory() as directory:
                found = list(packets(captures.flooded(directory, 300, syns)))
                for frame in found:
                    self.check(frame, False, opens=frame[47] == 0x02)
                opening = {frame[26:36] for frame in found if frame[47] == 0x02}
                flows = [frame[26:36] for frame in found if frame[47] != 0x02]
                self.assertEqual((len(opening), len(flows)), (300 * syns, 300 * (2 - syns)))
                self.assertEqual(len(set(flows)), 300 if syns < 2 else 0)
                self.assertFalse(opening & set(flows), "nobody opens what is there")
                # In any part of the capture about as many of either.
                self.assertAlmostEqual(sum(frame[47] == 0x02 for frame in found[:200]), 100 * syns, delta=40)

    def test_the_internet_mix_is_spread_over_the_frames(self):
        with tempfile.TemporaryDirectory() as directory:
            lengths = [len(frame) for frame in packets(captures.capture(directory, 120, "imix"))]
        self.assertEqual([lengths.count(size - 4) for size in (64, 570, 1518)], [70, 40, 10])


def contest(unit="Mpps", goal=None):
    return contests.Contest(
        [contests.Figure("row", unit, "value", "peer", goal)], None, {}, {"flows": 1}, 0, notes=("note",)
    )


def rounds(*pairs):
    return [{"baton": {"value": own, "note": own}, "peer": {"value": other}} for own, other in pairs]


class ResultTests(unittest.TestCase):
    def row(self, pairs, unit="Mpps", goal=None):
        one = contest(unit, goal)
        return results.row(one, one.figures[0], rounds(*pairs))

    def test_the_ratio_is_that_of_the_turns(self):
        # The machine is half as fast in the last two turns: the ratio of the medians would be 2.
        row = self.row([(10, 10), (10, 10), (5, 5), (5, 5), (10, 5)])
        self.assertEqual((row["baton"], row["peerValue"], row["ratio"]), (10, 5, 1))

    def test_of_costs_less_is_better(self):
        self.assertEqual(self.row([(20, 60)], "clocks")["ratio"], 3)
        self.assertEqual(self.row([(20, 60)], "Mpps")["ratio"], 0.333)

    def test_goals(self):
        self.assertIs(self.row([(8, 10)], goal=0.8)["met"], True)
        self.assertIs(self.row([(7, 10)], goal=0.8)["met"], False)
        self.assertNotIn("met", self.row([(7, 10)]))

    def test_spread_and_notes_are_those_of_the_turns(self):
        row = self.row([(8, 10), (10, 10), (13, 10)])
        self.assertEqual(row["spread"], {"baton": 0.5, "peer": 0, "ratio": 0.5})
        self.assertEqual(row["conditions"], {"flows": 1, "rounds": 3, "note": 10})

    def test_the_table_says_what_is_missed(self):
        lines = results.table([self.row([(7, 10)], goal=0.8), self.row([(9, 10)], goal=0.8)]).splitlines()
        self.assertIn("missed", lines[1])
        self.assertIn("met", lines[2])


class ContestTests(unittest.TestCase):
    def setUp(self):
        sources = Sources("/nonexistent", "/nonexistent")
        self.contests = [
            *contests.Programme(None, None, sources).contests(), *Series(None, None, sources).contests()
        ]

    def test_the_promised_rows_are_there(self):
        rows = set().union(*(one.rows for one in self.contests))
        promised = {"forward-io", "forward-macswap", "synflood", "syn-answers", "transfers", "memory-per-flow"}
        promised |= {"synflood-cookie", "synflood-established", "synflood-download", "synproxy", "synproxy-apart", "translate"}
        promised |= {"forwarder", "blob", "evacuate"}
        for name in contests.COUNTS:
            promised |= {f"{kind}-{name}" for kind in ("transferred", "table", "table-insert", "table-delete")}
            promised |= {f"ipv6-transferred-{name}", f"ipv6-table-{name}"}
        self.assertEqual(promised - rows, set())

    def test_no_figure_comes_twice_and_each_has_its_peer(self):
        figures = [figure for one in self.contests for figure in one.figures]
        self.assertEqual(len(figures), len({(figure.row, figure.unit, figure.peer) for figure in figures}))
        for one in self.contests:
            self.assertLessEqual({figure.peer for figure in one.figures}, set(one.peers))

    def test_hugepages_stay_below_eight_gigabytes(self):
        self.assertLess(max(one.hugepage_bytes for one in self.contests), 7 << 30)


class FakeBaton(Baton):
    """Says what it is told to."""

    def __init__(self, **counters):
        super().__init__("/nonexistent", "/nonexistent", 1, 1)
        self._counters = {"imbalance": 0, "receivedFromClients": 100, "transmittedToServers": 100, **counters}

    def _run_on_ports(self, *_, **__):
        return {"counters": self._counters}


class BatonTests(unittest.TestCase):
    def test_a_lost_packet_fails_the_run(self):
        FakeBaton().transferred(None, 1)
        for counters in ({"transmittedToServers": 99}, {"imbalance": 1}, {"passedNotCandidate": 1}):
            with self.subTest(counters), self.assertRaises(BatonFailed):
                FakeBaton(**counters).transferred(None, 1)

    def test_what_is_between_workers_is_not_lost(self):
        FakeBaton(
            handedOver=50, receivedHandedOver=48, droppedHandOverFull=3, transmittedToServers=95
        ).transferred(None, 1, workers=2)

    def test_a_flood_must_find_the_table_full(self):
        FakeBaton(passedTableFull=100).synflood(None, 1)
        for counters in ({"passedTableFull": 99}, {"passedTableFull": 100, "flowsCreated": 1}):
            with self.subTest(counters), self.assertRaises(BatonFailed):
                FakeBaton(**counters).synflood(None, 1)

    def test_every_syn_must_be_answered(self):
        counters = {"received": 100, "transmitted": 100, "answered": 100}
        FakeBaton(**counters).syn_answers(None)
        for name in counters:
            with self.subTest(name), self.assertRaises(BatonFailed):
                FakeBaton(**{**counters, name: 99}).syn_answers(None)

    def test_of_a_flooded_worker_the_flood_pays_its_share(self):
        class Flooded(FakeBaton):
            def _run_on_ports(self, command, traffic, *arguments, **environment):
                if traffic == "both":
                    return {"counters": self._counters, "clocksPerPacket": 500}
                answered = {"receivedFromClients": 9, "synsAnswered": 9, "transmittedToClients": 9, "imbalance": 0}
                return {"counters": answered, "clocksPerPacket": 300}

        halves = {"synsAnswered": 50, "transmittedToServers": 50}
        report = Flooded(**halves).flooded("both", "flood", 1)
        self.assertEqual((report["clocksPerPacket"], report["clocksPerSYN"]), (200, 300))
        for counters in ({"synsAnswered": 49}, {"synsAnswered": 60, "transmittedToServers": 40}, {"imbalance": 1}):
            with self.subTest(counters), self.assertRaises(BatonFailed):
                Flooded(**{**halves, **counters}).flooded("both", "flood", 1)

    def test_hits_are_counted(self):
        FakeBaton(passedNotCandidate=50).transferred(None, 1, hit=50)
        with self.assertRaises(BatonFailed):
            FakeBaton(passedNotCandidate=30).transferred(None, 1, hit=50)


def series_rows():
    for name in contests.COUNTS:
        row = f"transferred-{name}" + ("" if name == "10m" else "-written")
        for peer in (contests.SWAP, contests.EXACT):
            yield {"name": row, "unit": "Mpps", "peer": peer, "baton": 20.5, "peerValue": 30, "ratio": 0.7}


class PlotTests(unittest.TestCase):
    def test_it_is_a_drawing_with_a_line_for_each_program(self):
        root = xml.etree.ElementTree.fromstring(plot.svg(list(series_rows()), "a <machine> & more"))
        lines = root.findall("{http://www.w3.org/2000/svg}polyline")
        self.assertEqual([len(line.get("points").split()) for line in lines], [4, 4, 4])

    def test_nothing_is_drawn_without_rows(self):
        self.assertIsNone(plot.svg([], "machine"))


class ReportTests(unittest.TestCase):
    def report(self, rows, failures):
        written, output = {}, io.StringIO()
        described = {"cpu": "c", "kernel": "k", "dpdk": "d", "swift": "s"}
        original, run.write = run.write, written.__setitem__
        try:
            with contextlib.redirect_stdout(output):
                status = run.report(rows, failures, described, 1)
        finally:
            run.write = original
        last = output.getvalue().splitlines()[-1]
        self.assertTrue(last.startswith("bench: {"))
        return status, json.loads(last[len("bench: ") :]), written

    def test_figures_never_fail_the_run(self):
        one = contest(goal=2)
        status, last, written = self.report([results.row(one, one.figures[0], rounds((1, 1)))], [])
        self.assertEqual((status, last["ok"]), (0, True))
        self.assertEqual(
            last["rows"],
            [{"name": "row", "unit": "Mpps", "peer": "peer", "ratio": 1.0, "goal": 2, "met": False}],
        )
        self.assertEqual(json.loads(written["bench.json"])[0]["conditions"]["flows"], 1)

    def test_a_failed_program_does(self):
        status, last, _ = self.report([], ["row: why"])
        self.assertEqual((status, last["ok"], last["failed"]), (1, False, ["row: why"]))


if __name__ == "__main__":
    unittest.main()
