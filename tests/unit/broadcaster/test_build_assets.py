"""The front-end files that set-up builds, and the lock file they are built from."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from fontTools.ttLib import TTFont

from broadcaster.web.build_assets import ASSETS, COPIED, DIGITS, MODULES, WEIGHTS, build, sprite

REPOSITORY = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def vendor(tmp_path_factory: pytest.TempPathFactory) -> Path:
    assets = tmp_path_factory.mktemp("assets")
    (assets / "icons.txt").write_text("check\nmap\n")
    return build(MODULES, assets)


def test_the_lock_file_pins_hashes_and_names_no_host() -> None:
    lock = json.loads((REPOSITORY / "package-lock.json").read_text())
    packages = {name: entry for name, entry in lock["packages"].items() if name}
    assert packages
    for name, entry in packages.items():
        assert entry["integrity"].startswith("sha512-"), name
        assert "resolved" not in entry, name


def test_the_python_locks_pin_hashes_and_name_no_host() -> None:
    for name in ("requirements.txt", "requirements-dev.txt"):
        text = (REPOSITORY / name).read_text()
        assert "--hash=sha256:" in text
        assert not re.search(r"https?://|--(extra-)?index-url|--find-links", text), name


def test_everything_listed_is_built_and_asks_for_nothing_that_is_not_there(vendor: Path) -> None:
    assert {path.name for path in vendor.iterdir()} == {
        *COPIED,
        "fonts",
        "icons.svg",
        "LICENSES.txt",
    }
    for name in COPIED:
        if (path := vendor / name).is_file():
            text = path.read_text(encoding="utf-8")
            assert "sourceMappingURL" not in text
            for address in re.findall(r"url\(['\"]?(?!data:|#|%23)([^)'\"]+)", text):
                assert (vendor / address).is_file(), (name, address)


def test_the_sprite_has_the_listed_icons_and_an_unknown_one_is_named(vendor: Path) -> None:
    text = (vendor / "icons.svg").read_text()
    assert re.findall(r'<symbol id="([^"]+)"', text) == ["i-check", "i-map"]
    assert "M20 6 9 17l-5-5" in text
    with pytest.raises(SystemExit, match="no icon unheard-of"):
        sprite(MODULES / "lucide-static" / "icons", ["unheard-of"])


def test_every_icon_the_console_lists_exists() -> None:
    names = (ASSETS / "icons.txt").read_text().split()
    assert sprite(MODULES / "lucide-static" / "icons", names).count("<symbol") == len(names)


@pytest.mark.parametrize("weight", WEIGHTS)
def test_digits_of_every_weight_share_one_width(vendor: Path, weight: int) -> None:
    path = vendor / "fonts" / f"be-vietnam-tabular-{weight}.woff2"
    font = TTFont(path)
    assert sorted(font.getBestCmap()) == list(range(0x30, 0x3A))
    for name in DIGITS:
        glyph = font["glyf"][name]
        advance, left = font["hmtx"][name]
        assert (advance, left) == (652, glyph.xMin)
        assert glyph.xMax - glyph.xMin <= 588
        if name != "one":
            assert abs(glyph.xMin - (652 - glyph.xMax)) <= 2
    foot = font["glyf"]["one"]
    assert foot.xMax == 523  # 652 / 2 - 8 + 410 / 2: the foot reaches further than the stem
    assert foot.yMin == 0
    assert path.stat().st_size < 1500
