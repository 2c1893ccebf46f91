from __future__ import annotations

import shutil
from datetime import timedelta
from pathlib import Path

import pytest

from templates.catalogue import LANGS, WORDING, CatalogueError, load, load_from

EVENTS = {
    "air_quality", "all_clear", "cold", "correction", "dam_release", "dyke_incident", "epidemic",
    "exercise", "fire", "flood", "fog", "forest_fire", "heat", "heavy_rain", "landslide",
    "missing_person", "outage", "public_notice", "storm", "thunderstorm", "traffic",
    "urban_flooding",
}  # fmt: skip
FILES = {"push.txt", "sms.txt", "email.txt", "email.html", "page.txt"}


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A catalogue with one event, to be broken."""
    for name in ("common.toml", "layout", "storm"):
        source = WORDING / name
        if source.is_dir():
            shutil.copytree(source, tmp_path / name)
        else:
            shutil.copy(source, tmp_path / name)
    return tmp_path


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def test_every_event_is_there_and_read_once() -> None:
    assert set(load().events) == EVENTS
    assert load() is load()


@pytest.mark.parametrize("code", sorted(EVENTS))
def test_no_event_lacks_a_file(code: str) -> None:
    for lang in LANGS:
        assert {path.name for path in (WORDING / code / lang).iterdir()} == FILES


@pytest.mark.parametrize("code", sorted(EVENTS))
def test_both_languages_show_the_same_placeholders(code: str) -> None:
    vi, en = (load().templates[code, lang] for lang in LANGS)
    assert vi.placeholders == en.placeholders
    assert len(vi.instructions) == len(en.instructions)


@pytest.mark.parametrize("code", sorted(EVENTS))
def test_every_event_asks_where_until_when_and_who_says_so(code: str) -> None:
    event = load().events[code]
    for name in ("places", "until", "source"):
        field = event.field(name)
        assert field is not None
        assert field.required


def test_defaults_carry_what_cap_needs() -> None:
    flood = load().events["flood"]
    assert flood.name["vi"] == "Lũ sông"
    assert flood.name["en"] == "River flood"
    assert flood.category == ("Met",)
    assert flood.response_type == ("Evacuate", "Prepare")
    assert flood.default_class == "emergency"
    assert (flood.cap_event_code.value_name, flood.cap_event_code.value) == ("OET:v1.2", "OET-081")
    assert flood.default_expiry == timedelta(hours=12)
    assert flood.maximum_expiry == timedelta(hours=24)
    assert load().events["all_clear"].response_type == ("AllClear",)


def test_an_event_may_give_a_shared_field_of_its_own() -> None:
    events = load().events
    assert events["landslide"].examples()["places"] == ["Ba Vì", "Yên Xuân"]
    assert events["storm"].examples()["places"][0] == "Hồng Hà"


@pytest.mark.parametrize(
    ("file", "old", "new", "what"),
    [
        ("storm/event.toml", 'code = "storm"', 'code = "gale"', "the folder is “storm”"),
        ("storm/event.toml", '"warning"', '"urgent"', "default_class"),
        ("storm/event.toml", '"Shelter"', '"Hide"', "response_type"),
        ("storm/event.toml", "version = 2\n", "", "version"),
        ("storm/event.toml", "version = 2\n", "version = 2\ncolour = 3\n", "colour"),
        ("storm/event.toml", "version = 2", "version = ", "line 2"),
        ("storm/event.toml", "maximum_expiry_hours = 48", "maximum_expiry_hours = 8", "maximum"),
        ("storm/event.toml", "max_length = 14", "max_length = 3", "example of “storm” (vi)"),
        ("storm/event.toml", "max_length = 14\n", "", "needs max_length"),
        ("storm/event.toml", 'name = "gust"', 'name = "wind"', "given twice: wind"),
        ("storm/event.toml", 'en = "Storm\'s name"', 'en = " "', "both vi and en"),
        ("storm/vi/sms.txt", "{{ wind }}", "{{ speed }}", "without a field: speed"),
        ("storm/vi/sms.txt", "{{ wind }}", "{{ wind }", "sms.txt"),
        ("storm/en/email.html", "layout/en", "layout/fr", "layout/fr/email.html, not found"),
        ("storm/en/push.txt", "Stay indoors from {{ start }}: storm\n", "", "a piece is empty"),
        ("common.toml", 'name = "until"', 'name = "un-til"', "placeholder's name"),
    ],
)
def test_a_broken_catalogue_names_the_file_and_the_fault(
    copy: Path, file: str, old: str, new: str, what: str
) -> None:
    edit(copy / file, old, new)
    with pytest.raises(CatalogueError) as caught:
        load_from(copy)
    assert what in str(caught.value)
    assert str(copy / file).startswith(str(caught.value.path))


def test_a_missing_file_is_named(copy: Path) -> None:
    (copy / "storm/en/sms.txt").unlink()
    with pytest.raises(CatalogueError, match=r"en/sms\.txt: cannot be read"):
        load_from(copy)


def test_a_field_no_wording_shows_is_named(copy: Path) -> None:
    for path in (copy / "storm/vi").iterdir():
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace("{{ source }}", "ai"), encoding="utf-8")
    with pytest.raises(CatalogueError, match="fields no file shows: source"):
        load_from(copy)


def test_a_page_without_instructions_is_refused(copy: Path) -> None:
    (copy / "storm/vi/page.txt").write_text("Ở trong nhà\nGió to.\n", encoding="utf-8")
    with pytest.raises(CatalogueError, match="no numbered line"):
        load_from(copy)


def test_an_empty_folder_is_no_catalogue(copy: Path) -> None:
    shutil.rmtree(copy / "storm")
    with pytest.raises(CatalogueError, match="holds no event"):
        load_from(copy)
