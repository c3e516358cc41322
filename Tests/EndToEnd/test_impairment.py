"""Invariant 2: whatever is lost, repeated or reordered, on any leg, the bytes are the same."""

from .laboratory_case import CACHED_HOST, LaboratoryCase, curl, resolve, scenarios

LEGS = ("client", "server", "crtp")


class Impairment(LaboratoryCase):
    relayed = LEGS + ("far",)
    files = {"half.bin": (512 << 10, True), "elsewhere.bin": (128 << 10, False)}

    def impaired(self, leg, percent):
        share = str(percent / 100)
        self.topology.impair(
            leg, "--loss", share, "--duplicate", share, "--reorder", share, "--seed", str(percent * 100 + LEGS.index(leg)))
        try:
            for number in range(6):
                names = ["half.bin", "elsewhere.bin"] if number % 2 else ["elsewhere.bin"]
                got = curl(self.laboratory).get([f"http://{CACHED_HOST}/{name}" for name in names], resolve())
                self.assertTrue(got.ok, got.error)
                self.assertEqual(got.sha256, [self.hash_of(name) for name in names])
        finally:
            self.topology.impair(leg)
        self.assertNothingHeld()
        self.assertConserved()

    def hash_of(self, name):
        return scenarios.sha256_of(f"{self.laboratory.content.origin}/{name}")


def _add(leg, percent):
    def test(self):
        self.impaired(leg, percent)

    test.__doc__ = f"invariant 2: {percent} % lost, {percent} % repeated, {percent} % reordered on the {leg} leg"
    setattr(Impairment, f"test_invariant2_{leg}_{percent}_percent", test)


for _leg in LEGS:
    for _percent in (1, 5):
        _add(_leg, _percent)
