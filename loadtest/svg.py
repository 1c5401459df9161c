"""Charts as inline SVG: they need no script and no network, and take their colours from the page's style sheet.

Plotting libraries were weighed: matplotlib's SVG carries its colours and font outlines in itself (300 KB a page, wrong
in one of light and dark), plotly's pages carry 4 MB of script.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

# (x, y) in the data's units; a y of None interrupts the line.
Points = Sequence[tuple[float, float | None]]
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 32, 24


@dataclass
class Chart:
    """A chart over `x_max` units of x, `width` x `height` pixels; `log` makes y logarithmic."""

    title: str
    unit: str
    width: int
    height: int
    x_max: float
    y_max: float
    y_min: float = 0.0
    log: bool = False
    parts: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.x_max = self.x_max or 1.0
        if self.log:
            self.y_min = 10 ** math.floor(math.log10(self.y_min))
            self.y_max = 10 ** math.ceil(math.log10(max(self.y_max, self.y_min * 10)))
        else:
            self.y_max = nice_ceiling(self.y_max)
        for tick in self._y_ticks():
            y = self.y(tick)
            self.parts.append(f'<line class="grid" x1="{LEFT}" x2="{self.width - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
            self.parts.append(
                f'<text class="tick" x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{label(tick)}</text>'
            )

    def x(self, value: float) -> float:
        """Pixel of an x."""
        return LEFT + max(0.0, min(1.0, value / self.x_max)) * (self.width - LEFT - RIGHT)

    def y(self, value: float) -> float:
        """Pixel of a y; what is off the scale is at its edge."""
        if self.log:
            share = math.log(max(value, self.y_min) / self.y_min) / math.log(self.y_max / self.y_min)
        else:
            share = (value - self.y_min) / (self.y_max - self.y_min)
        return self.height - BOTTOM - max(0.0, min(1.0, share)) * (self.height - TOP - BOTTOM)

    def _y_ticks(self) -> list[float]:
        if self.log:
            first, last = round(math.log10(self.y_min)), round(math.log10(self.y_max))
            return [10.0**power for power in range(first, last + 1)]
        return [self.y_max * quarter / 4 for quarter in range(5)]

    def time_axis(self) -> None:
        """Ticks of x as times."""
        step = nice_step(self.x_max, max(2, (self.width - LEFT) // 90))
        for number in range(int(self.x_max / step + 1e-9) + 1):
            self._x_tick(self.x(number * step), duration(number * step))

    def _x_tick(self, x: float, text: str) -> None:
        anchor = "end" if x > self.width - RIGHT - 14 else "middle"
        y = self.height - BOTTOM
        self.parts.append(f'<line class="axis" x1="{x:.1f}" x2="{x:.1f}" y1="{y}" y2="{y + 4}"/>')
        self.parts.append(f'<text class="tick" x="{x:.1f}" y="{y + 17}" text-anchor="{anchor}">{escape(text)}</text>')

    def line(self, points: Points, style: str, *, steps: bool = False) -> None:
        """A line through points; with `steps`, each value holds until the next."""
        path: list[str] = []
        pen_down = False
        for at, value in points:
            if value is None:
                pen_down = False
                continue
            x, y = self.x(at), self.y(value)
            if pen_down and steps:
                path.append(f"H{x:.1f}V{y:.1f}")
            else:
                path.append(f"{'L' if pen_down else 'M'}{x:.1f},{y:.1f}")
                if not pen_down:
                    # A single value between gaps is a dot: a line of no length with round ends.
                    path.append("h0")
            pen_down = True
        self.parts.append(f'<path class="line {style}" d="{"".join(path)}"/>')

    def bars(self, rows: Sequence[tuple[float, float, float, float]], style: str) -> None:
        """Bars from x to x and from y to y."""
        for x_from, x_to, y_from, y_to in rows:
            if y_to <= y_from:
                continue
            x, width = self.x(x_from), max(0.8, self.x(x_to) - self.x(x_from))
            top = self.y(y_to)
            self.parts.append(
                f'<rect class="{style}" x="{x:.1f}" y="{top:.1f}" width="{width:.1f}" '
                f'height="{self.y(y_from) - top:.1f}"/>'
            )

    def limit(self, value: float, text: str) -> None:
        """A limit across the chart, where it is on the scale."""
        if not self.y_min <= value <= self.y_max:
            return
        y = self.y(value)
        self.parts.append(f'<line class="limit" x1="{LEFT}" x2="{self.width - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        self.parts.append(
            f'<text class="limit-text" x="{self.width - RIGHT}" y="{y - 4:.1f}" text-anchor="end">{escape(text)}</text>'
        )

    def mark(self, at: float, kind: str, symbol: str, row: int) -> None:
        """An event at a time, its symbol in one of two rows: what follows from another stands close to it."""
        if not 0 <= at <= self.x_max:
            return
        x = self.x(at)
        self.parts.append(
            f'<line class="mark {kind}" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{self.height - BOTTOM}"/>'
        )
        self.parts.append(
            f'<text class="mark-text {kind}" x="{x:.1f}" y="{TOP - 5 - 12 * row}" text-anchor="middle">{symbol}</text>'
        )

    def hover(self, rows: Sequence[tuple[float, float, str]]) -> None:
        """Texts for stretches of x, shown where the pointer is."""
        for x_from, x_to, text in rows:
            x, width = self.x(x_from), self.x(x_to) - self.x(x_from)
            self.parts.append(
                f'<rect class="hover" x="{x:.1f}" y="{TOP}" width="{max(width, 0.5):.1f}" '
                f'height="{self.height - TOP - BOTTOM}">'
                f"<title>{escape(text)}</title></rect>"
            )

    def ticks(self, rows: Sequence[tuple[float, str]]) -> None:
        """Ticks of x with texts of their own."""
        for at, text in rows:
            self._x_tick(self.x(at), text)

    def render(self, style: str) -> str:
        """The chart as an <svg> element."""
        base = self.height - BOTTOM
        axis = f'<line class="axis" x1="{LEFT}" x2="{self.width - RIGHT}" y1="{base}" y2="{base}"/>'
        return (
            f'<svg class="{style}" viewBox="0 0 {self.width} {self.height}" role="img" '
            f'aria-label="{escape(self.title, quote=True)}">'
            f"{''.join(self.parts)}{axis}</svg>"
        )


def nice_ceiling(value: float) -> float:
    """The next number of the kind 1, 2, 4, 6, 8 times a power of ten: its quarters are round."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 4, 6, 8, 10) if step * power >= value * 0.999999)


def nice_step(span: float, most: int) -> float:
    """Seconds between ticks, so that there are at most so many."""
    steps = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400)
    return next((float(step) for step in steps if span / step <= most), span / most)


def label(value: float) -> str:
    """A number, short."""
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{letter}"
    return f"{value:.4g}"


def duration(value: float) -> str:
    """A time as one reads it."""
    if value < 120:
        return f"{value:g} s"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes} min" + (f" {rest} s" if rest else "")
