// Where people are: a raster over the map, in four steps of one blue, with the numbers beside it.
// Cells with fewer people than the server tells apart are empty: nobody is pointed at.
/* global L */

const CELL = 14;
const MOST_CELLS = 160;
const STEPS = 4;
const KEPT = "density";
const WAIT_MS = 150;
const PHONE = "(max-width: 45rem)";

export class Density {
  constructor(map, form) {
    this.map = map;
    this.address = form.dataset.density;
    this.number = new Intl.NumberFormat(form.dataset.lang === "vi" ? "vi-VN" : "en-GB");
    this.button = document.getElementById("density");
    this.legend = document.getElementById("density-legend");
    map.createPane("density").classList.add("density-pane");
    this.canvas = L.DomUtil.create("canvas", "leaflet-zoom-hide", map.getPane("density"));
    this.on = this.#wanted();
    this.button.addEventListener("click", () => this.turn(!this.on));
    map.on("moveend", () => this.#soon());
    this.turn(this.on);
  }

  // What was chosen here before; a phone starts without, for the sake of its link.
  #wanted() {
    const kept = localStorage.getItem(KEPT);
    return kept ? kept === "on" : !matchMedia(PHONE).matches;
  }

  turn(on) {
    if (on !== this.on) localStorage.setItem(KEPT, on ? "on" : "off");
    this.on = on;
    this.button.setAttribute("aria-pressed", String(on));
    this.canvas.hidden = !on;
    this.legend.hidden = !on;
    document.getElementById("mapbox").classList.toggle("with-density", on);
    if (on) this.#soon();
  }

  #soon() {
    clearTimeout(this.timer);
    if (this.on) this.timer = setTimeout(() => this.#ask(), WAIT_MS);
  }

  async #ask() {
    const { x, y } = this.map.getSize();
    const cols = Math.min(MOST_CELLS, Math.ceil(x / CELL));
    const rows = Math.min(MOST_CELLS, Math.ceil(y / CELL));
    const bounds = this.map.getBounds();
    const query = new URLSearchParams({
      west: bounds.getWest().toFixed(5),
      south: bounds.getSouth().toFixed(5),
      east: bounds.getEast().toFixed(5),
      north: bounds.getNorth().toFixed(5),
      cols,
      rows,
    });
    // Of an exercise that goes to its recipients: where those are.
    if (document.documentElement.dataset.recipients === "listed") query.set("exercise", "1");
    this.busy?.abort();
    this.busy = new AbortController();
    try {
      const answer = await fetch(`${this.address}?${query}`, { signal: this.busy.signal });
      if (answer.ok) this.#draw(rasterOf(await answer.arrayBuffer()));
    } catch {
      // Out of date, or no link: the figures beside the map do not need it.
    }
  }

  #draw({ bounds, cols, rows, cells }) {
    const limits = stepsOf(cells);
    const { canvas, map } = this;
    const tall = (bounds.getNorth() - bounds.getSouth()) / rows;
    const at = (row) => map.latLngToLayerPoint([bounds.getNorth() - tall * row, bounds.getWest()]);
    const corner = at(0).round();
    const width = map.latLngToLayerPoint(bounds.getNorthEast()).x - corner.x;
    L.DomUtil.setPosition(canvas, corner);
    canvas.width = Math.ceil(width);
    canvas.height = Math.ceil(at(rows).y - corner.y);
    const pen = canvas.getContext("2d");
    const style = getComputedStyle(document.documentElement);
    const colours = limits.map((_, step) => style.getPropertyValue(`--density-${step + 1}`));
    for (let row = 0; row < rows; row += 1) {
      const top = Math.round(at(row).y - corner.y);
      const height = Math.round(at(row + 1).y - corner.y) - top;
      for (let col = 0; col < cols; col += 1) {
        const step = stepOf(limits, cells[row * cols + col]);
        if (step < 0) continue;
        const left = Math.round((col * width) / cols);
        pen.fillStyle = colours[step];
        pen.fillRect(left, top, Math.round(((col + 1) * width) / cols) - left, height);
      }
    }
    this.#tell(limits, bounds, cols, cells);
  }

  #tell(limits, bounds, cols, cells) {
    const metres = this.map.distance(bounds.getNorthWest(), bounds.getNorthEast()) / cols;
    this.legend.querySelector("[data-cell]").textContent = this.number.format(nice(metres));
    for (const item of this.legend.querySelectorAll("[data-step]")) {
      const step = Number(item.dataset.step);
      const [from, next] = [limits[step], limits[step + 1]];
      item.hidden = from === undefined;
      if (item.hidden) continue;
      const to = next === undefined ? "+" : `–${this.number.format(next - 1)}`;
      item.querySelector("span").textContent = this.number.format(from) + to;
    }
    this.legend.querySelector("[data-none]").hidden = cells.some((people) => people > 0);
    this.canvas.dataset.cells = cells.filter((people) => people > 0).length;
  }
}

// The server's own raster: near the one asked for, on the lines it keeps people by.
function rasterOf(buffer) {
  const head = new DataView(buffer);
  const [west, south, east, north] = [0, 8, 16, 24].map((place) => head.getFloat64(place, true));
  const [cols, rows] = [32, 36].map((place) => head.getUint32(place, true));
  const bounds = L.latLngBounds([south, west], [north, east]);
  return { bounds, cols, rows, cells: new Uint32Array(buffer, 40) };
}

// 1, 2 or 5 and noughts: a number that can be read at a glance.
function nice(value) {
  const unit = 10 ** Math.floor(Math.log10(Math.max(1, value)));
  return unit * [1, 2, 5, 10].findLast((step) => step * unit <= Math.max(1, value));
}

// Where each step begins: so that a quarter of the lived-in cells falls in each, in round numbers.
export function stepsOf(cells) {
  const people = cells.filter((one) => one > 0).sort();
  const limits = Array.from({ length: STEPS }, (_, step) =>
    people.length ? nice(people[Math.floor((people.length * step) / STEPS)]) : undefined,
  );
  return [...new Set(limits)].filter((one) => one !== undefined);
}

const stepOf = (limits, people) => (people ? limits.findLastIndex((from) => people >= from) : -1);
