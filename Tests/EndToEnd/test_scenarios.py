"""The demo's scenarios, each a test."""

from .laboratory_case import LaboratoryCase, scenarios

MEBIBYTE = 1 << 20


class Scenarios(LaboratoryCase):
    files = {"cached.bin": (16 * MEBIBYTE, True), "narrow.bin": (48 * MEBIBYTE, True), "huge.bin": (512 * MEBIBYTE, True)}

    def tearDown(self):
        self.assertNothingHeld()
        self.assertConserved()


def _add(scenario):
    def test(self):
        self.play(scenario)

    test.__doc__ = scenario.__doc__
    setattr(Scenarios, f"test_{scenario.__name__}", test)


for _scenario in scenarios.ALL:
    _add(_scenario)
