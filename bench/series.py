"""The longer series of FULL=1: sizes of frames and bursts, mixes of hits and misses, two workers."""

from contests import COUNTS, EXACT, L3FWD_BYTES, SWAP, Contest, Figure

FLOWS = COUNTS["100k"]


class Series:
    """Every contest that FULL=1 adds. All of them are at 100,000 flows with written headers, but for the bursts."""

    def __init__(self, baton, peers, sources):
        self._baton = baton
        self._peers = peers
        self._sources = sources

    def contests(self):
        for size in ("64", "512", "1500", "imix"):
            yield self._frame(size)
        for burst in (8, 16, 32, 64):
            yield self._burst(burst)
        for percent in (90, 50, 0):
            yield self._hit(percent)
        yield self._two_workers("two-workers", self._sources.sorted(FLOWS, 2))
        yield self._two_workers("two-workers-unsorted", self._sources.written(FLOWS))

    def _frame(self, size):
        traffic = self._sources.written(FLOWS, size=size)
        row = f"frame-{size}"
        return Contest(
            [Figure(row, "Mpps", "mpps", SWAP), Figure(row, "Mpps", "mpps", EXACT)],
            lambda: self._baton.transferred(traffic, FLOWS),
            {
                SWAP: lambda: self._peers.testpmd("5tswap", traffic),
                EXACT: lambda: self._peers.l3fwd("em", traffic, FLOWS),
            },
            {"flows": FLOWS, "frame": size if size == "imix" else int(size), "burst": 32, "source": traffic.name},
            traffic.hugepage_bytes + L3FWD_BYTES[False],
        )

    def _burst(self, burst):
        """Forwarding only: a worker's burst is 32 and fixed."""
        flows = COUNTS["1k"]
        traffic = self._sources.captured(flows)
        return Contest(
            [Figure(f"forward-io-burst-{burst}", "Mpps", "mpps", "testpmd io")],
            lambda: self._baton.forward("io", traffic, burst),
            {"testpmd io": lambda: self._peers.testpmd("io", traffic, burst)},
            {"flows": flows, "frame": 64, "burst": burst, "source": traffic.name},
            traffic.hugepage_bytes,
        )

    def _hit(self, percent):
        """Of 100 flows some are not in the table: their packets are strangers and pass."""
        traffic = self._sources.written(FLOWS)
        peer = "baton, all hits"
        return Contest(
            [Figure(f"hit-{percent}", "Mpps", "mpps", peer)],
            lambda: self._baton.transferred(traffic, FLOWS, hit=percent),
            {peer: lambda: self._baton.transferred(traffic, FLOWS)},
            {"flows": FLOWS, "frame": 64, "burst": 32, "hitPercent": percent, "source": traffic.name},
            traffic.hugepage_bytes + FLOWS * 80,
        )

    def _two_workers(self, row, traffic):
        """Two queues, two lcores. Sorted traffic comes to its own worker, of other traffic one half is handed over."""
        alone = self._sources.written(FLOWS)
        peer, swap = "baton, one worker", f"{SWAP}, two cores"
        return Contest(
            [Figure(row, "Mpps", "mpps", peer), Figure(row, "Mpps", "mpps", swap)],
            lambda: self._baton.transferred(traffic, FLOWS, workers=2),
            {
                peer: lambda: self._baton.transferred(alone, FLOWS),
                swap: lambda: self._peers.testpmd("5tswap", traffic, queues=2),
            },
            {"flows": FLOWS, "frame": 64, "burst": 32, "source": traffic.name, "workers": 2},
            2 * traffic.hugepage_bytes + FLOWS * 80,
            notes=("handedOverPercent", "handOverLostPercent"),
        )
