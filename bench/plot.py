"""Curves for the docs, drawn from a bench's own numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib import rc_context
from matplotlib.figure import Figure


def draw(path: Path, curves: Mapping[str, Sequence[tuple[int, float]]]) -> None:
    """Draw milliseconds over people, both logarithmic: a straight line is a power law."""
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    for name, points in curves.items():
        people, milliseconds = zip(*points, strict=True)
        (line,) = axes.loglog(people, milliseconds, marker="o", label=name)
        axes.annotate(
            f"{milliseconds[-1]:,.1f} ms",
            (people[-1], milliseconds[-1]),
            textcoords="offset points",
            xytext=(-6, 7),
            ha="right",
            color=line.get_color(),
        )
    axes.margins(y=0.12)
    axes.set_xlabel("people registered")
    axes.set_ylabel("ms, median of one question")
    axes.set_title("A polygon of 2,000 vertices over more than a third of the people")
    axes.grid(which="major", alpha=0.3)
    axes.legend()
    # The same numbers shall give the same file.
    with rc_context({"svg.hashsalt": "audience"}):
        figure.savefig(path, metadata={"Date": None})
