// The alert's area, and how far each commune is: shades of one blue, and the figure as a label.
import { createMap, drawArea, drawUnits, fetchUnits, labelUnits, setClass } from "./map.js";

const element = document.getElementById("map");
const units = await fetchUnits(element);
const map = createMap(element);
const layers = drawUnits(map, units);
const chosen = drawArea(map, JSON.parse(element.dataset.area), units, layers);
const steps = document.getElementById("map-steps");
const known = new Set(units.features.map((one) => one.id));
const LIMITS = { left: [0.5, 0.8, 0.95], confirmed: [0.5, 0.8, 0.95], failed: [0.01, 0.05, 0.2] };
const percent = new Intl.NumberFormat(element.dataset.lang === "vi" ? "vi-VN" : "en-GB", {
  style: "percent",
  maximumFractionDigits: 0,
});
let shares = new Map();

const measure = () => document.querySelector("#map-of input:checked")?.value ?? "left";

// The table has every figure of the map: the map reads it, so the two never differ.
function read() {
  const of = measure();
  shares = new Map();
  for (const row of document.querySelectorAll("#live-communes tr[data-unit]")) {
    const unit = Number(row.dataset.unit);
    const all = Number(row.dataset.messages);
    if (known.has(unit) && all) shares.set(unit, Number(row.dataset[of]) / all);
  }
}

function label(feature) {
  const share = shares.get(feature.id);
  if (share === undefined) return "";
  // What is not whole is never shown as whole.
  return percent.format(share === 1 ? 1 : Math.min(share, 0.99));
}

const important = () => {
  if (shares.size <= 14) return new Set([...shares.keys(), ...(shares.size ? [] : chosen)]);
  const worst = measure() === "failed" ? -1 : 1;
  const order = [...shares].sort((a, b) => worst * (a[1] - b[1]));
  return new Set(order.slice(0, 12).map(([unit]) => unit));
};
const relabel = labelUnits(map, units, element.dataset.lang, important, [], label);

function paint() {
  read();
  const limits = LIMITS[measure()];
  for (const [unit, path] of layers) {
    const share = shares.get(unit);
    const on = chosen.has(unit) ? " on" : "";
    if (share === undefined) setClass(path, `u${on}`);
    else {
      setClass(path, `u rc r${1 + limits.filter((one) => share >= one).length}${on}`);
      path.bringToFront();
    }
  }
  if (steps) {
    for (const text of steps.querySelectorAll("[data-left]")) {
      text.textContent = measure() === "failed" ? text.dataset.failed : text.dataset.left;
    }
  }
  relabel();
}

paint();
document.getElementById("live-communes")?.addEventListener("live-changed", paint);
document.getElementById("map-of")?.addEventListener("change", paint);
