// Incidents on the map: diamond, square and ring as in the list; hovering one points at the other.
/* global L */
import { createMap, drawUnits, fetchUnits, labelUnits } from "./map.js";

const SHAPES = {
  life_threatening: '<path class="s3" d="M8 .5 15.5 8 8 15.5.5 8z"/>',
  urgent: '<path class="s2" d="M2 2h12v12H2z"/>',
  normal: '<circle class="s1" cx="8" cy="8" r="5.5"/>',
};
const ORDER = { normal: 0, urgent: 1, life_threatening: 2 };

const element = document.getElementById("map");
if (element) await show(element);

async function show(target) {
  const [units, points] = await Promise.all([
    fetchUnits(target),
    fetch(target.dataset.points).then((response) => response.json()),
  ]);
  const map = createMap(target);
  drawUnits(map, units);
  const { only, lon, lat } = target.dataset;
  const bounds = L.latLngBounds([]);
  const places = [];
  for (const feature of points.features) {
    const [x, y] = feature.geometry.coordinates;
    places.push([y, x]);
    addMarker(map, feature, [y, x], only);
    bounds.extend([y, x]);
  }
  if (only) map.setView([Number(lat), Number(lon)], 13, { animate: false });
  else if (bounds.isValid()) {
    map.fitBounds(bounds, { padding: [48, 48], maxZoom: 13, animate: false });
  }
  labelUnits(map, units, target.dataset.lang, () => new Set(), places);
}

function addMarker(map, feature, at, only) {
  const { code, title, urgency } = feature.properties;
  const marker = L.marker(at, {
    title,
    alt: title,
    zIndexOffset: ORDER[urgency] * 1000 + (code === only ? 5000 : 0),
    icon: L.divIcon({
      className: code === only ? "map-incident map-incident-on" : "map-incident",
      iconSize: [20, 20],
      html: `<svg class="shp" viewBox="0 0 16 16" aria-hidden="true">${SHAPES[urgency]}</svg>`,
    }),
  }).addTo(map);
  marker.on("click", () => {
    location.href = `/console/incidents/${encodeURIComponent(code)}`;
  });
  const row = document.querySelector(`[data-code="${CSS.escape(code)}"]`);
  for (const [name, on] of [["mouseenter", true], ["focus", true], ["mouseleave", false], ["blur", false]]) {
    row?.addEventListener(name, () => marker.getElement()?.classList.toggle("map-incident-on", on));
  }
}
