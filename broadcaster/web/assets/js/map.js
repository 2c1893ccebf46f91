// The city's map: outlines of the units, names with a halo, an alert's area. Colours are CSS's.
/* global L */
import { Band } from "./band.js";

const NAMES_FROM_ZOOM = 12;
const LETTER_WIDTH = 7;
const LINE = 16;
const MARKER = 12;

export async function fetchUnits(element) {
  const response = await fetch(element.dataset.units);
  if (!response.ok) throw new Error(`units: ${response.status}`);
  return response.json();
}

export function createMap(element) {
  const map = L.map(element, {
    zoomControl: false,
    attributionControl: false,
    zoomSnap: 0.25,
    minZoom: 8,
    maxZoom: 17,
    zoomAnimation: !matchMedia("(prefers-reduced-motion: reduce)").matches,
  });
  const { zoomIn, zoomOut, tiles, attribution } = element.dataset;
  L.control.zoom({ position: "topright", zoomInTitle: zoomIn, zoomOutTitle: zoomOut }).addTo(map);
  if (tiles) {
    L.tileLayer(tiles).addTo(map);
    L.control.attribution({ prefix: false }).addAttribution(attribution).addTo(map);
  }
  map.setView([21.03, 105.85], 10);
  return map;
}

// Draws all units; returns the layer of each unit by id.
export function drawUnits(map, units, options = {}) {
  const layers = new Map();
  const layer = L.geoJSON(units, {
    interactive: Boolean(options.onClick),
    style: (feature) => ({ className: options.classOf?.(feature) ?? "u" }),
    onEachFeature: (feature, path) => {
      layers.set(feature.id, path);
      if (options.onClick) path.on("click", (event) => options.onClick(feature, event));
    },
  }).addTo(map);
  map.fitBounds(layer.getBounds(), { padding: [8, 8], animate: false });
  return layers;
}

export function setClass(path, name) {
  path.getElement()?.setAttribute("class", `leaflet-interactive ${name}`);
  path.options.className = name;
}

export function named(feature, lang) {
  return feature.properties.name[lang].replace(/^(Phường|Xã) | (Ward|Commune)$/, "");
}

// Takes the space of a name unless another name has it; names never cover each other.
function free(taken, { x, y }, name, lines = 1) {
  const half = (name.length * LETTER_WIDTH) / 2;
  const tall = (lines * LINE) / 2;
  const hit = taken.some(
    (one) => Math.abs(one.x - x) < one.half + half && Math.abs(one.y - y) < one.tall + tall,
  );
  if (!hit) taken.push({ x, y, half, tall });
  return !hit;
}

// Keeps names on the map: always those in `important()`, all of them once there is room.
// `figure` gives a second line for a unit.
export function labelUnits(map, units, lang, important, avoid = [], figure = () => "") {
  const marks = new Map();
  const refresh = () => {
    const wanted = important();
    const all = map.getZoom() >= NAMES_FROM_ZOOM;
    const view = map.getBounds().pad(0.1);
    const room = wanted.size <= 14 || all;
    const taken = avoid.map((at) => ({ ...map.latLngToContainerPoint(at), half: MARKER, tall: LINE / 2 }));
    const order = [...units.features].sort((a, b) => wanted.has(b.id) - wanted.has(a.id));
    for (const feature of order) {
      const [lon, lat] = feature.properties.at;
      const shown =
        view.contains([lat, lon]) &&
        (all || (room && wanted.has(feature.id))) &&
        free(
          taken,
          map.latLngToContainerPoint([lat, lon]),
          named(feature, lang),
          figure(feature) ? 2 : 1,
        );
      const there = marks.get(feature.id);
      if (shown && !there) {
        const strong = wanted.has(feature.id) ? " map-name-on" : "";
        const mark = L.marker([lat, lon], {
          interactive: false,
          keyboard: false,
          icon: L.divIcon({ className: `map-name${strong}`, iconSize: null, html: "" }),
        }).addTo(map);
        const text = document.createElement("span");
        text.textContent = named(feature, lang);
        const second = figure(feature);
        if (second) {
          const strong = document.createElement("b");
          strong.textContent = second;
          text.append(document.createElement("br"), strong);
        }
        mark.getElement().append(text);
        marks.set(feature.id, mark);
      } else if (!shown && there) {
        there.remove();
        marks.delete(feature.id);
      }
    }
  };
  const again = () => {
    for (const mark of marks.values()) mark.remove();
    marks.clear();
    refresh();
  };
  map.on("moveend zoomend", refresh);
  again();
  return again;
}

// Ids of the units an area names, itself or by a group.
export function unitsOf(area, units) {
  const byCode = new Map(
    units.features.map((one) => [`${one.properties.code}@${one.properties.vintage}`, one.id]),
  );
  const ids = new Set();
  for (const unit of area.units ?? []) {
    const id = byCode.get(`${unit.code}@${unit.vintage}`);
    if (id !== undefined) ids.add(id);
  }
  for (const group of units.groups) {
    if (area.groups?.includes(group.code)) for (const id of group.units) ids.add(id);
  }
  return ids;
}

const ring = (points) => points.map(([lon, lat]) => [lat, lon]);

export function polygonLayer(geometry, name) {
  return L.polygon(geometry.coordinates.map(ring), { className: name });
}

export function circleLayer(circle, name) {
  return L.circle([circle.lat, circle.lon], { radius: circle.metres, className: name });
}

export function lineLayer(line, name) {
  return L.polyline(ring(line.coordinates), { className: name });
}

function drawLine(map, line, name) {
  const way = lineLayer(line, `${name} way`);
  new Band(map, name).follow(way.getLatLngs(), line.metres);
  return way;
}

function drawShapes(map, shapes, name, into) {
  for (const geometry of shapes?.polygons ?? []) polygonLayer(geometry, name).addTo(into);
  for (const circle of shapes?.circles ?? []) circleLayer(circle, name).addTo(into);
  for (const line of shapes?.lines ?? []) drawLine(map, line, name).addTo(into);
}

// Draws the border of an earlier area over the present one.
export function drawBefore(map, area, units) {
  const ids = unitsOf(area, units);
  const features = units.features.filter((one) => ids.has(one.id));
  const style = { className: "before" };
  L.geoJSON({ type: "FeatureCollection", features }, { style, interactive: false }).addTo(map);
  const drawn = L.featureGroup().addTo(map);
  drawShapes(map, area, "before", drawn);
}

// Draws an area that cannot be changed here; returns what was drawn.
export function drawArea(map, area, units, layers) {
  const chosen = unitsOf(area, units);
  for (const id of chosen) {
    const path = layers.get(id);
    if (path) {
      setClass(path, "u on");
      path.bringToFront();
    }
  }
  for (const id of unitsOf(area.exclusions ?? {}, units)) {
    const path = layers.get(id);
    if (path) setClass(path, "u out");
  }
  const drawn = L.featureGroup();
  drawShapes(map, area, "poly", drawn);
  drawShapes(map, area.exclusions, "minus", drawn);
  drawn.addTo(map);
  const bounds = L.latLngBounds([]);
  for (const id of chosen) {
    const path = layers.get(id);
    if (path) bounds.extend(path.getBounds());
  }
  if (drawn.getLayers().length) bounds.extend(drawn.getBounds());
  if (bounds.isValid()) map.fitBounds(bounds, { padding: [24, 24], maxZoom: 14, animate: false });
  return chosen;
}
