"""Scenarios of the demo: what Hanoi would have ready before the season begins."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from broadcaster.alerts import scenario_form, scenarios
from broadcaster.db import Conn
from broadcaster.people.officials import find_actor
from broadcaster.people.selection import Selector

WRITER, REVIEWER = "ha", "tuan"
_MET = "Đài Khí tượng Thủy văn đồng bằng và trung du Bắc Bộ"
_SOURCE = {"vi": "Đài Khí tượng Thủy văn", "en": "Hydro-Met Service"}
_RIVERSIDE = ("00097", "00091", "00118", "00328", "00145", "00598")
"""Wards with houses outside the dyke: Hồng Hà, Phú Thượng, Bồ Đề, Lĩnh Nam, and two more."""


def _units(*codes: str) -> dict[str, Any]:
    return {"units": [{"code": code, "vintage": "2025-07-01"} for code in codes], "groups": []}


SCENARIOS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("flood_red_river_3", "Lũ", {
        "name": {"vi": "Lũ sông Hồng mức III: rời ngoài đê",
                 "en": "Red River flood, alarm III: leave land outside the dyke"},
        "note_vi": "Khi trạm Hà Nội báo sẽ lên 11,50 m. Giờ rời đi trước đỉnh lũ ít nhất một giờ.",
        "note_en": "When 11.50 m is forecast at Hà Nội. People leave an hour before the crest.",
        "event": "flood", "class": "emergency", "area": _units(*_RIVERSIDE),
        "values": {"river": "hong", "alarm": "III", "source": _SOURCE},
        "ask": ["leave_by", "crest_at", "crest_level"],
        "hours": 12, "river_alarm": 3, "risk_level": 3, "issuer": _MET,
    }),
    ("dam_hoa_binh", "Lũ", {
        "name": {"vi": "Hồ Hòa Bình xả lũ: rời bãi sông",
                 "en": "Hoa Binh dam releases water: leave the banks"},
        "note_vi": "Khi nhà máy báo mở cửa xả. Nước về tới Hà Nội sau khoảng 10 giờ.",
        "note_en": "When the dam opens its gates. The water takes about 10 hours to Hanoi.",
        "event": "dam_release", "class": "warning", "area": _units("09700", *_RIVERSIDE),
        "values": {"dam": {"vi": "hồ Hòa Bình", "en": "Hoa Binh dam"}, "river": "hong",
                   "source": {"vi": "Công ty Thủy điện Hòa Bình",
                              "en": "Hoa Binh Hydropower Company"}},
        "ask": ["start", "flow"], "hours": 24, "issuer": "Công ty Thủy điện Hòa Bình",
    }),
    ("storm_city", "Bão", {
        "name": {"vi": "Bão vào Hà Nội: ở trong nhà", "en": "Storm over Hanoi: stay indoors"},
        "note_vi": "Khi bản tin báo gió từ cấp 8 tại Hà Nội.",
        "note_en": "When the bulletin says force 8 or more in Hanoi.",
        "event": "storm", "class": "warning", "area": _units("01"),
        "values": {"source": _SOURCE, "places": {"vi": ["toàn thành phố"],
                                                 "en": ["the whole city"]}},
        "ask": ["storm", "start", "wind", "gust"], "hours": 24, "risk_level": 3, "issuer": _MET,
    }),
    ("rain_inner_city", "Mưa", {
        "name": {"vi": "Mưa lớn, ngập nội thành", "en": "Heavy rain floods the inner city"},
        "note_vi": "Khi mưa trên 50 mm một giờ hoặc có điểm ngập trên 30 cm.",
        "note_en": "Above 50 mm an hour, or where water is deeper than 30 cm.",
        "event": "heavy_rain", "class": "warning",
        "area": {"units": [], "groups": ["005", "006", "008", "009"]},
        "values": {"source": {"vi": "Công ty Thoát nước Hà Nội",
                              "en": "Hanoi Sewerage Company"}},
        "ask": ["start", "rain", "depth", "roads"], "hours": 6,
        "issuer": "Công ty Thoát nước Hà Nội",
    }),
    ("landslide_ba_vi", "Sạt lở", {
        "name": {"vi": "Sạt lở núi Ba Vì: rời sườn dốc", "en": "Ba Vi landslide: leave the slopes"},
        "note_vi": "Khi mưa trên 150 mm một ngày hoặc thấy vết nứt trên sườn núi.",
        "note_en": "Above 150 mm a day, or when cracks show on a slope.",
        "event": "landslide", "class": "emergency", "area": _units("09700", "04930"),
        "values": {"source": _SOURCE}, "ask": ["spot", "leave_by"], "hours": 24, "issuer": _MET,
    }),
    ("forest_fire_soc_son", "Cháy", {
        "name": {"vi": "Cháy rừng Sóc Sơn: rời nhà sát rừng",
                 "en": "Soc Son forest fire: leave houses by the forest"},
        "note_vi": "Khi kiểm lâm báo lửa cách nhà dân dưới 500 m.",
        "note_en": "When the rangers see fire within 500 m of houses.",
        "event": "forest_fire", "class": "emergency", "area": _units("00376", "00433", "00382"),
        "values": {"source": {"vi": "Kiểm lâm Sóc Sơn", "en": "Soc Son forest rangers"}},
        "ask": ["spot", "started", "shelter"], "hours": 6, "issuer": "Kiểm lâm Sóc Sơn",
    }),
)  # fmt: skip


async def prepare(conn: Conn, now: datetime) -> int:
    """Put the scenarios on the city's shelf, reviewed; those that are there stay. Returns new."""
    known = {row["code"] for row in await conn.fetch("SELECT code FROM scenario")}
    writer, reviewer = await find_actor(conn, WRITER), await find_actor(conn, REVIEWER)
    city = await conn.fetchval(
        "SELECT unit_id FROM unit WHERE parent_id IS NULL AND valid_to IS NULL"
    )
    selector = Selector()
    made = 0
    for code, folder, document in SCENARIOS:
        if code in known:
            continue
        scenario = scenario_form.parse(document)
        async with conn.transaction():
            item = await scenarios.create(conn, writer, now, city, code, scenario, folder=folder)
            await scenarios.submit(conn, writer, now, item.item_id, 1, 1, selector)
            await scenarios.put_in_force(conn, reviewer, now, item.item_id, 1, 1, selector)
        made += 1
    return made
