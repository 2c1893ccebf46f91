// An area as data: reading it, joining two, counting the points of its borders.

export const SHAPES = ["polygons", "circles", "lines"];
export const SIDES = ["add", "minus"];
const KINDS = ["units", "groups", ...SHAPES];
const DECIMALS = 1e5;

// About a metre: what a hand on a map means.
export const rounded = (value) => Math.round(value * DECIMALS) / DECIMALS;

function single(geometry) {
  if (geometry.type !== "MultiPolygon") return [geometry];
  return geometry.coordinates.map((coordinates) => ({ type: "Polygon", coordinates }));
}

function sideOf(shapes) {
  const side = Object.fromEntries(KINDS.map((kind) => [kind, shapes?.[kind] ?? []]));
  return { ...side, polygons: side.polygons.flatMap(single) };
}

// What is added and what is taken out, every list there.
export const readArea = (area) => ({ add: sideOf(area), minus: sideOf(area.exclusions) });

export const writeArea = ({ add, minus }) => ({ ...add, exclusions: minus });

const keyOf = (part) => (part.code ? `${part.code}@${part.vintage}` : JSON.stringify(part));

function merged(first, second) {
  const known = new Map([...first, ...second].map((part) => [keyOf(part), part]));
  return [...known.values()];
}

export function joined(first, second) {
  const one = readArea(first);
  const other = readArea(second);
  const side = (name) =>
    Object.fromEntries(KINDS.map((kind) => [kind, merged(one[name][kind], other[name][kind])]));
  return writeArea({ add: side("add"), minus: side("minus") });
}

export function isEmpty(area) {
  return Object.values(readArea(area)).every((side) => KINDS.every((kind) => !side[kind].length));
}
