"""Plots as SVG, readable on light and dark ground alike."""

import statistics
from xml.sax.saxutils import escape

LABELS, BARS, VALUES, ROW = 260, 420, 70, 30


def bars(title, rows):
    """A bar for each row's median, a line for its range. Rows: name, values."""
    most = max(max(values) for _, values in rows) or 1
    width, height = LABELS + BARS + VALUES, 40 + ROW * len(rows)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        'font-family="sans-serif" font-size="13">',
        '<rect width="100%" height="100%" fill="#ffffff"/>',
        f'<text x="10" y="22" font-weight="bold" fill="#1f2328">{escape(title)}</text>',
    ]
    for number, (name, values) in enumerate(rows):
        y = 36 + ROW * number
        middle = statistics.median(values)
        length, low, high = (BARS * value / most for value in (middle, min(values), max(values)))
        colour = "#2f6f9f" if name.startswith("sidegate") else "#a9b4bd"
        parts += [
            f'<text x="{LABELS - 8}" y="{y + 15}" text-anchor="end" fill="#1f2328">{escape(name)}</text>',
            f'<rect x="{LABELS}" y="{y + 2}" width="{length:.1f}" height="18" fill="{colour}"/>',
            f'<line x1="{LABELS + low:.1f}" x2="{LABELS + high:.1f}" y1="{y + 11}" y2="{y + 11}" stroke="#1f2328"/>',
            f'<text x="{LABELS + high + 6:.1f}" y="{y + 15}" fill="#1f2328">{middle:,.1f}</text>',
        ]
    return "\n".join([*parts, "</svg>"]) + "\n"
