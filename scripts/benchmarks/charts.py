"""Grouped bars as SVG, readable on a light and on a dark page, without any library."""

from __future__ import annotations

from html import escape

from benchmarks.harness import Chart

_COLOURS = ("#0f766e", "#f59e0b", "#b45309", "#6366f1", "#a855f7", "#64748b", "#ef4444", "#991b1b", "#94a3b8")
"""The first contender stands out, the others follow by hue."""

_WIDTH, _LABEL, _FIGURE = 760, 210, 84
_BAR, _GAP, _GROUP = 15, 4, 34

_STYLE = (
    "text{font:12px system-ui,sans-serif;fill:#1f2937}.title{font-size:15px;font-weight:600}"
    ".group{font-weight:600}@media(prefers-color-scheme:dark){text{fill:#e5e7eb}}"
)


def svg(chart: Chart) -> str:
    """One bar a line, as long as its value, each group below the one before; a group has its own scale."""
    colours: dict[str, str] = {}
    for _, values in chart.bars:
        for name in values:
            colours.setdefault(name, _COLOURS[len(colours) % len(_COLOURS)])
    parts, top = [f'<text class="title" x="0" y="18">{escape(chart.title)}, {escape(chart.unit)}</text>'], 26
    for label, values in chart.bars:
        top += 20
        parts.append(f'<text class="group" x="0" y="{top}">{escape(label)}</text>')
        top += 8
        longest = max(values.values(), default=0) or 1
        for name, value in values.items():
            length = max(1, round((_WIDTH - _LABEL - _FIGURE) * value / longest))
            middle = top + _BAR - 3
            parts.append(f'<text x="{_LABEL - 8}" y="{middle}" text-anchor="end">{escape(name)}</text>')
            parts.append(
                f'<rect x="{_LABEL}" y="{top}" width="{length}" height="{_BAR}" rx="2" fill="{colours[name]}"/>'
            )
            parts.append(f'<text x="{_LABEL + length + 6}" y="{middle}">{figure(value)}</text>')
            top += _BAR + _GAP
        top += _GROUP - 20
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {top}" role="img" '
        f'aria-label="{escape(chart.title)}">\n<style>{_STYLE}</style>\n{body}\n</svg>\n'
    )


def figure(value: float) -> str:
    """Three digits that count."""
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
