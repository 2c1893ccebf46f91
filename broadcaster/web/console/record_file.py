"""The record of an alert on paper: A4, in one language, the same bytes each time for one state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import shapely
from fpdf import FPDF

from broadcaster.web import formats
from broadcaster.web.assets_store import ROOT
from broadcaster.web.i18n import gettext as _

FAMILY = "BeVietnamPro"
FONTS = ROOT / "vendor" / "fonts"
_WEIGHTS = {"": 400, "B": 600}
MARGIN, BOTTOM = 18.0, 20.0
_MAP_HEIGHT = 88.0
_LABEL, _LABEL_TALL = 6.5, 2.6
"""Names on the map: points, and the mm of a line."""
_INK, _MUTED, _LINE = 20, 90, 200


@dataclass(frozen=True, slots=True)
class Shape:
    """An outline on the map of the record."""

    geometry: Any
    chosen: bool


@dataclass(frozen=True, slots=True)
class Label:
    """A name on the map of the record, at a point in degrees."""

    text: str
    lon: float
    lat: float


class RecordFile(FPDF):
    """Pages with the alert's code, the hash of its content and their number at the foot.

    The fonts are made with the front-end files: FileNotFoundError where set-up was not run.
    """

    def __init__(self, code: str, title: str, content_hash: str, at: datetime, lang: str) -> None:
        super().__init__(format="A4")
        self._code, self._hash = code, content_hash
        for style, weight in _WEIGHTS.items():
            self.add_font(FAMILY, style, FONTS / f"be-vietnam-pro-{weight}.ttf")
        self.set_creation_date(at)
        self.set_title(f"{code} {title}")
        self.set_lang(lang)
        self.set_producer("")
        self.set_margins(MARGIN, MARGIN, MARGIN)
        self.set_auto_page_break(True, BOTTOM)
        self.alias_nb_pages()
        self.add_page()

    def footer(self) -> None:
        """Write what ties a loose page to its record."""
        self.set_y(-14)
        self._say("", 7.5, _MUTED)
        self.cell(0, 4, f"{self._code}  ·  SHA-256 {self._hash}")
        self.set_x(-MARGIN - 30)
        self.cell(30, 4, _("page %(page)s of %(pages)s") % {
            "page": self.page_no(), "pages": self.str_alias_nb_pages
        }, align="R")  # fmt: skip

    def heading(self, text: str, room: float = 22) -> None:
        """Begin a section; never alone at the foot of a page: `room` mm belong to it."""
        if self.will_page_break(room):
            self.add_page()
        self.ln(4)
        self._say("B", 12)
        self.multi_cell(0, 6, text, align="L", new_x="LMARGIN", new_y="NEXT")
        self.set_draw_color(_LINE)
        self.line(MARGIN, self.get_y() + 0.5, self.w - MARGIN, self.get_y() + 0.5)
        self.ln(2)

    def title_line(self, text: str) -> None:
        """Write the alert's own title."""
        self._say("B", 17)
        self.multi_cell(0, 8, text, align="L", new_x="LMARGIN", new_y="NEXT")

    def say(self, text: str, style: str = "", size: float = 9.5, ink: int = _INK) -> None:
        """Write a paragraph."""
        self._say(style, size, ink)
        self.multi_cell(0, size * 0.5, text, align="L", new_x="LMARGIN", new_y="NEXT")
        self.ln(0.6)

    def fact(self, name: str, value: str) -> None:
        """Write a fact with its name before it."""
        top = self.get_y()
        if self.will_page_break(6):
            self.add_page()
            top = self.get_y()
        self._say("", 9, _MUTED)
        self.multi_cell(44, 4.6, name, align="L", new_x="RIGHT", new_y="TOP")
        below = self.get_y()
        self.set_xy(MARGIN + 46, top)
        self._say("", 9.5)
        self.multi_cell(0, 4.6, value, align="L", new_x="LMARGIN", new_y="NEXT")
        self.set_y(max(self.get_y(), below) + 0.6)

    def table_of(
        self, heads: Sequence[str], rows: Sequence[Sequence[str]], widths: Sequence[float]
    ) -> None:
        """Write a table: the first column is words, the others are figures."""
        self._say("", 8.5)
        self.set_draw_color(_LINE)
        aligns = ["LEFT", *["RIGHT"] * (len(heads) - 1)]
        with self.table(
            col_widths=tuple(widths), text_align=tuple(aligns), line_height=4.6,
            borders_layout="HORIZONTAL_LINES", padding=0.6,
        ) as table:  # fmt: skip
            table.row(list(heads))
            for row in rows:
                table.row(list(row))
        self.ln(1)

    def map_of(self, shapes: Sequence[Shape], labels: Sequence[Label]) -> None:
        """Draw the area among its neighbours, as lines: it stays sharp at any size.

        Of the labels those are written that have room; the first ones come first.
        """
        chosen = [one.geometry for one in shapes if one.chosen]
        if not chosen:
            return
        if self.will_page_break(_MAP_HEIGHT + 4):
            self.add_page()
        west, south, east, north = shapely.total_bounds(chosen)
        width, top = self.w - 2 * MARGIN, self.get_y()
        # A degree of longitude is shorter than one of latitude: 0.93 of it in Hanoi.
        across, up = max((east - west) * 0.934, 0.01) * 1.16, max(north - south, 0.01) * 1.16
        scale = min(width / across, _MAP_HEIGHT / up)
        middle_x, middle_y = (west + east) / 2, (south + north) / 2

        def place(x: float, y: float) -> tuple[float, float]:
            return (
                round(MARGIN + width / 2 + (x - middle_x) * 0.934 * scale, 2),
                round(top + _MAP_HEIGHT / 2 - (y - middle_y) * scale, 2),
            )

        seen = shapely.box(
            middle_x - width / 2 / scale / 0.934, middle_y - _MAP_HEIGHT / 2 / scale,
            middle_x + width / 2 / scale / 0.934, middle_y + _MAP_HEIGHT / 2 / scale,
        )  # fmt: skip
        for one in sorted(shapes, key=lambda one: one.chosen):
            self._draw(shapely.intersection(one.geometry, seen), one.chosen, place)
        self._name([(one.text, *place(one.lon, one.lat)) for one in labels], top)
        self.set_draw_color(_LINE)
        self.rect(MARGIN, top, width, _MAP_HEIGHT)
        self.set_y(top + _MAP_HEIGHT + 2)

    def _name(self, labels: Sequence[tuple[str, float, float]], top: float) -> None:
        """Write names at their points, in mm, none over another or over the map's edge."""
        self._say("", _LABEL, 60)
        taken: list[Any] = []
        frame = shapely.box(MARGIN, top, self.w - MARGIN, top + _MAP_HEIGHT)
        for text, x, y in labels:
            half = self.get_string_width(text) / 2 + 0.5
            box = shapely.box(x - half, y - _LABEL_TALL / 2, x + half, y + _LABEL_TALL / 2)
            if frame.contains(box) and not any(box.intersects(other) for other in taken):
                taken.append(box)
                self.text(x - half + 0.5, y + _LABEL_TALL / 3, text)

    def _draw(self, geometry: Any, chosen: bool, place: Any) -> None:
        self.set_draw_color(*((180, 18, 31) if chosen else (170, 178, 184)))
        self.set_line_width(0.35 if chosen else 0.15)
        self.set_fill_color(250, 226, 226)
        for part in shapely.get_parts(geometry):
            if part.geom_type == "Polygon" and not part.is_empty:
                points = [place(x, y) for x, y in part.exterior.coords]
                self.polygon(points, style="DF" if chosen else "D")
        self.set_line_width(0.2)
        # Tables fill their cells with whatever was last chosen.
        self.set_fill_color(255)

    def _say(self, style: str, size: float, ink: int = _INK) -> None:
        self.set_font(FAMILY, style, size)
        self.set_text_color(ink)

    def bytes(self) -> bytes:
        """Return the finished file."""
        return bytes(self.output())


def lap(seconds: float | None) -> str:
    """Say how long something took; a dash where it has not happened."""
    return "–" if seconds is None else formats.lap(seconds)
