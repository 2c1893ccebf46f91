// The duty table on a map, and the search that narrows the table.
import { createMap, drawUnits, fetchUnits, labelUnits } from "./map.js";

const rows = [...document.querySelectorAll("#duty tbody tr")];
const find = document.getElementById("find-unit");
const plain = (text) =>
  text
    .normalize("NFD")
    .replace(/\p{M}/gu, "")
    .replace(/[đĐ]/g, "d")
    .toLowerCase();
find.addEventListener("input", () => {
  for (const row of rows) row.hidden = !plain(row.cells[0].textContent).includes(plain(find.value));
});

const status = new Map(rows.map((row) => [Number(row.dataset.unit), row.dataset.status]));
const classes = { overdue: "u k-late", due_soon: "u k-due", on_time: "u" };
const element = document.getElementById("map");
const units = await fetchUnits(element);
const map = createMap(element);
drawUnits(map, units, { classOf: (feature) => classes[status.get(feature.id)] ?? "u u-off" });
const late = new Set([...status].filter(([, one]) => one === "overdue").map(([id]) => id));
labelUnits(map, units, element.dataset.lang, () => late);
