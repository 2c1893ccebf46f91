"""The map of the compose screen as an official works it: by hand, by list, by file, by keyboard."""

from __future__ import annotations

import json
import re
import zipfile
from pathlib import Path

import numpy as np
import pyogrio.raw
import pytest
import shapely
from playwright.sync_api import FloatRect, Page, expect

from tests.browser.conftest import SignIn, Watch
from tests.browser.test_broadcast import CORNERS, begin, draw

BOW_TIE = [[105.80, 21.00], [105.88, 21.08], [105.88, 21.00], [105.80, 21.08], [105.80, 21.00]]
DRAG_STEPS = 12
STEP_MS = 60
TOUCH = 44


def people(page: Page) -> int:
    """The figure in the map's corner."""
    text = page.locator("#strip [data-live=people]").inner_text()
    return int(text.replace(".", "").replace(",", ""))


def at_rest(page: Page) -> int:
    """The same once the shape lies still and its panel of figures has come."""
    expect(page.locator("#audience [data-people]")).to_be_visible()
    expect(page.locator("#audience")).not_to_have_attribute("aria-busy", "true")
    page.wait_for_function(
        "() => document.querySelector('#audience [data-people]').dataset.people"
        " === document.querySelector('#strip [data-live=people]').textContent.replace(/\\D/g, '')"
    )
    return people(page)


def within(box: FloatRect, x: float, y: float) -> tuple[float, float]:
    return box["x"] + box["width"] * x, box["y"] + box["height"] * y


def test_the_figures_follow_a_corner_before_it_is_let_go(sign_in: SignIn) -> None:
    page = sign_in("ha")
    begin(page, "storm")
    draw(page)
    before = at_rest(page)
    said = page.locator("#audience-said")
    expect(said).to_contain_text("người đăng ký")
    told = said.inner_text()
    handle = page.locator("#map .marker-icon:not(.marker-icon-middle)").nth(1).bounding_box()
    area = page.locator("#map").bounding_box()
    assert handle is not None
    assert area is not None
    x, y = handle["x"] + handle["width"] / 2, handle["y"] + handle["height"] / 2
    middle = area["x"] + area["width"] / 2, area["y"] + area["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    seen = set()
    for step in range(1, DRAG_STEPS + 1):
        share = step / DRAG_STEPS * 0.9
        page.mouse.move(x + (middle[0] - x) * share, y + (middle[1] - y) * share)
        page.wait_for_timeout(STEP_MS)
        seen.add(people(page))
    page.wait_for_function(
        "before => document.querySelector('#strip [data-live=people]').textContent !== before",
        arg=f"{before:,}".replace(",", "."),
    )
    expect(said).to_have_text(told)
    page.mouse.up()
    after = at_rest(page)
    assert len(seen - {before}) > 1
    assert after != before
    expect(said).not_to_have_text(told)
    page.keyboard.press("Control+z")
    expect(page.locator("#strip [data-live=people]")).to_have_text(f"{before:,}".replace(",", "."))
    expect(page.locator("#chosen .tag")).to_have_count(1)

    page.click("[data-tool=polygon]")
    for x, y in ((0.1, 0.2), (0.9, 0.2), (0.9, 0.9)):
        page.locator("#map").click(position={"x": area["width"] * x, "y": area["height"] * y})
    page.wait_for_function(
        "before => document.querySelector('#strip [data-live=people]').textContent !== before",
        arg=f"{before:,}".replace(",", "."),
    )
    page.keyboard.press("Escape")
    assert at_rest(page) == before


def test_figures_of_a_shape_that_cannot_be_counted_are_not_shown(sign_in: SignIn) -> None:
    page = sign_in("ha")
    begin(page, "storm")
    draw(page)
    before = at_rest(page)
    expect(page.locator("#dock [data-live=people]")).to_have_text(f"{before:,}".replace(",", "."))
    assert page.locator("#map .marker-icon[tabindex]").count() == 0
    box = page.locator("#map").bounding_box()
    assert box is not None
    page.mouse.move(*within(box, *CORNERS[0]))
    page.mouse.down()
    # Beyond the side over there: the border crosses itself.
    page.mouse.move(*within(box, 0.7, 0.3), steps=8)
    for place in ("#strip", "#dock"):
        expect(page.locator(f"{place} [data-live=people]")).to_have_text("–")
        expect(page.locator(place)).to_contain_text("chưa đếm được")
    expect(page.locator("#audience dd").first).to_have_text("–")
    with page.expect_response(re.compile("/draft$")):
        page.mouse.up()
    expect(page.locator("#audience [data-uncounted]")).to_be_visible()
    expect(page.locator("#dock")).to_contain_text("chưa đếm được")
    page.keyboard.press("Control+z")
    assert at_rest(page) == before
    expect(page.locator("#dock [data-live=people]")).to_have_text(f"{before:,}".replace(",", "."))


def test_along_a_line_and_without_a_circle(sign_in: SignIn) -> None:
    page = sign_in("ha")
    begin(page, "storm")
    page.click("[data-tool=line]")
    expect(page.locator("#map.geoman-draw-cursor")).to_be_visible()
    page.fill("#line-metres", "3000")
    box = page.locator("#map").bounding_box()
    assert box is not None
    for x, y in CORNERS[:3]:
        page.locator("#map").click(position={"x": box["width"] * x, "y": box["height"] * y})
    page.click("#draw-done")
    expect(page.locator("#chosen")).to_contain_text("Dọc tuyến 1")
    expect(page.locator("#map path.poly:not(.way)")).to_have_count(1)
    narrow = at_rest(page)
    metres = page.locator("#chosen input")
    metres.fill("6000")
    metres.press("Enter")
    expect(metres).to_be_focused()
    page.wait_for_function(
        "was => document.querySelector('#audience [data-people]').dataset.people > was", arg=narrow
    )
    wide = at_rest(page)
    page.click("[data-side=minus]")
    page.click("[data-tool=circle]")
    for x, y in (CORNERS[1], CORNERS[2]):
        page.locator("#map").click(position={"x": box["width"] * x, "y": box["height"] * y})
    expect(page.locator("#chosen .tag-out")).to_contain_text("Vòng tròn 1")
    page.wait_for_function(
        "was => document.querySelector('#audience [data-people]').dataset.people < was", arg=wide
    )


def test_a_pasted_list_is_shown_before_it_is_taken(sign_in: SignIn) -> None:
    page = sign_in("ha")
    begin(page, "storm")
    page.click("#names-panel summary")
    page.fill("#names-text", "p. ba dinh\nquận Tây Hồ cũ\nHoàn Kím")
    page.click("#read-names")
    proposal = page.locator("#proposal")
    expect(proposal).to_contain_text("2 dòng là tên nơi, 1 dòng chưa nhận ra")
    expect(proposal).to_contain_text("không còn từ 1/7/2025")
    expect(page.locator("#map path.maybe").first).to_be_visible()
    expect(page.locator("#chosen .tag")).to_have_count(0)
    proposal.get_by_role("button", name="Phường Hoàn Kiếm").click()
    expect(proposal).to_contain_text("3 dòng là tên nơi")
    expect(proposal.locator("[data-accept] [data-after]")).to_contain_text("người")
    proposal.locator("[data-accept=add]").click()
    expect(page.locator("#chosen .tag")).to_have_count(3)
    expect(page.locator("#map path.maybe")).to_have_count(0)


def test_a_name_that_is_not_whole_is_read_by_the_server_and_shown(sign_in: SignIn) -> None:
    page = sign_in("ha")
    begin(page, "storm")
    field, proposal, tags = (
        page.locator("#by-name"),
        page.locator("#proposal"),
        page.locator(".tag"),
    )
    for typed, taken in {
        "Sơn": None,
        "An": None,
        "Hang Bac": "Hoàn Kiếm",
        "Tứ Liên": "Hồng Hà",
    }.items():
        field.fill(typed)
        field.press("Enter")
        if taken:
            expect(proposal).to_contain_text(taken)
        else:
            expect(
                proposal.or_(page.locator("#place-problem")).locator("visible=true")
            ).to_be_visible()
        expect(tags).to_have_count(0)
    field.fill("Hoan Kim")
    field.press("Enter")
    proposal.get_by_role("button", name="Phường Hoàn Kiếm").click()
    proposal.locator("[data-accept=add]").click()
    expect(tags).to_have_count(1)
    expect(field).to_have_value("")
    field.fill("Quận Hoàn Kiếm (cũ)")
    field.press("Enter")
    expect(tags).to_have_count(2)
    field.fill("Quận Long Biên cũ")
    field.press("Enter")
    proposal.locator("[data-accept=add]").click()
    expect(tags).to_have_count(3)


def test_a_suggestion_goes_into_the_very_entry_it_is_for(sign_in: SignIn) -> None:
    page = sign_in("ha")
    begin(page, "storm")
    page.click("#names-panel summary")
    page.fill("#names-text", "Hoàn Kím Mới Toanh\n1. Ngọc Hà; Hoàn Kím.\nBa Đình")
    page.click("#read-names")
    entry = page.locator("#proposal tr:has([data-row='1'])")
    entry.get_by_role("button", name="Phường Hoàn Kiếm").click()
    expect(page.locator("#names-text")).to_have_value(
        "Hoàn Kím Mới Toanh\n1. Ngọc Hà; Phường Hoàn Kiếm.\nBa Đình"
    )


def zipped_shapefile(folder: Path) -> Path:
    pyogrio.raw.write(
        folder / "bãi.shp",
        geometry=np.array([shapely.to_wkb(shapely.Polygon(BOW_TIE))], dtype=object),
        field_data=[np.array(["bãi sông"], dtype=object)],
        fields=["ten"],
        geometry_type="Polygon",
        crs="EPSG:4326",
        encoding="UTF-8",
    )
    target = folder / "bãi.zip"
    with zipfile.ZipFile(target, "w") as archive:
        for part in folder.glob("bãi.*"):
            if part.suffix != ".zip":
                archive.write(part, part.name)
    return target


def test_a_file_is_read_its_border_repaired_and_the_change_taken_back(
    sign_in: SignIn, tmp_path: Path, watch: Watch
) -> None:
    page = sign_in("ha")
    begin(page, "storm")
    page.click("#file-panel summary")
    page.set_input_files("#area-file", zipped_shapefile(tmp_path))
    proposal = page.locator("#proposal")
    expect(proposal).to_contain_text("bãi.zip")
    proposal.locator("[data-accept]").first.click()
    problem = page.locator('#area-problems [data-code="self_crossing"]')
    expect(problem).to_contain_text("tự cắt")
    problem.locator("[data-at]").click()
    expect(page.locator("#map .here")).to_be_visible()
    problem.locator("[data-repair]").click()
    expect(proposal).to_contain_text("km²")
    expect(proposal.locator("tbody tr").first).to_contain_text("chưa đếm được")
    proposal.locator("[data-accept]").click()
    expect(page.locator("#area-problems [data-code]")).to_have_count(0)
    assert at_rest(page) > 0
    page.keyboard.press("Control+z")
    expect(problem).to_be_visible()

    watch.provoked = "422"
    note = tmp_path / "ghi chú.txt"
    note.write_text("không phải bản đồ")
    page.set_input_files("#area-file", note)
    expect(page.locator("#tool-problem")).to_contain_text("ghi chú.txt")


def test_where_people_are_is_shown_when_asked_and_remembered(sign_in: SignIn) -> None:
    page = sign_in("ha", 360, 780)
    begin(page, "storm")
    button = page.locator("#density")
    expect(button).to_have_attribute("aria-pressed", "false")
    expect(page.locator("#density-legend")).to_be_hidden()
    button.click()
    expect(page.locator("#density-legend [data-step='0']")).to_contain_text("5")
    page.wait_for_selector("#map canvas[data-cells]:not([data-cells='0'])", state="attached")
    page.reload()
    page.wait_for_selector("#compose[data-ready]")
    expect(button).to_have_attribute("aria-pressed", "true")


def test_an_area_is_made_and_unmade_by_keyboard_alone(sign_in: SignIn) -> None:
    page = sign_in("ha")
    begin(page, "storm")
    keys = page.keyboard
    page.focus("#by-name")
    keys.press("Tab")  # to its button
    keys.press("Tab")  # past the empty list of parts, to the panel of names
    expect(page.locator("#names-panel summary")).to_be_focused()
    keys.press("Enter")
    keys.press("Tab")
    keys.type("Ngoc Ha\nGiang Vo")
    keys.press("Tab")
    expect(page.locator("#read-names")).to_be_focused()
    keys.press("Enter")
    expect(page.locator("#proposal h3")).to_be_focused()
    page.locator("#proposal [data-accept=add]").focus()
    keys.press("Enter")
    expect(page.locator("#read-names")).to_be_focused()
    expect(page.locator("#chosen .tag")).to_have_count(2)
    page.locator("#chosen button").first.focus()
    keys.press("Enter")
    expect(page.locator("#chosen button")).to_be_focused()
    keys.press("Enter")
    expect(page.locator("#by-name")).to_be_focused()
    keys.press("Control+z")
    keys.press("Control+z")
    expect(page.locator("#chosen .tag")).to_have_count(2)


@pytest.mark.parametrize("language", ["vi", "en"])
def test_the_tools_of_the_map_fit_a_phone(
    sign_in: SignIn, language: str, tmp_path: Path, demo: str
) -> None:
    page = sign_in("ha", 360, 780)
    page.context.add_cookies([{"name": "lang", "value": language, "url": demo}])
    begin(page, "storm")
    page.click("[data-tool=line]")
    for panel in ("#names-panel", "#file-panel"):
        page.click(f"{panel} summary")
    file = tmp_path / "a.geojson"
    file.write_text(json.dumps({"type": "Polygon", "coordinates": [BOW_TIE]}))
    page.set_input_files("#area-file", file)
    page.locator("#proposal [data-accept]").first.click()
    page.locator("#area-problems [data-repair]").click()
    expect(page.locator("#proposal h3")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    small = page.evaluate(
        "least => [...document.querySelectorAll('[aria-labelledby=h-where] button, .file-btn')]"
        ".filter(one => one.offsetParent)"
        ".filter(one => one.getBoundingClientRect().height < least).map(one => one.outerHTML)",
        TOUCH,
    )
    assert small == []
