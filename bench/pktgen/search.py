"""RFC 2544, section 26.1: the highest rate at which a device loses nothing, by halving."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Trial:
    """What a generator says of one trial."""

    #: Frames a second that were asked for; 0 for as many as the port takes.
    rate: float
    sent: int
    received: int
    #: Frames that the generator's port had no room for: a network card's receiver would have dropped them.
    refused: int
    #: Frames that the generator did not even try to send, because its own CPU was taken away.
    forfeited: int
    seconds: float
    longest_pause_microseconds: float = 0
    #: How long the device's worker was kept off its CPU by other programs.
    seconds_kept_waiting: float = 0
    #: The same of the thread that sends.
    seconds_sender_kept_waiting: float = 0

    @property
    def lost(self):
        """Frames that came to the device and did not come out. A port on a real network may receive others besides."""
        return max(0, self.sent + (self.refused if self.rate > 0 else 0) - self.received)

    @property
    def offered(self):
        """Frames a second that were really offered."""
        return (self.sent + (self.refused if self.rate > 0 else 0)) / self.seconds

    @property
    def forwarded(self):
        return self.received / self.seconds

    def is_loss_free(self, tolerance):
        return self.received > 0 and self.lost <= tolerance * self.offered * self.seconds

    def is_offered(self):
        """Whether the generator kept to the rate: 99 % of it."""
        return self.rate == 0 or self.offered >= 0.99 * self.rate

    def is_disturbed(self):
        """Whether others' work on the same CPUs explains why this trial has not passed: the loss is no more than what came
        while the device's worker was kept off its CPU, or the sender lacks no more than it could not send while it was.
        On CPUs of their own that is never so."""
        if not self.is_offered():
            possible = max(0, self.seconds - self.seconds_sender_kept_waiting) / self.seconds
            return self.offered >= 0.99 * self.rate * possible
        return 0 < self.lost <= self.seconds_kept_waiting * self.offered


@dataclass(frozen=True)
class Found:
    """The outcome of a search."""

    #: The best trial without loss; nothing when every rate lost frames.
    best: Trial | None
    #: The highest rate that was tried.
    ceiling: float
    trials: int
    #: Trials that did not count: the generator could not keep to the rate, or the device was disturbed.
    not_offered: int
    disturbed: int
    #: Frames lost by the slowest trial that lost any.
    least_loss: int | None


#: An unpaced stream may find the device busier with a full ring than a paced one does: the search goes so far beyond.
BEYOND_UNPACED = 1.3


#: Trials at one rate that do not count: more because of a disturbance, which passes, than because of a generator that
#: cannot keep to the rate, which hardly will.
DISTURBED_AT_MOST = 12
NOT_OFFERED_AT_MOST = 3


class Search:
    """`run` makes one trial at a rate. Frames lost to other programs' work on the worker's CPU do not count against a
    rate: such a trial is made again, and their number is told. A rate that could not be tried undisturbed has not passed.
    """

    def __init__(self, run, resolution=0.02, attempts=1, tolerance=0.0, report=lambda trial, verdict: None):
        self._run = run
        self._resolution = resolution
        self._attempts = attempts
        self._tolerance = tolerance
        self._report = report
        self._trials = 0
        self._not_offered = 0
        self._disturbed = 0
        self._least_loss = None

    def _passes(self, rate):
        """A trial at this rate that lost nothing, or nothing."""
        counted = disturbed = not_offered = 0
        while counted < self._attempts and disturbed < DISTURBED_AT_MOST and not_offered < NOT_OFFERED_AT_MOST:
            trial = self._run(rate)
            self._trials += 1
            if trial.is_offered() and trial.is_loss_free(self._tolerance):
                self._report(trial, "passed")
                return trial
            if trial.is_disturbed():
                self._disturbed += 1
                disturbed += 1
                self._report(trial, "disturbed")
            elif not trial.is_offered():
                self._not_offered += 1
                not_offered += 1
                self._report(trial, "not offered")
            else:
                self._least_loss = trial.lost
                self._report(trial, "lost")
                counted += 1
        return None

    def highest(self, limit=None):
        """Searches from a little beyond what the port takes when nothing paces; `limit` is what the link can carry."""
        flood = self._run(0)
        self._trials += 1
        self._report(flood, "unpaced")
        ceiling = BEYOND_UNPACED * flood.sent / flood.seconds
        if limit is not None:
            ceiling = min(ceiling, limit)
        if ceiling <= 0:
            return Found(None, 0, self._trials, self._not_offered, self._disturbed, self._least_loss)
        best, low = None, 0.0
        while trial := self._passes(ceiling):
            best, low = trial, ceiling
            if ceiling == limit:
                break
            ceiling = ceiling * BEYOND_UNPACED if limit is None else min(ceiling * BEYOND_UNPACED, limit)
        high = ceiling
        while high - low > self._resolution * ceiling:
            middle = (low + high) / 2
            trial = self._passes(middle)
            if trial:
                best, low = trial, middle
            else:
                high = middle
        return Found(best, ceiling, self._trials, self._not_offered, self._disturbed, self._least_loss)
