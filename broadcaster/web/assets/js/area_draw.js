// Drawing and moving shapes by hand, with Geoman; it is loaded when the first shape needs it.
/* global L */
import { Shape } from "./area_shapes.js";
import { Band } from "./band.js";

const TOOLS = { polygon: "Polygon", circle: "Circle", line: "Line" };
const KINDS = { polygon: "polygons", circle: "circles", line: "lines" };
const NEEDS = { polygon: 3, line: 2 };
// A handle for every corner of a longer border makes a phone stand still.
const MOST_HANDLES = 600;
const HANDLES_NEAR = 60;

export class Pencil extends EventTarget {
  constructor(map, form) {
    super();
    this.map = map;
    this.form = form;
    this.tool = null;
    this.side = "add";
    this.metres = 500;
  }

  async use(tool, side) {
    this.stop();
    this.side = side;
    if (!TOOLS[tool]) return;
    await this.#load();
    this.tool = tool;
    const name = side === "minus" ? "minus" : "poly";
    this.map.pm.enableDraw(TOOLS[tool], {
      snappable: false,
      tooltips: false,
      templineStyle: { className: tool === "circle" ? name : "draw-line" },
      hintlineStyle: { className: "draw-hint" },
      pathOptions: { className: name },
    });
  }

  stop() {
    this.map.pm?.disableDraw();
    this.tool = null;
    this.band?.remove();
    this.band = null;
  }

  // For hands that cannot hit the first corner again.
  finish() {
    this.map.pm.Draw[TOOLS[this.tool]]._finishShape();
  }

  back() {
    this.map.pm.Draw[TOOLS[this.tool]]._removeLastVertex();
  }

  async edit(shape) {
    if (shape.points > MOST_HANDLES) return;
    await this.#load();
    const { layer } = shape;
    if (!layer._map) return;
    if (!layer.pm) L.PM.reInitLayer(layer);
    layer.pm.enable({
      snappable: false,
      draggable: shape.kind === "circles",
      preventMarkerRemoval: shape.kind === "circles",
      limitMarkersToCount: shape.points > HANDLES_NEAR ? HANDLES_NEAR : -1,
    });
    let moving = false;
    layer.on("pm:markerdragstart", () => {
      moving = true;
    });
    layer.on("pm:change", () => {
      if (!moving) return;
      shape.read();
      this.#tell("editing");
    });
    layer.on("pm:markerdragend", () => {
      moving = false;
      shape.read();
      this.#tell("edited");
    });
    layer.on("pm:edit", () => {
      if (moving) return;
      shape.read();
      this.#tell("edited");
    });
    layer.on("pm:remove", () => this.#tell("removed", shape));
  }

  #tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }

  #load() {
    this.loading ??= this.#fetch();
    return this.loading;
  }

  async #fetch() {
    // The handles answer to a pointer alone: as Tab stops they would lead nowhere.
    L.Marker.mergeOptions({ keyboard: false });
    const sheet = document.createElement("link");
    sheet.rel = "stylesheet";
    sheet.href = this.form.dataset.geomanCss;
    const script = document.createElement("script");
    script.src = this.form.dataset.geoman;
    await new Promise((resolve, reject) => {
      script.addEventListener("load", resolve);
      script.addEventListener("error", reject);
      document.head.append(sheet, script);
    });
    // The map was made before: give it what later ones get by themselves.
    L.PM.reInitLayer(this.map);
    if (!this.map.pm) this.map.pm = new L.PM.Map(this.map);
    this.map.on("pm:drawstart", ({ workingLayer }) => this.#follow(workingLayer));
    this.map.on("pm:create", ({ layer }) => this.#created(layer));
  }

  // The shape as it grows: with the point under the cursor, where there is a cursor.
  #follow(working) {
    const { tool, side } = this;
    let placed = tool !== "circle";
    working.on("pm:centerplaced", () => {
      placed = true;
    });
    if (tool === "line") this.band = new Band(this.map, side === "minus" ? "minus" : "poly");
    working.on("pm:change", ({ latlngs }) => {
      if (!placed || latlngs.length < NEEDS[tool]) return;
      this.band?.follow(latlngs, this.metres);
      const layer = tool === "circle" ? working : { getLatLngs: () => latlngs };
      const shown = tool === "polygon" ? { getLatLngs: () => [latlngs] } : layer;
      this.#tell("drawing", Shape.drawn(KINDS[tool], side, shown, this.metres));
    });
  }

  #created(layer) {
    const shape = Shape.drawn(KINDS[this.tool], this.side, layer, this.metres);
    layer.remove();
    this.stop();
    this.#tell("created", shape);
  }
}
