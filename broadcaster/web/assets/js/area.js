// The area of a draft on the map: communes and former districts to click, shapes to draw, parts to
// take out, and the way back from each change.
/* global L */
import { Pencil } from "./area_draw.js";
import { PartList } from "./area_list.js";
import { Shape } from "./area_shapes.js";
import { SHAPES, SIDES, readArea, writeArea } from "./area_value.js";
import { createMap, drawUnits, fetchUnits, labelUnits, setClass, unitsOf } from "./map.js";

const MOST_STEPS_BACK = 50;
const DRAWN = new Set(["polygon", "circle", "line"]);

export class AreaEditor extends EventTarget {
  constructor(form, words) {
    super();
    this.form = form;
    this.words = words;
    this.lang = form.dataset.lang;
    this.side = "add";
    this.tool = "unit";
    this.shapes = [];
    this.past = [];
    this.#take(JSON.parse(form.dataset.area));
    this.last = JSON.stringify(this.value);
  }

  get value() {
    const side = (name) => ({
      units: this.parts[name].units,
      groups: this.parts[name].groups,
      ...Object.fromEntries(SHAPES.map((kind) => [kind, this.#of(kind, name).map((one) => one.value)])),
    });
    return writeArea({ add: side("add"), minus: side("minus") });
  }

  #of(kind, side) {
    return this.shapes.filter((one) => one.kind === kind && one.side === side);
  }

  #take(area) {
    this.parts = readArea(area);
    for (const shape of this.shapes) shape.remove();
    this.shapes = SIDES.flatMap((side) =>
      SHAPES.flatMap((kind) => this.parts[side][kind].map((value) => new Shape(kind, side, value))),
    );
  }

  async start() {
    const element = document.getElementById("map");
    this.data = await fetchUnits(element);
    this.map = createMap(element);
    this.layers = drawUnits(this.map, this.data, { onClick: (one) => this.#clicked(one) });
    this.relabel = labelUnits(this.map, this.data, this.lang, () => this.chosen);
    this.pencil = new Pencil(this.map, this.form);
    this.list = new PartList(document.getElementById("chosen"), this.words);
    this.#listen();
    this.#toolbar();
    for (const shape of this.shapes) this.#place(shape);
    this.redraw();
    this.fit();
  }

  get chosen() {
    return unitsOf(this.value, this.data);
  }

  // Another area in place of this one: a proposal that was accepted, or a step back.
  set(area, { fit = true } = {}) {
    this.#take(area);
    for (const shape of this.shapes) this.#place(shape);
    this.changed();
    if (fit) this.fit();
  }

  undo() {
    if (!this.past.length) return;
    this.last = this.past.pop();
    this.#take(JSON.parse(this.last));
    for (const shape of this.shapes) this.#place(shape);
    document.getElementById("audience-said").textContent = this.words.undone;
    this.#tell();
  }

  // Remember what was, draw what is, tell who listens; false when it is the same after all.
  changed() {
    const now = JSON.stringify(this.value);
    if (now === this.last) return false;
    this.past = [...this.past, this.last].slice(-MOST_STEPS_BACK);
    this.last = now;
    this.#tell();
    return true;
  }

  #tell() {
    this.redraw();
    this.dispatchEvent(new Event("change"));
  }

  #moving(area) {
    this.dispatchEvent(new CustomEvent("drawing", { detail: area }));
  }

  // Nothing moves any more, though perhaps nothing has changed either.
  #still() {
    this.dispatchEvent(new Event("still"));
  }

  redraw() {
    const { value } = this;
    const chosen = unitsOf(value, this.data);
    const out = unitsOf(value.exclusions, this.data);
    for (const [id, path] of this.layers) {
      setClass(path, out.has(id) ? "u out" : chosen.has(id) ? "u on" : "u");
      if (chosen.has(id) || out.has(id)) path.bringToFront();
    }
    for (const shape of this.shapes) shape.bringToFront();
    this.relabel();
    this.list.show(this.#listed());
    document.getElementById("undo").disabled = !this.past.length;
  }

  // The true shapes around the lines, as the server counts in them; null for a line with a problem.
  settleLines(shapes) {
    for (const side of SIDES) {
      const lines = this.#of("lines", side);
      if (shapes[side]?.length !== lines.length) continue;
      lines.forEach((line, number) => shapes[side][number] && line.settle(shapes[side][number]));
    }
  }

  #listed() {
    const unitName = ({ code, vintage }) => {
      const known = this.data.features.find(
        ({ properties }) => properties.code === code && properties.vintage === vintage,
      );
      return known?.properties.name[this.lang] ?? code;
    };
    const groupName = (code) =>
      this.data.groups.find((one) => one.code === code)?.name[this.lang] ?? code;
    return SIDES.flatMap((side) => [
      ...this.parts[side].groups.map((code) => ({
        key: `${side}:${code}`, side, name: groupName(code), drop: () => this.#toggleGroup(code, side),
      })),
      ...this.parts[side].units.map((unit) => ({
        key: `${side}:${unit.code}@${unit.vintage}`, side, name: unitName(unit), drop: () => this.#toggle(unit, side),
      })),
      ...SHAPES.flatMap((kind) => this.#of(kind, side).map((shape, number) => this.#part(shape, number + 1))),
    ]);
  }

  #part(shape, number) {
    const { kind, side, value } = shape;
    const part = { key: `${side}:${kind}:${number}`, kind, side, metres: value.metres };
    part.name = `${this.words.names[kind]} ${number}`;
    part.drop = () => this.#drop(shape);
    if (kind !== "polygons") {
      part.widen = (metres) => {
        shape.widen(metres);
        this.set(this.value, { fit: false });
      };
    }
    return part;
  }

  #clicked({ properties }) {
    if (this.pencil.tool) return;
    if (this.tool !== "group") this.#toggle(properties, this.side);
    else if (properties.group) this.#toggleGroup(properties.group, this.side);
  }

  #toggle({ code, vintage }, side) {
    const others = (name) =>
      this.parts[name].units.filter((unit) => unit.code !== code || unit.vintage !== vintage);
    const there = others(side).length < this.parts[side].units.length;
    for (const name of SIDES) this.parts[name].units = others(name);
    if (!there) this.parts[side].units.push({ code, vintage });
    this.changed();
  }

  #toggleGroup(code, side) {
    const others = (name) => this.parts[name].groups.filter((one) => one !== code);
    const there = this.parts[side].groups.includes(code);
    for (const name of SIDES) this.parts[name].groups = others(name);
    if (!there) this.parts[side].groups.push(code);
    this.changed();
  }

  // What is named is put in, and never taken back by being named twice.
  put({ properties }) {
    const { code, vintage } = properties;
    const there = this.parts[this.side].units.some((one) => one.code === code && one.vintage === vintage);
    if (!there) this.#toggle(properties, this.side);
    this.fit();
  }

  putGroup(code) {
    if (!this.parts[this.side].groups.includes(code)) this.#toggleGroup(code, this.side);
    this.fit();
  }

  #place(shape) {
    shape.addTo(this.map);
    this.pencil.edit(shape);
  }

  #drop(shape) {
    shape.remove();
    this.shapes = this.shapes.filter((one) => one !== shape);
    this.changed();
  }

  fit() {
    const bounds = L.latLngBounds([]);
    for (const id of this.chosen) bounds.extend(this.layers.get(id).getBounds());
    for (const { bounds: around } of this.shapes) bounds.extend(around);
    // Not animated: Leaflet drops a move that is asked for while another is on its way.
    if (bounds.isValid()) {
      this.map.fitBounds(bounds, { padding: [32, 32], maxZoom: 14, animate: false });
    }
  }

  #listen() {
    const { pencil } = this;
    pencil.addEventListener("editing", () => this.#moving(this.value));
    pencil.addEventListener("edited", () => this.changed() || this.#still());
    pencil.addEventListener("removed", ({ detail }) => this.#drop(detail));
    pencil.addEventListener("drawing", ({ detail }) => {
      const area = this.value;
      const side = detail.side === "minus" ? area.exclusions : area;
      side[detail.kind] = [...side[detail.kind], detail.value];
      this.#moving(area);
    });
    pencil.addEventListener("created", ({ detail }) => {
      this.shapes.push(detail);
      this.#place(detail);
      this.use("unit");
      this.changed();
    });
  }

  #toolbar() {
    for (const button of document.querySelectorAll("[data-tool]")) {
      button.addEventListener("click", () => this.use(button.dataset.tool));
    }
    for (const button of document.querySelectorAll("[data-side]")) {
      button.addEventListener("click", () => this.#turn(button.dataset.side));
    }
    document.getElementById("undo").addEventListener("click", () => this.undo());
    document.getElementById("clear").addEventListener("click", () => this.set(readArea({}).add));
    document.getElementById("draw-done").addEventListener("click", () => this.pencil.finish());
    document.getElementById("draw-back").addEventListener("click", () => this.pencil.back());
    document.getElementById("draw-stop").addEventListener("click", () => this.use("unit"));
    const metres = document.getElementById("line-metres");
    metres.addEventListener("input", () => {
      if (metres.checkValidity() && metres.value) this.pencil.metres = Math.round(Number(metres.value));
    });
    document.addEventListener("keydown", (event) => this.#key(event));
  }

  #key(event) {
    if (event.key === "Escape" && this.pencil.tool) this.use("unit");
    const { target } = event;
    const typing = target.matches("input:not([type=checkbox]):not([type=radio]), textarea, select") && target.value;
    if (event.key.toLowerCase() !== "z" || !(event.ctrlKey || event.metaKey) || event.shiftKey || typing) return;
    event.preventDefault();
    this.undo();
  }

  // A new side begins anew with the tool in hand, so that a shape half drawn is not turned over.
  #turn(side) {
    this.side = side;
    for (const button of document.querySelectorAll("[data-side]")) {
      button.setAttribute("aria-pressed", String(button.dataset.side === side));
    }
    this.use(this.tool);
  }

  async use(tool) {
    if (this.pencil.tool) this.#still();
    this.tool = tool;
    for (const button of document.querySelectorAll("[data-tool]")) {
      button.setAttribute("aria-pressed", String(button.dataset.tool === tool));
    }
    const bar = document.getElementById("draw-bar");
    bar.hidden = !DRAWN.has(tool);
    bar.dataset.drawing = tool;
    await this.pencil.use(tool, this.side);
  }
}
