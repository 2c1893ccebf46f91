// A map that shows an alert's area and changes nothing.
import { createMap, drawArea, drawBefore, drawUnits, fetchUnits, labelUnits } from "./map.js";

const element = document.getElementById("map");
const units = await fetchUnits(element);
const map = createMap(element);
const layers = drawUnits(map, units);
const chosen = drawArea(map, JSON.parse(element.dataset.area), units, layers);
if (element.dataset.before) drawBefore(map, JSON.parse(element.dataset.before), units);
labelUnits(map, units, element.dataset.lang, () => chosen);
