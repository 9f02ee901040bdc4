"""Plots as SVG, without a library: bars for ratios, curves for growth."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

__all__ = ["bars", "curves", "levels"]

_COLOURS = ("#2563eb", "#16a34a", "#d97706", "#9333ea", "#dc2626", "#0891b2")
_STYLE = "font: 12px system-ui, sans-serif; fill: #222"


def _page(width: float, height: float, parts: Sequence[str]) -> str:
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}" '
        f'height="{height:g}">\n<rect width="100%" height="100%" fill="white"/>\n<g style="{_STYLE}">\n{body}\n</g>\n'
        "</svg>\n"
    )


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}">{escape(text)}</text>'


def bars(rates: Mapping[str, Mapping[str, float]], targets: Sequence[str], unit: str) -> str:
    """Rates by workload and target, drawn as multiples of ``unit``'s."""
    shown = [name for name, found in rates.items() if found.get(unit)]
    thick, left, width = 13, 110, 640
    row = thick * len(targets) + 14
    most = max((rates[name].get(target, 0) / rates[name][unit] for name in shown for target in targets), default=1)
    scale = (width - left - 60) / most
    parts = []
    for number, target in enumerate(targets):
        x = left + number * 90.0
        parts.append(f'<rect x="{x:g}" y="8" width="10" height="10" fill="{_COLOURS[number % len(_COLOURS)]}"/>')
        parts.append(_text(x + 14, 18, target))
    for line, name in enumerate(shown):
        top = 34 + line * row
        parts.append(_text(left - 8, top + row / 2 - 3, name, "end"))
        for number, target in enumerate(targets):
            if target not in rates[name]:
                continue
            ratio = rates[name][target] / rates[name][unit]
            y = top + number * thick
            colour = _COLOURS[number % len(_COLOURS)]
            parts.append(
                f'<rect x="{left}" y="{y}" width="{ratio * scale:.1f}" height="{thick - 2}" fill="{colour}"/>'
            )
            parts.append(_text(left + ratio * scale + 4, y + thick - 4, f"{ratio:.2f}"))
    height = 40 + len(shown) * row
    x = left + scale
    parts.append(f'<line x1="{x:g}" y1="28" x2="{x:g}" y2="{height - 8}" stroke="#666" stroke-dasharray="3 3"/>')
    return _page(width, height, parts)


def levels(values: Mapping[str, Mapping[str, float]], targets: Sequence[str], title: str) -> str:
    """Values above 0 by row and target, as bars on a logarithmic scale; what is 0 is left out."""
    known = [value for row in values.values() for value in row.values() if value > 0] or [1.0]
    low, high = math.floor(math.log10(min(known))), math.ceil(math.log10(max(known)) + 0.01)
    thick, left, width = 11, 130, 640
    row = thick * len(targets) + 12
    height = 66 + len(values) * row

    def place(value: float) -> float:
        return left + (math.log10(value) - low) / (high - low) * (width - left - 60)

    parts = [_text(8, 18, title)]
    for number, target in enumerate(targets):
        x = left + number * 90.0
        parts.append(f'<rect x="{x:g}" y="28" width="10" height="10" fill="{_COLOURS[number % len(_COLOURS)]}"/>')
        parts.append(_text(x + 14, 38, target))
    for power in range(low, high + 1):
        x = place(10**power)
        parts.append(f'<line x1="{x:.1f}" y1="46" x2="{x:.1f}" y2="{height - 20}" stroke="#ddd"/>')
        parts.append(_text(x, height - 6, f"{10**power:g}", "middle"))
    for line, (name, found) in enumerate(values.items()):
        top = 50 + line * row
        parts.append(_text(left - 8, top + row / 2 - 1, name, "end"))
        for number, target in enumerate(targets):
            value = found.get(target, 0)
            if value > 0:
                y, long = top + number * thick, max(place(value) - left, 1)
                colour = _COLOURS[number % len(_COLOURS)]
                parts.append(f'<rect x="{left}" y="{y}" width="{long:.1f}" height="{thick - 2}" fill="{colour}"/>')
                parts.append(_text(left + long + 4, y + thick - 2, f"{value:.3g}"))
    return _page(width, height, parts)


def curves(
    series: Mapping[str, Sequence[tuple[float, float]]], title: str, across: str, width: int = 420, height: int = 260
) -> str:
    """Curves over a logarithmic axis ``across``; values begin at zero."""
    points = [point for line in series.values() for point in line]
    low, high = math.log10(min(x for x, _ in points)), math.log10(max(x for x, _ in points))
    most = max(y for _, y in points) * 1.1 or 1
    left, top, right, bottom = 60, 34, 12, 40

    def place(x: float, y: float) -> tuple[float, float]:
        share = (math.log10(x) - low) / ((high - low) or 1)
        return left + share * (width - left - right), top + (1 - y / most) * (height - top - bottom)

    parts = [_text(width / 2, 16, title, "middle"), _text(width / 2, height - 8, across, "middle")]
    for part in range(5):
        value = most * part / 4
        y = place(10**low, value)[1]
        parts.append(f'<line x1="{left}" y1="{y:.1f}" x2="{width - right}" y2="{y:.1f}" stroke="#ddd"/>')
        parts.append(_text(left - 6, y + 4, f"{value:.3g}", "end"))
    for x in sorted({x for x, _ in points}):
        parts.append(_text(place(x, 0)[0], height - bottom + 16, f"{x:g}", "middle"))
    for number, (name, line) in enumerate(series.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*point) for point in line))
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts.append(f'<text x="{left + 8 + number * 120}" y="{top - 4}" fill="{colour}">{escape(name)}</text>')
    return _page(width, height, parts)
