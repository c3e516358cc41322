"""Throughput against the number of flows, as SVG."""

import math

from contests import COUNTS, EXACT, SWAP

WIDTH, HEIGHT = 860, 500
LEFT, RIGHT, TOP, BOTTOM = 80, 190, 70, 90
FONT = "font-family='Helvetica, Arial, sans-serif'"

#: Name, colour, dashes, mark, and where its points come from: the row's form, the peer or None for Baton itself.
#: Colours that differ in lightness as well; each line has a mark of its own.
LINES = (
    ("Baton, IPv4", "#0b5cad", "", "circle", "transferred-{}{}", None),
    ("Baton, IPv6", "#2f86cc", "7 4", "square", "transferred-{}{}-ipv6", None),
    ("l3fwd exact match", "#c2410c", "", "triangle", "transferred-{}{}", EXACT),
    ("5tswap (no lookup)", "#555555", "2 4", "diamond", "transferred-{}{}", SWAP),
)


def points(rows, form, peer):
    """Flows and median Mpps of each count that has a row; by the written source, which costs the same for all."""
    found = []
    for name, flows in COUNTS.items():
        row = form.format(name, "" if name == "10m" else "-written")
        for one in rows:
            if one["name"] == row and one["unit"] == "Mpps" and peer in (None, one["peer"]):
                found.append((flows, one["baton"] if peer is None else one["peerValue"]))
                break
    return found


def svg(rows, machine):
    """The drawing, or None when there is nothing to draw. `machine` is the line below the title."""
    lines = [(*line[:4], points(rows, *line[4:])) for line in LINES]
    highest = max((mpps for line in lines for _, mpps in line[4]), default=0)
    if highest <= 0:
        return None
    step = _step(highest)
    top = math.ceil(highest / step) * step
    parts = [
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {HEIGHT}' width='{WIDTH}' height='{HEIGHT}'"
        f" {FONT} role='img' aria-label='Throughput against the number of flows'>",
        f"<rect width='{WIDTH}' height='{HEIGHT}' fill='#ffffff'/>",
        _text(LEFT, 28, "One core, 64-byte frames, each packet another flow", 17, weight="bold"),
        _text(LEFT, 48, machine, 12, fill="#555555"),
    ]
    for number in range(round(top / step) + 1):
        value = number * step
        y = _y(value, top)
        parts.append(f"<line x1='{LEFT}' x2='{WIDTH - RIGHT}' y1='{y}' y2='{y}' stroke='#dddddd'/>")
        parts.append(_text(LEFT - 10, y + 4, f"{value:g}", 12, anchor="end"))
    for flows in COUNTS.values():
        x = _x(flows)
        bottom = HEIGHT - BOTTOM
        parts.append(f"<line x1='{x}' x2='{x}' y1='{bottom}' y2='{bottom + 6}' stroke='#333333'/>")
        parts.append(_text(x, bottom + 22, f"{flows:,}", 12, anchor="middle"))
    parts.append(_axes())
    parts += [_line(colour, dashes, mark, found, top) for _, colour, dashes, mark, found in lines if found]
    parts += _names([line for line in lines if line[4]], top)
    return "\n".join([*parts, "</svg>\n"])


def _axes():
    bottom = HEIGHT - BOTTOM
    middle, centre = (TOP + bottom) / 2, (LEFT + WIDTH - RIGHT) / 2
    return "\n".join((
        f"<path d='M{LEFT} {TOP} V{bottom} H{WIDTH - RIGHT}' fill='none' stroke='#333333'/>",
        _text(centre, bottom + 46, "flows in the table (logarithmic)", 13, "middle"),
        _text(centre, bottom + 68, "source: headers written into a small capture", 12, "middle", "#555555"),
        f"<g transform='rotate(-90 24 {middle})'>{_text(24, middle, 'million packets a second', 13, 'middle')}</g>",
    ))


def _line(colour, dashes, mark, found, top):
    places = [(_x(flows), _y(mpps, top)) for flows, mpps in found]
    path = " ".join(f"{x},{y}" for x, y in places)
    dash = f" stroke-dasharray='{dashes}'" if dashes else ""
    return "\n".join([
        f"<polyline points='{path}' fill='none' stroke='{colour}' stroke-width='2.5'{dash}/>",
        *(_mark(mark, x, y, colour) for x, y in places),
    ])


def _mark(mark, x, y, colour):
    shapes = {
        "circle": f"<circle cx='{x}' cy='{y}' r='4.5'",
        "square": f"<rect x='{x - 4}' y='{y - 4}' width='8' height='8'",
        "triangle": f"<path d='M{x} {y - 5.5} L{x + 5} {y + 4} L{x - 5} {y + 4} Z'",
        "diamond": f"<path d='M{x} {y - 6} L{x + 5} {y} L{x} {y + 6} L{x - 5} {y} Z'",
    }
    return f"{shapes[mark]} fill='{colour}'/>"


def _names(lines, top):
    """Each line's name to the right of its last point, moved apart where they would overlap."""
    placed, lowest = [], -math.inf
    for name, colour, _, mark, found in sorted(lines, key=lambda line: _y(line[4][-1][1], top)):
        y = max(_y(found[-1][1], top) + 4, lowest + 18)
        lowest = y
        x = WIDTH - RIGHT + 18
        placed += [_mark(mark, x, round(y - 4, 1), colour), _text(x + 10, y, name, 13, fill=colour)]
    return placed


def _step(highest):
    """A round distance between grid lines, so that there are four to eight."""
    power = 10 ** math.floor(math.log10(highest / 5))
    return next(factor * power for factor in (1, 2, 5, 10) if highest / (factor * power) <= 8)


def _x(flows):
    first, last = (math.log10(COUNTS[name]) for name in ("1k", "10m"))
    return round(LEFT + (math.log10(flows) - first) / (last - first) * (WIDTH - RIGHT - LEFT), 1)


def _y(value, top):
    return round(HEIGHT - BOTTOM - value / top * (HEIGHT - BOTTOM - TOP), 1)


def _text(x, y, text, size, anchor="start", fill="#222222", weight="normal"):
    escaped = text.replace("&", "&amp;").replace("<", "&lt;")
    style = f"font-size='{size}' text-anchor='{anchor}' fill='{fill}' font-weight='{weight}'"
    return f"<text x='{x}' y='{y}' {style}>{escaped}</text>"
