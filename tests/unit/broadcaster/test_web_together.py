"""Several officials on one draft: joined saves, who is there, remarks, and earlier versions."""

from __future__ import annotations

from typing import Any

import pytest

from broadcaster.people.officials import Role
from tests.unit.broadcaster.city import official, unit_id
from tests.unit.broadcaster.desk import Desk, Seat, posted, started, state_of, submitted
from tests.unit.broadcaster.site import Site


async def put(desk: Desk, address: str, document: Any) -> tuple[int, Any]:
    answer = await desk.send("PUT", f"{address}/draft", document)
    return answer.status, await answer.json()


@pytest.fixture
async def other(city: Site) -> Any:
    """A second author of the whole city."""
    async with city.pool.acquire() as conn:
        await official(conn, "mai", Role("author", await unit_id(conn, "01")))
    async with Seat(city, "mai") as signed:
        yield await signed


async def both(author: Desk, city: Site) -> str:
    """A complete draft at version 2."""
    address = await started(author, city)
    assert (await put(author, address, posted(1, city)))[0] == 200
    return address


async def test_changes_of_different_fields_are_joined(
    author: Desk, other: Desk, city: Site
) -> None:
    address = await both(author, city)
    assert (await put(author, address, posted(2, city, risk_level=5)))[0] == 200
    own = {"vi": {"push.title": "Ở yên trong nhà"}, "en": {}}
    status, answer = await put(other, address, posted(2, city, own=own))
    assert status == 200
    assert answer["version"] == 4
    assert answer["document"]["risk_level"] == 5
    assert answer["document"]["own"]["vi"] == {"push.title": "Ở yên trong nhà"}
    assert "Ở yên trong nhà" in answer["fragments"]["preview"]


async def test_one_field_changed_by_both_is_asked_about_and_nothing_is_saved(
    author: Desk, other: Desk, city: Site
) -> None:
    address = await both(author, city)
    await put(author, address, posted(2, city, risk_level=4))
    status, answer = await put(other, address, posted(2, city, risk_level=5, river_alarm=1))
    assert (status, answer["code"]) == (409, "both_changed")
    (clash,) = answer["details"]["clashes"]
    assert clash["path"] == ["risk_level"]
    assert (clash["mine_shown"], clash["theirs_shown"]) == ("5", "4")
    assert answer["details"]["document"]["river_alarm"] == 1
    assert answer["details"]["by"] in answer["message"]
    settled = {**answer["details"]["document"], "risk_level": 5, "version": 3}
    status, answer = await put(other, address, settled)
    assert (status, answer["version"]) == (200, 4)
    stored = await city.pool.fetchval(
        "SELECT content->>'risk_level' FROM alert_version ORDER BY version DESC LIMIT 1"
    )
    assert stored == "5"


async def test_an_edit_that_knows_nothing_of_a_submission_does_not_take_it_back(
    author: Desk, other: Desk, city: Site
) -> None:
    address = await submitted(author, city)
    status, answer = await put(other, address, posted(2, city, risk_level=5, state="draft"))
    assert (status, answer["code"]) == (409, "moved_on")
    assert await state_of(city, address) == "submitted"
    known = posted(2, city, risk_level=5, state="submitted")
    assert (await put(other, address, known))[0] == 200
    assert await state_of(city, address) == "draft"


async def test_the_newest_version_is_told_as_the_form_posts_it(author: Desk, city: Site) -> None:
    address = await both(author, city)
    answer = await (await author.get(f"{address}/draft")).json()
    sent = posted(2, city)
    for name in ("class", "area", "languages", "expires", "risk_level", "source", "channels"):
        assert answer["document"][name] == sent[name], name
    assert answer["document"]["values"] == sent["values"]
    assert answer["csrf"] == author.csrf
    status, again = await put(author, address, {**answer["document"], "version": 2})
    assert (status, again["version"]) == (200, 2)  # nothing changed, so no version


# who is there


async def present(desk: Desk, address: str, field: str = "", page: str = "p") -> Any:
    answer = await desk.send("PUT", f"{address}/presence", {"page": page, "field": field})
    assert answer.status == 200, await answer.text()
    return await answer.json()


async def test_two_on_one_draft_see_each_other_and_where(
    author: Desk, other: Desk, city: Site
) -> None:
    address = await both(author, city)
    assert (await present(author, address, "own/vi/push.title"))["html"].strip() == ""
    seen = await present(other, address)
    assert "Dòng đầu: phải làm gì" in seen["html"]
    assert seen["version"] == 2
    city.later(seconds=13)
    assert (await present(other, address))["html"].strip() == ""


async def test_who_leaves_is_gone_at_once(author: Desk, other: Desk, city: Site) -> None:
    address = await both(author, city)
    await present(author, address)
    assert "present" in (await present(other, address))["html"]
    answer = await author.send("DELETE", f"{address}/presence?page=p", None)
    assert answer.status == 204
    assert (await present(other, address))["html"].strip() == ""


# remarks


async def test_a_remark_is_seen_by_the_approver_and_settled_once(
    author: Desk, approver: Desk, city: Site
) -> None:
    address = await submitted(author, city)
    answer = await approver.post(
        f"{address}/comments", text="Thêm điểm sơ tán", field="values/storm", next=f"{address}/edit"
    )
    assert answer.headers["Location"] == f"{address}/edit"
    page = await author.text(f"{address}/versions")
    assert "Thêm điểm sơ tán" in page
    assert (await present(author, address))["comments"] == 1
    number = await city.pool.fetchval("SELECT comment_id FROM alert_comment")
    assert (await author.post(f"{address}/comments/{number}/resolve")).status == 303
    assert (await author.post(f"{address}/comments/{number}/resolve")).status == 409
    assert (await present(author, address))["comments"] == 0
    assert await state_of(city, address) == "submitted"  # a remark voids nothing


@pytest.mark.parametrize("text", ["", "   ", "x" * 1001])
async def test_a_remark_without_words_or_with_too_many_is_refused(
    author: Desk, city: Site, text: str
) -> None:
    address = await both(author, city)
    assert (await author.post(f"{address}/comments", text=text)).status == 422
    assert await city.pool.fetchval("SELECT count(*) FROM alert_comment") == 0


# versions


async def test_an_earlier_version_is_taken_up_again_as_a_new_one(author: Desk, city: Site) -> None:
    address = await both(author, city)
    city.later(minutes=5)
    await put(author, address, posted(2, city, risk_level=5))
    page = await author.text(f"{address}/versions")
    assert "<del>3</del>" in page
    assert "<ins>5</ins>" in page
    answer = await author.post(f"{address}/versions/2/restore", version="3")
    assert answer.headers["Location"] == f"{address}/edit"
    row = await city.pool.fetchrow(
        "SELECT version, restored_from, content->>'risk_level' AS level FROM alert_version"
        " ORDER BY version DESC LIMIT 1"
    )
    assert tuple(row or ()) == (4, 2, "3")
    late = await author.post(f"{address}/versions/2/restore", version="3")
    assert late.status == 409


async def test_a_version_there_is_not_is_refused_by_name(author: Desk, city: Site) -> None:
    address = await both(author, city)
    for number, status in (("9", 404), ("99999999999", 422), ("x", 422)):
        answer = await author.post(f"{address}/versions/{number}/restore", version="2")
        assert answer.status == status, number
