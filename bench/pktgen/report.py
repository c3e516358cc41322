"""What a measurement says: lines while it runs, a table, and rows in the form of bench.json."""

#: What a frame takes on a link besides itself, bytes: preamble, start of frame, and the gap to the next.
FRAME_OVERHEAD = 20


def gigabits(rate, size):
    """Frames a second as gigabits of frames a second, check sequences included, gaps between frames not."""
    return rate * size * 8 / 1e9


def line_rate(megabits, size):
    """Frames a second that fit on a link."""
    return megabits * 1e6 / 8 / (size + FRAME_OVERHEAD)


def progress(device, size):
    """A function that prints a line for each trial of a search."""
    def say(trial, verdict):
        lost = f", {trial.lost} lost" if trial.lost else ""
        why = {
            "not offered": f" (the generator stood still for up to {trial.longest_pause_microseconds / 1000:.0f} ms)",
            "disturbed": f" (kept off their CPUs: worker {trial.seconds_kept_waiting * 1000:.0f} ms, "
            f"sender {trial.seconds_sender_kept_waiting * 1000:.0f} ms)",
        }
        print(
            f"pktgen: {size:5} bytes, {device}: {trial.offered / 1e6:8.3f} Mpps offered, "
            f"{trial.forwarded / 1e6:8.3f} came{lost}: {verdict}"
            + why.get(verdict, ""), flush=True)
    return say


def rate_of(found):
    return found.best.forwarded if found.best else 0.0


def loss_free_row(size, found, peer_name, peer_rate, conditions):
    """The row of one frame size. `found` is what the search with Baton in between found."""
    rate = rate_of(found)
    return {
        "name": f"pktgen-loss-free-{size}",
        "unit": "Mpps",
        "baton": round(rate / 1e6, 3),
        "peer": peer_name,
        "peerValue": round(peer_rate / 1e6, 3),
        "ratio": round(rate / peer_rate, 3) if peer_rate else None,
        "conditions": {
            **conditions,
            "frameBytes": size,
            "gigabits": round(gigabits(rate, size), 3),
            "highestOffered": round(found.ceiling / 1e6, 3),
            "trials": found.trials,
            "trialsNotOffered": found.not_offered,
            "trialsDisturbed": found.disturbed,
            "framesLostAbove": found.least_loss,
        },
    }


def flood_row(size, ours, theirs, conditions):
    """The row of unpaced traffic, both directions together. Of several turns, the medians; of their ratios, too."""
    ratios = [own / other for own, other in zip(ours, theirs)]
    return {
        "name": f"pktgen-flood-{size}",
        "unit": "Mpps",
        "baton": round(_median(ours), 3),
        "peer": "testpmd io",
        "peerValue": round(_median(theirs), 3),
        "ratio": round(_median(ratios), 3),
        "conditions": {**conditions, "frameBytes": size, "rounds": len(ours),
                       "gigabits": round(gigabits(_median(ours) * 1e6, size), 3)},
    }


def _median(values):
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def table(rows):
    """The rows for people: what was searched, and below it what was flooded."""
    parts = []
    searched = [row for row in rows if row["name"].startswith("pktgen-loss-free")]
    if searched:
        head = ("frame", "offered", "loss-free Mpps", "Gbit/s", f"of {searched[0]['peer']}", "Mpps")
        parts.append(_aligned([head] + [(
            str(row["conditions"]["frameBytes"]), f"≤ {row['conditions']['highestOffered']:.2f}", f"{row['baton']:.3f}",
            f"{row['conditions']['gigabits']:.2f}", _percent(row["ratio"]), f"{row['peerValue']:.3f}",
        ) for row in searched]))
    flooded = [row for row in rows if row["name"].startswith("pktgen-flood")]
    if flooded:
        head = ("frame", "unpaced", "forwarded Mpps", "Gbit/s", "of testpmd io", "Mpps")
        parts.append(_aligned([head] + [(
            str(row["conditions"]["frameBytes"]), "2 ways", f"{row['baton']:.3f}", f"{row['conditions']['gigabits']:.2f}",
            _percent(row["ratio"]), f"{row['peerValue']:.3f}",
        ) for row in flooded]))
    return "\n\n".join(parts)


def _percent(ratio):
    return "–" if ratio is None else f"{100 * ratio:.0f} %"


def _aligned(lines):
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return "\n".join("  ".join(word.rjust(width) for word, width in zip(line, widths)) for line in lines)
