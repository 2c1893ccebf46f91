"""What the demo needs to rehearse: people who take part in exercises, and training accounts."""

from __future__ import annotations

from datetime import datetime

from broadcaster.db import Conn
from broadcaster.demo.seed import CITY, PASSWORD, DemoOfficial
from broadcaster.people import exercise_recipients
from broadcaster.people.officials import Role, create_official

TAKE_PART = 42
TRAINING = (
    DemoOfficial("hoc", "Người học soạn tin", "Tài khoản tập huấn", ("author",), CITY),
    DemoOfficial("thi", "Người học duyệt tin", "Tài khoản tập huấn", ("approver",), CITY),
)


async def prepare(conn: Conn, now: datetime) -> None:
    """Make both where they are missing; what is there is kept."""
    city = await conn.fetchval(
        "SELECT unit_id FROM unit WHERE code = $1 AND valid_to IS NULL", CITY
    )
    known = {row["login"] for row in await conn.fetch("SELECT login FROM official")}
    for official in TRAINING:
        if official.login not in known:
            await create_official(
                conn, None, now, login=official.login, name=official.name, title=official.title,
                password=PASSWORD, training=True,
                roles=[Role(role, city) for role in official.roles],
            )  # fmt: skip
    if await conn.fetchval("SELECT EXISTS (SELECT FROM exercise_recipient)"):
        return
    # One from each of so many units, so that an exercise anywhere reaches somebody.
    rows = await conn.fetch(
        "SELECT min(l.person_id) AS person_id FROM person_place l"
        " JOIN person_endpoint USING (person_id) WHERE l.place_no = 0 GROUP BY l.unit_id"
        " ORDER BY count(*) DESC, l.unit_id LIMIT $1",
        TAKE_PART,
    )
    people = [row["person_id"] for row in rows]
    await exercise_recipients.enrol_people(conn, now, city, people, "người dân của bản mẫu")
