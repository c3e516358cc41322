"""What is measured against what. A contest is one run of Baton and one of each peer, repeated in turns."""

from collections import namedtuple

import captures
import ports

#: A figure that a contest yields: the row's name, its unit, the key in what both sides return, the peer.
Figure = namedtuple("Figure", "row unit key peer")

#: Sizes of tables and numbers of flows, as rows are named.
COUNTS = {"1k": 1_000, "100k": 100_000, "1m": 1_000_000, "10m": 10_000_000}

#: Units in which less is better.
COSTS = {"clocks", "bytes"}


class Contest:
    """`baton` and every value of `peers` are functions without arguments that measure once and return a dictionary."""

    def __init__(self, figures, baton, peers, conditions, hugepage_bytes):
        self.figures = figures
        self.baton = baton
        self.peers = peers
        self.conditions = conditions
        self.hugepage_bytes = hugepage_bytes

    @property
    def rows(self):
        return {figure.row for figure in self.figures}


class Programme:
    """Every contest of `make bench`, in order."""

    def __init__(self, baton, peers, directory):
        self._baton = baton
        self._peers = peers
        self._directory = directory

    def contests(self):
        for mode in ("io", "macswap"):
            yield self._forwarding(mode)
        for name in ("1k", "100k"):
            yield self._transferred(name)
        for ipv6 in (False, True):
            for name in COUNTS:
                yield self._table(name, ipv6)

    def _forwarding(self, mode, flows=1_000):
        def capture():
            return captures.capture(self._directory, flows)

        peer = f"testpmd {mode}"
        return Contest(
            [Figure(f"forward-{mode}", "Mpps", "mpps", peer)],
            lambda: self._baton.forward(mode, capture(), flows),
            {peer: lambda: self._peers.testpmd(mode, capture(), flows)},
            {"flows": flows, "frame": 64, "burst": 32},
            _port_bytes(flows),
        )

    def _transferred(self, name):
        flows = COUNTS[name]

        def capture():
            return captures.capture(self._directory, flows)

        row = f"transferred-{name}"
        return Contest(
            [Figure(row, "Mpps", "mpps", "testpmd 5tswap"), Figure(row, "Mpps", "mpps", "l3fwd exact match")],
            lambda: self._baton.transferred(capture(), flows),
            {
                "testpmd 5tswap": lambda: self._peers.testpmd("5tswap", capture(), flows),
                "l3fwd exact match": lambda: self._peers.l3fwd("em", capture(), flows),
            },
            {"flows": flows, "frame": 64, "burst": 32},
            _port_bytes(flows),
        )

    def _table(self, name, ipv6):
        keys = COUNTS[name]
        suffix = f"{name}-ipv6" if ipv6 else name
        peer = "rte_hash"
        return Contest(
            [
                Figure(f"table-{suffix}", "clocks", "find", peer),
                Figure(f"table-insert-{suffix}", "clocks", "insert", peer),
                Figure(f"table-delete-{suffix}", "clocks", "delete", peer),
            ],
            lambda: self._baton.table(keys, ipv6),
            {peer: lambda: self._peers.rte_hash(keys, ipv6)},
            {"keys": keys, "ipv6": ipv6, "burst": 32},
            # Both programs' keys, twice, and the larger of the two tables.
            keys * (160 if ipv6 else 96) + keys * 160,
        )


def _port_bytes(packets):
    return (packets + ports.SPARE_PACKETS) * ports.BYTES_PER_PACKET
