"""What is measured against what. A contest is one run of Baton and one of each peer, repeated in turns."""

from collections import namedtuple

from synflood import ALONGSIDE, APART

#: A figure that a contest yields: the row's name, its unit, the key in what both sides return, the peer, and the ratio
#: that is the goal, if there is one.
Figure = namedtuple("Figure", "row unit key peer goal", defaults=[None])

#: Sizes of tables and numbers of flows, as rows are named.
COUNTS = {"1k": 1_000, "100k": 100_000, "1m": 1_000_000, "10m": 10_000_000}

#: Units in which less is better.
COSTS = {"clocks", "bytes", "µs"}

#: Clocks that a packet of a transferred flow may cost with a million flows, the port's own cost included: about a third
#: of the graph of VPP's load balancer.
CLOCKS_PER_PACKET = 120
#: Bytes that a flow may cost, all of the table counted.
BYTES_PER_FLOW = {False: 64, True: 128}

SWAP, EXACT, PREFIX, HASH, LIMIT, TWIN, SOURCE = (
    "testpmd 5tswap", "l3fwd exact match", "l3fwd LPM", "rte_hash", "limit", "baton IPv4", "source alone",
)

#: What l3fwd's two tables take with room for 4 million and for 16 million flows each, about.
L3FWD_BYTES = {False: 640 << 20, True: 2560 << 20}

#: Transfers that one control core is to do.
TRANSFERS_PER_SECOND = 500_000
#: Hugepages of their program.
TRANSFERS_BYTES = 512 << 20

#: Rounds of contests whose rounds take a minute.
LONG = 3
#: Times as many rounds for contests of two loops that do next to nothing, so that what lies where decides.
SWINGS = 3

#: Of the larger of both programs' tables and its keys, for each key; IPv4 and IPv6.
TABLE_BYTES = {False: 256, True: 320}


class Contest:
    """`baton` and every value of `peers` are functions without arguments that measure once and return a dictionary."""

    def __init__(self, figures, baton, peers, conditions, hugepage_bytes, notes=(), most_rounds=None, times_rounds=1):
        self.figures = figures
        self.baton = baton
        self.peers = peers
        self.conditions = conditions
        self.hugepage_bytes = hugepage_bytes
        #: Of what Baton returns besides, the keys that go into the conditions.
        self.notes = notes
        #: Where one round takes long, as many as are worth it.
        self.most_rounds = most_rounds
        #: Where rounds differ much, times as many.
        self.times_rounds = times_rounds

    @property
    def rows(self):
        return {figure.row for figure in self.figures}


class Programme:
    """Every contest of `make bench`, in order."""

    def __init__(self, baton, peers, sources):
        self._baton = baton
        self._peers = peers
        self._sources = sources

    def contests(self):
        for mode in ("io", "macswap"):
            yield self._forwarding(mode)
        for source, suffix in ((self._sources.captured, ""), (self._sources.written, "-written")):
            for name in ("1k", "100k", "1m"):
                yield self._transferred(name, source, suffix)
                yield self._transferred_ipv6(name, source, suffix)
        yield self._transferred("10m", self._sources.written)
        yield self._transferred_ipv6("10m", self._sources.written)
        yield self._synflood("1m")
        yield self._syn_answers("1m")
        yield self._synflood_cookie("1m")
        yield self._synflood_established("100k")
        yield self._synflood_download()
        yield self._synproxy("synproxy", ALONGSIDE)
        yield self._synproxy("synproxy-apart", APART)
        yield self._translate("100k")
        yield self._forwarder("100k")
        yield self._listing("1m")
        for name in COUNTS:
            yield self._table(name)
            yield self._table_ipv6(name)
        yield self._transfers("control", "transfers")
        yield self._transfers("whole", "transfers-whole")
        yield self._wake_up()
        yield self._replay_download()
        yield self._blob()
        yield self._evacuate()

    def _forwarding(self, mode, flows=1_000):
        traffic = self._sources.captured(flows)
        peer = f"testpmd {mode}"
        return Contest(
            [Figure(f"forward-{mode}", "Mpps", "mpps", peer, 1.0)],
            lambda: self._baton.forward(mode, traffic),
            {peer: lambda: self._peers.testpmd(mode, traffic)},
            {"flows": flows, "frame": 64, "burst": 32, "source": traffic.name},
            traffic.hugepage_bytes,
            times_rounds=SWINGS,
        )

    def _transferred(self, name, source, suffix=""):
        """A whole worker, IPv4."""
        flows = COUNTS[name]
        traffic = source(flows)
        row = f"transferred-{name}{suffix}"
        is_goal = name == "100k" and not suffix
        figures = [
            Figure(row, "Mpps", "mpps", SWAP, 0.8 if is_goal else None),
            Figure(row, "Mpps", "mpps", EXACT, 1.2 if is_goal else None),
        ]
        peers = {
            SWAP: lambda: self._peers.testpmd("5tswap", traffic),
            EXACT: lambda: self._peers.l3fwd("em", traffic, flows),
        }
        if traffic.name == "captured":
            figures.append(Figure(row, "Mpps", "mpps", PREFIX))
            peers[PREFIX] = lambda: self._peers.l3fwd("lpm", traffic, flows)
        if name == "1m":
            figures.append(Figure(row, "clocks", "clocksPerPacket", LIMIT, 1.0))
            peers[LIMIT] = lambda: {"clocksPerPacket": CLOCKS_PER_PACKET}
        if name == "10m":
            few = source(COUNTS["1k"])
            figures.append(Figure(row, "Mpps", "mpps", "baton transferred-1k"))
            peers["baton transferred-1k"] = lambda: self._baton.transferred(few, COUNTS["1k"])
        # What the source and the ports cost by themselves.
        figures.append(Figure(row, "clocks", "clocksPerPacket", SOURCE))
        peers[SOURCE] = lambda: self._baton.forward("io", traffic)
        return Contest(
            figures, lambda: self._baton.transferred(traffic, flows), peers,
            {"flows": flows, "frame": 64, "burst": 32, "source": traffic.name},
            traffic.hugepage_bytes + max(L3FWD_BYTES[name == "10m"], flows * 80),
        )

    def _transferred_ipv6(self, name, source, suffix=""):
        """The same for IPv6, and how it compares with IPv4."""
        flows = COUNTS[name]
        traffic, twin = source(flows, ipv6=True), source(flows)
        return Contest(
            [
                Figure(f"transferred-{name}{suffix}-ipv6", "Mpps", "mpps", EXACT),
                Figure(f"ipv6-transferred-{name}{suffix}", "Mpps", "mpps", TWIN, 0.8),
                # An IPv6 frame has two cache lines, which the ports copy.
                Figure(f"transferred-{name}{suffix}-ipv6", "clocks", "clocksPerPacket", SOURCE),
            ],
            lambda: self._baton.transferred(traffic, flows, ipv6=True),
            {
                EXACT: lambda: self._peers.l3fwd("em", traffic, flows, ipv6=True),
                TWIN: lambda: self._baton.transferred(twin, flows),
                SOURCE: lambda: self._baton.forward("io", traffic),
            },
            {"flows": flows, "ipv6": True, "frame": 64, "burst": 32, "source": traffic.name},
            traffic.hugepage_bytes + max(L3FWD_BYTES[name == "10m"], flows * 112),
        )

    def _synflood(self, name):
        flows = COUNTS[name]
        flood = self._sources.captured(flows, first=flows, opens=True)
        traffic = self._sources.captured(flows)
        peer = f"baton transferred-{name}"
        return Contest(
            [Figure("synflood", "Mpps", "mpps", peer, 0.5)],
            lambda: self._baton.synflood(flood, flows),
            {peer: lambda: self._baton.transferred(traffic, flows)},
            {"flows": flows, "newFlows": flows, "frame": 64, "burst": 32, "source": flood.name},
            traffic.hugepage_bytes + flows * 80,
        )

    def _syn_answers(self, name):
        """The answering of SYNs by itself, over ports, beside a worker."""
        flows = COUNTS[name]
        flood = self._sources.captured(flows, first=flows, opens=True)
        traffic = self._sources.captured(flows)
        peer = f"baton transferred-{name}"
        return Contest(
            [Figure("syn-answers", "Mpps", "mpps", peer, 0.5)],
            lambda: self._baton.syn_answers(flood),
            {peer: lambda: self._baton.transferred(traffic, flows)},
            {"flows": flows, "frame": 64, "burst": 32, "source": flood.name},
            traffic.hugepage_bytes + flows * 80,
        )

    def _synflood_cookie(self, name):
        """A whole worker that answers a flood, its table full of flows that go on."""
        flows = COUNTS[name]
        flood = self._sources.captured(flows, first=flows, opens=True)
        traffic = self._sources.captured(flows)
        peer = f"baton transferred-{name}"
        return Contest(
            [Figure("synflood-cookie", "Mpps", "mpps", peer, 0.5)],
            lambda: self._baton.synflood_cookie(flood, flows),
            {peer: lambda: self._baton.transferred(traffic, flows)},
            {"flows": flows, "frame": 64, "burst": 32, "source": flood.name},
            traffic.hugepage_bytes + flows * 80,
        )

    def _synflood_established(self, name):
        """What a flood takes from the packets of transferred flows beyond its own share of the time."""
        flows = COUNTS[name]
        quiet, both, flood = (self._sources.flooded(flows, syns) for syns in range(3))
        peer = "baton, no flood"
        return Contest(
            [Figure("synflood-established", "clocks", "clocksPerPacket", peer, 0.95)],
            lambda: self._baton.flooded(both, flood, flows),
            {peer: lambda: self._baton.transferred(quiet, flows)},
            {"flows": flows, "synsPerPacket": 1, "frame": 64, "burst": 32, "source": both.name},
            quiet.hugepage_bytes + flows * 80,
            times_rounds=SWINGS,
            notes=("clocksPerSYN",),
        )

    def _synflood_download(self):
        """A download from a virtual server that keeps its rate, while others flood that with SYNs."""
        peer = "baton, no flood"
        return self._in_turns_with(
            peer, lambda: self._baton.synflood_download(), "flooded", "quiet",
            Figure("synflood-download", "Mbit/s", "mbps", peer, 0.95),
            {"ports": "af_xdp on veth"}, notes=("answersPerSecond",))

    def _synproxy(self, row, where):
        """SYNs over veth, answered with cookies."""
        peer = "SYNPROXY"
        return Contest(
            [Figure(row, "Mpps", "mpps", peer, 1.0)],
            lambda: self._baton.synproxy("director", where),
            {peer: lambda: self._baton.synproxy("kernel", where)},
            {"ports": "af_xdp on veth", "frame": 78, "kernelReceives": where},
            0,
            notes=("sentMpps",),
        )

    def _translate(self, name):
        """A worker whose packets all change their numbers and addresses on the way to an origin."""
        flows = COUNTS[name]
        traffic = self._sources.captured(flows)
        peer = f"baton transferred-{name}"
        return Contest(
            [Figure("translate", "Mpps", "mpps", peer, 0.9)],
            lambda: self._baton.translated(traffic, flows),
            {peer: lambda: self._baton.transferred(traffic, flows)},
            {"flows": flows, "frame": 64, "burst": 32, "source": traffic.name},
            traffic.hugepage_bytes + flows * 80,
            times_rounds=SWINGS,
        )

    def _forwarder(self, name):
        """A forwarder's worker: each packet gets the outer headers of its flow's tunnel, and the flow's identifier."""
        flows = COUNTS[name]
        traffic = self._sources.captured(flows)
        peer = f"baton transferred-{name}"
        return Contest(
            [Figure("forwarder", "Mpps", "mpps", peer, 0.8)],
            lambda: self._baton.forwarded(traffic, flows),
            {peer: lambda: self._baton.transferred(traffic, flows)},
            {"flows": flows, "frame": 64, "burst": 32, "source": traffic.name, "tunnel": "gue over IPv4"},
            traffic.hugepage_bytes + flows * 80,
            times_rounds=SWINGS,
        )

    def _listing(self, name):
        """What a worker loses while an operator counts and searches its flows and Prometheus scrapes."""
        flows = COUNTS[name]
        traffic = self._sources.written(flows)
        peer = "baton, nobody asks"
        quiet = {}

        def asked():
            rates, beside = self._baton.listing(traffic, flows)
            quiet.update(beside)
            return rates

        return Contest(
            [Figure(f"listing-{question}", "Mpps", key, peer, 0.99)
             for question, key in (("count", "count"), ("prefix", "listing"), ("scrape", "scrape"))],
            asked,
            # Both were measured in turns by the same worker.
            {peer: lambda: dict(quiet)},
            {"flows": flows, "frame": 64, "burst": 32, "source": traffic.name},
            traffic.hugepage_bytes + flows * 80,
            notes=tuple(f"{key}{what}" for key in ("count", "listing", "scrape") for what in ("Answers", "Uncertainty")),
        )

    def _table(self, name):
        """The flow table by itself, IPv4."""
        keys = COUNTS[name]
        figures = self._table_figures(f"table{{}}-{name}", HASH, 1.3)
        return Contest(
            figures + self._memory_figures(name, False),
            lambda: self._baton.table(keys),
            {HASH: lambda: self._peers.rte_hash(keys), **self._memory_limit(False)},
            {"keys": keys, "burst": 32},
            keys * TABLE_BYTES[False],
            most_rounds=LONG if name == "10m" else None,
        )

    def _table_ipv6(self, name):
        """The same for IPv6, and how it compares with IPv4."""
        keys = COUNTS[name]
        figures = self._table_figures(f"table{{}}-{name}-ipv6", HASH)
        figures += self._table_figures(f"ipv6-table{{}}-{name}", TWIN, 0.8)
        return Contest(
            figures + self._memory_figures(name, True),
            lambda: self._baton.table(keys, ipv6=True),
            {
                HASH: lambda: self._peers.rte_hash(keys, ipv6=True),
                TWIN: lambda: self._baton.table(keys),
                **self._memory_limit(True),
            },
            {"keys": keys, "ipv6": True, "burst": 32},
            keys * TABLE_BYTES[True],
            most_rounds=LONG if name == "10m" else None,
        )

    @staticmethod
    def _table_figures(row, peer, goal=None):
        keys = {"": "find", "-insert": "insert", "-delete": "delete"}
        return [Figure(row.format(what), "clocks", key, peer, goal) for what, key in keys.items()]

    @staticmethod
    def _memory_figures(name, ipv6):
        """The largest table's bytes for each flow, against the limit and the peer."""
        if name != "10m":
            return []
        row = "memory-per-flow-ipv6" if ipv6 else "memory-per-flow"
        return [Figure(row, "bytes", "bytesPerKey", LIMIT, 1.0), Figure(row, "bytes", "bytesPerKey", HASH)]

    @staticmethod
    def _memory_limit(ipv6):
        return {LIMIT: lambda: {"bytesPerKey": BYTES_PER_FLOW[ipv6]}}

    def _transfers(self, stage, row):
        """Transfers of one control core, sealed frames included."""
        peer = f"goal {TRANSFERS_PER_SECOND}"
        return Contest(
            [Figure(row, "transfers/s", "transfersPerSecond", peer, 1.0 if stage == "control" else None)],
            lambda: self._baton.transfers(stage),
            {peer: lambda: {"transfersPerSecond": TRANSFERS_PER_SECOND}},
            {"stage": stage},
            TRANSFERS_BYTES,
            most_rounds=LONG if stage == "whole" else None,
            notes=("clocksPerTransfer", "holdMicroseconds", "parts", "lost"),
        )

    def _wake_up(self):
        """What a frame waits for when its worker sleeps."""
        peer = "baton, idle: spin"
        return Contest(
            [Figure("wake-up", "µs", "microseconds", peer)],
            lambda: self._baton.wake_up("adaptive"),
            {peer: lambda: self._baton.wake_up("spin")},
            {"ports": "af_xdp on veth", "frame": 64},
            0,
            most_rounds=LONG,
            notes=("percentile99",),
        )

    def _replay_download(self):
        """A download that a replayer translates."""
        peer = "untranslated, the same way"
        return self._in_turns_with(
            peer, lambda: self._baton.replay_download(), "replayed", "plain",
            Figure("replay-download", "Mbit/s", "mbps", peer, 0.95),
            {"ports": "af_xdp on veth, TAP", "bytes": 256 << 20})

    def _blob(self):
        """A connection's blob, from one end of a channel to the other."""
        peer = "its bytes sealed and opened alone"
        last = {}

        def measured():
            report = self._baton.blobs()
            last.update(blobsPerSecond=report["sealedPerSecond"])
            return report

        return Contest(
            [Figure("blob", "blobs/s", "blobsPerSecond", peer)], measured, {peer: lambda: dict(last)},
            {"bytes": 65_536, "way": "memory"}, 0, notes=("microsecondsPerBlob", "framesPerBlob"))

    def _evacuate(self):
        """Connections moved in the middle of downloads. Nobody else does that, so the ratio is the figure."""
        peer = "one a second"
        return Contest(
            [Figure("evacuate", "moves/s", "movedPerSecond", peer)], lambda: self._baton.evacuate(),
            {peer: lambda: {"movedPerSecond": 1}}, {"ports": "af_xdp on veth", "connections": 150, "bytes": 4 << 20}, 0,
            most_rounds=LONG, notes=("moved", "seconds", "downloads"))

    @staticmethod
    def _in_turns_with(peer, measure, own, other, figure, conditions, notes=()):
        """Two kinds of downloads that `measure` has made in turns itself, through the same programs."""
        last = {}

        def measured():
            rates = measure()
            last.update(mbps=rates[other])
            return rates | {"mbps": rates[own]}

        return Contest(
            [figure], measured, {peer: lambda: dict(last)}, conditions, 0, most_rounds=LONG, notes=notes)
