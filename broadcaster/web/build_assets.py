"""Build assets/vendor from the installed npm packages; part of set-up, run again at will.

    python -m broadcaster.web.build_assets [NODE_MODULES]

Copies what the pages load, gathers the icons listed in assets/icons.txt into one sprite, and
makes the digits of equal width that Be Vietnam Pro itself does not have, and fonts for paper.
"""

from __future__ import annotations

import io
import re
import shutil
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from fontTools.merge import Merger  # type: ignore[import-untyped]
from fontTools.misc.transform import Transform  # type: ignore[import-untyped]
from fontTools.pens.transformPen import TransformPen  # type: ignore[import-untyped]
from fontTools.pens.ttGlyphPen import TTGlyphPen  # type: ignore[import-untyped]
from fontTools.subset import Options, Subsetter  # type: ignore[import-untyped]
from fontTools.ttLib import TTFont  # type: ignore[import-untyped]

ASSETS = Path(__file__).parent / "assets"
MODULES = Path(__file__).parents[2] / "node_modules"

COPIED = {
    "htmx.js": "htmx.org/dist/htmx.min.js",
    "leaflet.js": "leaflet/dist/leaflet.js",
    "leaflet.css": "leaflet/dist/leaflet.css",
    "images": "leaflet/dist/images",
    "geoman.js": "@geoman-io/leaflet-geoman-free/dist/leaflet-geoman.min.js",
    "geoman.css": "@geoman-io/leaflet-geoman-free/dist/leaflet-geoman.css",
    "uplot.js": "uplot/dist/uPlot.iife.min.js",
    "uplot.css": "uplot/dist/uPlot.min.css",
}
PACKAGES = (
    "htmx.org",
    "leaflet",
    "@geoman-io/leaflet-geoman-free",
    "uplot",
    "lucide-static",
    "@fontsource/be-vietnam-pro",
)
FONTS = "@fontsource/be-vietnam-pro/files"
SUBSETS = ("latin", "vietnamese")
WEIGHTS = (400, 500, 600, 700)
PRINTED = (400, 600)
"""Weights of the records on paper."""
MADE = 3_850_000_000
"""Seconds since 1904, as fonts reckon: some day in 2025."""
LAYOUT = ("GSUB", "GPOS", "GDEF", "fpgm", "prep", "cvt ", "gasp")
"""Tables that differ between the subsets and that paper does without."""

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
DIGIT_ADVANCE = 652
DIGIT_WIDEST = 588
FOOT_WIDTH = 410
FOOT_HEIGHT = 0.86
"""The foot under the 1, as a share of its stem's width: horizontals look heavier than they are."""

SVG = "http://www.w3.org/2000/svg"


def build(modules: Path = MODULES, assets: Path = ASSETS) -> Path:
    """Make the folder aside and swap it in, so that no server ever reads half of it."""
    fresh = assets / ".vendor.new"
    shutil.rmtree(fresh, ignore_errors=True)
    (fresh / "fonts").mkdir(parents=True)
    for name, source in COPIED.items():
        _copy(modules / source, fresh / name)
    for weight in WEIGHTS:
        for subset in SUBSETS:
            shutil.copyfile(
                modules / FONTS / f"be-vietnam-pro-{subset}-{weight}-normal.woff2",
                fresh / "fonts" / f"be-vietnam-pro-{subset}-{weight}.woff2",
            )
        latin = fresh / "fonts" / f"be-vietnam-pro-latin-{weight}.woff2"
        tabular_digits(latin).save(fresh / "fonts" / f"be-vietnam-tabular-{weight}.woff2")
    for weight in PRINTED:
        printable(fresh / "fonts", weight).save(fresh / "fonts" / f"be-vietnam-pro-{weight}.ttf")
    names = (assets / "icons.txt").read_text(encoding="utf-8").split()
    (fresh / "icons.svg").write_text(
        sprite(modules / "lucide-static" / "icons", names), encoding="utf-8"
    )
    (fresh / "LICENSES.txt").write_text(_licenses(modules), encoding="utf-8")
    target = assets / "vendor"
    shutil.rmtree(target, ignore_errors=True)
    return fresh.rename(target)


def sprite(icons: Path, names: list[str]) -> str:
    """Gather icons as symbols `i-<name>`; stroke and fill come from the page's own style."""
    ElementTree.register_namespace("", SVG)
    root = ElementTree.Element(f"{{{SVG}}}svg")
    for name in names:
        path = icons / f"{name}.svg"
        if not path.is_file():
            raise SystemExit(f"assets/icons.txt: Lucide has no icon {name}")
        drawing = ElementTree.parse(path).getroot()  # noqa: S314 - a locked package's file
        kept = {"id": f"i-{name}", "viewBox": drawing.attrib["viewBox"]}
        symbol = ElementTree.SubElement(root, f"{{{SVG}}}symbol", kept)
        for part in drawing:
            part.tail = None
            symbol.append(part)
    return ElementTree.tostring(root, encoding="unicode") + "\n"


def tabular_digits(source: Path) -> TTFont:
    """Cut a font down to its ten digits, each centred on one width, the 1 with a foot.

    The family has no `tnum` feature. Digits too wide for the common width are narrowed; without
    its foot the 1 would leave holes in a column.
    """
    font = TTFont(source)
    options = Options(layout_features=[], hinting=False, name_IDs=["*"], notdef_outline=True)
    subsetter = Subsetter(options)
    subsetter.populate(unicodes=range(0x30, 0x3A))
    subsetter.subset(font)
    for name in DIGITS:
        glyph = _footed_one(font) if name == "one" else _centred(font, name)
        font["glyf"][name] = glyph
        glyph.recalcBounds(font["glyf"])
        font["hmtx"][name] = (DIGIT_ADVANCE, glyph.xMin)
    font.flavor = "woff2"
    return font


def printable(fonts: Path, weight: int) -> TTFont:
    """Put the subsets of a weight together again: a PDF takes one TrueType font, not several."""
    parts = []
    for subset in SUBSETS:
        part = TTFont(fonts / f"be-vietnam-pro-{subset}-{weight}.woff2")
        part.flavor = None
        for table in LAYOUT:
            if table in part:
                del part[table]
        parts.append(io.BytesIO())
        part.save(parts[-1])
        parts[-1].seek(0)
    whole = Merger().merge(parts)
    # One date of making for all, so that a record is the same bytes wherever the fonts were made.
    whole.recalcTimestamp = False
    whole["head"].created = whole["head"].modified = MADE
    return whole


def _centred(font: TTFont, name: str) -> Any:
    glyph = font["glyf"][name]
    width = glyph.xMax - glyph.xMin
    scale = min(1.0, DIGIT_WIDEST / width)
    left = int((DIGIT_ADVANCE - width * scale) / 2)
    return _drawn(font, name, Transform(scale, 0, 0, 1, left - glyph.xMin * scale, 0)).glyph()


def _footed_one(font: TTFont) -> Any:
    """Stand the stem a little left of the middle, under it a foot as thick as it looks."""
    points = font["glyf"]["one"].getCoordinates(font["glyf"])[0]
    right = max(x for x, _ in points)
    left = max(x for x, y in points if y == 0 and x < right)
    middle = DIGIT_ADVANCE // 2 - 8
    pen = _drawn(font, "one", Transform(1, 0, 0, 1, round(middle - (left + right) / 2), 0))
    height = round((right - left) * FOOT_HEIGHT)
    foot = middle - FOOT_WIDTH // 2
    pen.moveTo((foot, 0))
    for corner in ((foot, height), (foot + FOOT_WIDTH, height), (foot + FOOT_WIDTH, 0)):
        pen.lineTo(corner)
    pen.closePath()
    return pen.glyph()


def _drawn(font: TTFont, name: str, transform: Transform) -> TTGlyphPen:
    pen = TTGlyphPen(None)
    font["glyf"][name].draw(TransformPen(pen, transform), font["glyf"])
    return pen


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target)
        return
    text = source.read_text(encoding="utf-8")
    # The maps are not served; left in, every open console would ask for them in vain.
    target.write_text(re.sub(r"(//|/\*)# sourceMappingURL=.*", "", text), encoding="utf-8")


def _licenses(modules: Path) -> str:
    parts = (
        f"{name}\n\n{(modules / name / 'LICENSE').read_text(encoding='utf-8').strip()}\n"
        for name in PACKAGES
    )
    return ("\n" + "-" * 72 + "\n\n").join(parts)


if __name__ == "__main__":
    print(build(*(Path(argument) for argument in sys.argv[1:2])), file=sys.stderr)
