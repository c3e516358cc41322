"""From measurements to rows."""

from contests import COSTS
from statistics import median


def row(contest, figure, rounds):
    """One row of bench.json. `rounds` has, for each round, what Baton and each peer returned, by name.

    The ratio is the median of the rounds' own ratios: a machine that drifts from round to round changes both sides of
    each. More is always better for Baton.
    """
    ours = [one["baton"][figure.key] for one in rounds]
    theirs = [one[figure.peer][figure.key] for one in rounds]
    if figure.unit in COSTS:
        ratios = [other / own for own, other in zip(ours, theirs)]
    else:
        ratios = [own / other for own, other in zip(ours, theirs)]
    return {
        "name": figure.row,
        "unit": figure.unit,
        "baton": round(median(ours), 3),
        "peer": figure.peer,
        "peerValue": round(median(theirs), 3),
        "ratio": round(median(ratios), 3),
        "spread": {"baton": spread(ours), "peer": spread(theirs), "ratio": spread(ratios)},
        "conditions": {**contest.conditions, "rounds": len(rounds), **details(rounds)},
    }


def spread(values):
    """How far the rounds lie apart, as a part of their median."""
    return round((max(values) - min(values)) / median(values), 3)


def details(rounds):
    """What Baton says of itself besides."""
    first = rounds[0]["baton"]
    if "clocksPerPacket" not in first:
        return {}
    return {
        "clocksPerPacket": round(median(one["baton"]["clocksPerPacket"] for one in rounds), 1),
        "hertz": first["hertz"],
    }


def table(rows):
    """The rows for people."""
    head = ("row", "unit", "Baton", "peer", "", "ratio", "spread")
    lines = [head]
    for one in rows:
        lines.append(
            (
                one["name"], one["unit"], f"{one['baton']:.1f}", f"{one['peerValue']:.1f}", one["peer"],
                f"{one['ratio']:.2f}", f"±{one['spread']['ratio'] * 50:.0f} %",
            )
        )
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    right = {2, 3, 5, 6}
    return "\n".join(
        "  ".join(
            word.rjust(width) if column in right else word.ljust(width)
            for column, (word, width) in enumerate(zip(line, widths))
        ).rstrip()
        for line in lines
    )
