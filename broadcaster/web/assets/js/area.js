// The area of a draft on the map: communes and former districts to click, shapes to draw.
/* global L */
import {
  circleLayer,
  createMap,
  drawUnits,
  fetchUnits,
  labelUnits,
  named,
  polygonLayer,
  setClass,
  unitsOf,
} from "./map.js";

const DECIMALS = 1e5;
const TOOLS = { polygon: "Polygon", circle: "Circle", minus: "Polygon" };

export const plain = (text) =>
  text
    .normalize("NFD")
    .replace(/\p{M}/gu, "")
    .replace(/[đĐ]/g, "d")
    .toLowerCase()
    .replace(/\s+/g, " ")
    .trim();

const rounded = (value) => Math.round(value * DECIMALS) / DECIMALS;

function geometryOf(layer) {
  const rings = layer.getLatLngs().map((points) => {
    const ring = points.map(({ lat, lng }) => [rounded(lng), rounded(lat)]);
    return [...ring, ring[0]];
  });
  return { type: "Polygon", coordinates: rings };
}

function circleOf(layer) {
  const { lat, lng } = layer.getLatLng();
  return { lon: rounded(lng), lat: rounded(lat), metres: Math.round(layer.getRadius()) };
}

export class AreaEditor extends EventTarget {
  constructor(form, words) {
    super();
    this.form = form;
    this.words = words;
    this.lang = form.dataset.lang;
    const area = JSON.parse(form.dataset.area);
    this.units = area.units ?? [];
    this.groups = new Set(area.groups ?? []);
    this.shapes = [
      ...(area.polygons ?? []).map((geometry) => this.#shape("polygon", polygonLayer(geometry, "poly"))),
      ...(area.circles ?? []).map((circle) => this.#shape("circle", circleLayer(circle, "poly"))),
      ...(area.exclusions?.polygons ?? []).map((geometry) =>
        this.#shape("minus", polygonLayer(geometry, "minus")),
      ),
    ];
    // What this screen does not draw is kept as it came.
    this.kept = { ...area.exclusions, polygons: undefined };
    this.tool = "unit";
    this.busy = null;
  }

  #shape(kind, layer) {
    return { kind, layer };
  }

  get value() {
    const of = (kind) => this.shapes.filter((one) => one.kind === kind);
    return {
      units: this.units,
      groups: [...this.groups],
      polygons: of("polygon").map((one) => geometryOf(one.layer)),
      circles: of("circle").map((one) => circleOf(one.layer)),
      exclusions: {
        units: this.kept.units ?? [],
        groups: this.kept.groups ?? [],
        circles: this.kept.circles ?? [],
        polygons: of("minus").map((one) => geometryOf(one.layer)),
      },
    };
  }

  async start() {
    const element = document.getElementById("map");
    this.data = await fetchUnits(element);
    this.byId = new Map(this.data.features.map((one) => [one.id, one]));
    this.map = createMap(element);
    this.layers = drawUnits(this.map, this.data, { onClick: (one) => this.#clicked(one) });
    for (const { layer } of this.shapes) layer.addTo(this.map);
    this.relabel = labelUnits(this.map, this.data, this.lang, () => this.chosen);
    this.#names();
    this.#toolbar();
    this.#byName();
    this.#file();
    this.redraw();
    this.#fit();
    if (this.shapes.length) await this.#editable();
  }

  get chosen() {
    return unitsOf(this.value, this.data);
  }

  // Something changed: draw it, list it, tell who listens.
  changed() {
    this.redraw();
    this.dispatchEvent(new Event("change"));
  }

  redraw() {
    const chosen = this.chosen;
    for (const [id, path] of this.layers) {
      setClass(path, chosen.has(id) ? "u on" : "u");
      if (chosen.has(id)) path.bringToFront();
    }
    for (const { layer } of this.shapes) layer.bringToFront();
    this.relabel();
    this.#list();
  }

  #clicked(feature) {
    if (this.busy) return;
    if (this.tool === "group") {
      if (feature.properties.group) this.#toggleGroup(feature.properties.group);
    } else {
      this.#toggleUnit(feature);
    }
  }

  #toggleUnit(feature) {
    const { code, vintage } = feature.properties;
    const same = (unit) => unit.code === code && unit.vintage === vintage;
    const without = this.units.filter((unit) => !same(unit));
    this.units = without.length < this.units.length ? without : [...this.units, { code, vintage }];
    this.changed();
  }

  #toggleGroup(code) {
    if (!this.groups.delete(code)) this.groups.add(code);
    this.changed();
  }

  #list() {
    const list = document.getElementById("chosen");
    list.replaceChildren();
    for (const group of this.data.groups.filter((one) => this.groups.has(one.code))) {
      this.#tag(list, group.name[this.lang], () => this.#toggleGroup(group.code));
    }
    for (const unit of this.units) {
      const feature = this.data.features.find(
        (one) => one.properties.code === unit.code && one.properties.vintage === unit.vintage,
      );
      const name = feature ? feature.properties.name[this.lang] : unit.code;
      this.#tag(list, name, () => feature && this.#toggleUnit(feature));
    }
    const numbers = { polygon: 0, circle: 0, minus: 0 };
    const words = { polygon: this.words.shape, circle: this.words.circle, minus: this.words.minus };
    for (const shape of this.shapes) {
      numbers[shape.kind] += 1;
      this.#tag(list, `${words[shape.kind]} ${numbers[shape.kind]}`, () => this.#drop(shape));
    }
  }

  #tag(list, name, drop) {
    const item = document.createElement("li");
    item.className = "tag";
    item.append(name);
    const button = document.createElement("button");
    button.type = "button";
    button.title = `${this.words.remove} ${name}`;
    button.setAttribute("aria-label", button.title);
    button.append(document.getElementById("icon-x").content.cloneNode(true));
    button.addEventListener("click", () => {
      drop();
      document.getElementById("by-name").focus();
    });
    item.append(button);
    list.append(item);
  }

  #drop(shape) {
    shape.layer.remove();
    this.shapes = this.shapes.filter((one) => one !== shape);
    this.changed();
  }

  #fit() {
    const bounds = L.latLngBounds([]);
    for (const id of this.chosen) bounds.extend(this.layers.get(id).getBounds());
    for (const { layer } of this.shapes) bounds.extend(layer.getBounds());
    // Not animated: Leaflet drops a move that is asked for while another is on its way.
    if (bounds.isValid()) {
      this.map.fitBounds(bounds, { padding: [32, 32], maxZoom: 14, animate: false });
    }
  }

  #toolbar() {
    for (const button of document.querySelectorAll("[data-tool]")) {
      button.addEventListener("click", () => this.#use(button.dataset.tool));
    }
    this.map.getContainer().addEventListener("keydown", (event) => {
      if (event.key === "Escape") this.#use("unit");
    });
  }

  async #use(tool) {
    if (tool === "clear") {
      this.#clear();
      return;
    }
    this.map.pm?.disableDraw();
    this.busy = null;
    this.tool = tool;
    for (const button of document.querySelectorAll("[data-tool][aria-pressed]")) {
      button.setAttribute("aria-pressed", String(button.dataset.tool === tool));
    }
    if (TOOLS[tool]) await this.#draw(tool);
  }

  #clear() {
    for (const { layer } of this.shapes) layer.remove();
    this.units = [];
    this.groups.clear();
    this.shapes = [];
    this.changed();
  }

  async #draw(kind) {
    await this.#loadGeoman();
    this.busy = kind;
    this.map.pm.enableDraw(TOOLS[kind], {
      snappable: false,
      tooltips: false,
      allowSelfIntersection: false,
      templineStyle: { className: "draw-line" },
      hintlineStyle: { className: "draw-hint" },
      pathOptions: { className: kind === "minus" ? "minus" : "poly" },
    });
  }

  async #loadGeoman() {
    if (this.map.pm) return;
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
    // The map and its layers were made before: give them what later ones get by themselves.
    L.PM.reInitLayer(this.map);
    for (const { layer } of this.shapes) L.PM.reInitLayer(layer);
    if (!this.map.pm) this.map.pm = new L.PM.Map(this.map);
    this.map.on("pm:drawstart", ({ workingLayer }) => this.#follow(workingLayer));
    this.map.on("pm:create", ({ layer }) => this.#created(layer));
  }

  // Count while the shape grows.
  #follow(working) {
    working.on("pm:vertexadded", () => {
      const points = working.getLatLngs().map(({ lat, lng }) => [rounded(lng), rounded(lat)]);
      if (points.length < 3 || this.busy !== "polygon") return;
      const area = this.value;
      area.polygons.push({ type: "Polygon", coordinates: [[...points, points[0]]] });
      this.dispatchEvent(new CustomEvent("drawing", { detail: area }));
    });
  }

  #created(layer) {
    const shape = this.#shape(this.busy ?? "polygon", layer);
    this.shapes.push(shape);
    this.#watch(shape);
    this.#use("unit");
    this.changed();
  }

  async #editable() {
    await this.#loadGeoman();
    for (const shape of this.shapes) this.#watch(shape);
  }

  #watch({ layer }) {
    layer.pm.enable({ snappable: false, allowSelfIntersection: false, draggable: false });
    layer.on("pm:edit pm:markerdragend", () => this.changed());
  }

  #names() {
    const list = document.getElementById("names");
    for (const one of [...this.data.groups.map((group) => group.name), ...this.data.features.map((f) => f.properties.name)]) {
      const option = document.createElement("option");
      option.value = one[this.lang];
      list.append(option);
    }
  }

  #byName() {
    const field = document.getElementById("by-name");
    const add = () => {
      if (this.#add(field.value)) field.value = "";
      field.focus();
    };
    document.getElementById("add-name").addEventListener("click", add);
    field.addEventListener("keydown", (event) => {
      if (event.key !== "Enter") return;
      event.preventDefault();
      add();
    });
  }

  #add(text) {
    const asked = plain(text);
    if (!asked) return false;
    const fits = (names) => Object.values(names).some((name) => plain(name) === asked);
    const loosely = (names) => Object.values(names).some((name) => plain(name).includes(asked));
    const places = this.data.features;
    const group = this.data.groups.find((one) => fits(one.name));
    const unit =
      places.find((one) => fits(one.properties.name)) ??
      places.find((one) => plain(named(one, "vi")) === asked) ??
      (group ? undefined : places.find((one) => loosely(one.properties.name)));
    const other = unit ? undefined : group ?? this.data.groups.find((one) => loosely(one.name));
    this.#problem(unit || other ? "" : this.words.nothing);
    if (unit) {
      if (!this.chosen.has(unit.id)) this.#toggleUnit(unit);
    } else if (other && !this.groups.has(other.code)) {
      this.#toggleGroup(other.code);
    }
    if (unit || other) this.#fit();
    return Boolean(unit || other);
  }

  #problem(text) {
    const note = document.getElementById("place-problem");
    note.hidden = !text;
    note.querySelector("span").textContent = text;
  }

  #file() {
    const field = document.getElementById("area-file");
    field.addEventListener("change", async () => {
      const [file] = field.files;
      field.value = "";
      if (!file) return;
      let found = [];
      try {
        found = polygonsIn(JSON.parse(await file.text()));
      } catch {
        found = [];
      }
      this.#problem(found.length ? "" : this.words.file);
      if (!found.length) return;
      for (const geometry of found) {
        this.shapes.push(this.#shape("polygon", polygonLayer(geometry, "poly").addTo(this.map)));
      }
      await this.#editable();
      this.#fit();
      this.changed();
    });
  }
}

function polygonsIn(document) {
  if (document.type === "FeatureCollection") return document.features.flatMap(polygonsIn);
  if (document.type === "Feature") return polygonsIn(document.geometry);
  if (document.type === "GeometryCollection") return document.geometries.flatMap(polygonsIn);
  if (document.type === "Polygon") return [document];
  if (document.type === "MultiPolygon") {
    return document.coordinates.map((coordinates) => ({ type: "Polygon", coordinates }));
  }
  return [];
}
