// The drawn parts of an area as layers of the map. A part keeps the coordinates it came with until
// somebody moves it: what only passes through this screen is not rounded.
import { Band } from "./band.js";
import { circleLayer, lineLayer, polygonLayer } from "./map.js";
import { rounded } from "./area_value.js";

const CLASSES = { add: "poly", minus: "minus" };

const point = ({ lat, lng }) => [rounded(lng), rounded(lat)];

// Twice the signed area: more than 0 for a ring that runs against the clock.
const turn = (ring) =>
  ring.reduce((sum, [x, y], place) => {
    const [nextX, nextY] = ring[(place + 1) % ring.length];
    return sum + x * nextY - nextX * y;
  }, 0);

// Closed and in the order of RFC 7946, whichever way round the hand went: borders against the
// clock, holes with it.
function closed(points, place) {
  const ring = points.map(point);
  if (turn(ring) > 0 !== (place === 0)) ring.reverse();
  return [...ring, ring[0]];
}

const READ = {
  polygons: (layer) => ({ type: "Polygon", coordinates: layer.getLatLngs().map(closed) }),
  circles: (layer) => {
    const [lon, lat] = point(layer.getLatLng());
    return { lon, lat, metres: Math.max(1, Math.round(layer.getRadius())) };
  },
  lines: (layer, { metres }) => ({
    type: "LineString",
    coordinates: layer.getLatLngs().map(point),
    metres,
  }),
};

const MAKE = {
  polygons: (value, name) => polygonLayer(value, name),
  circles: (value, name) => circleLayer(value, name),
  lines: (value, name) => lineLayer(value, `${name} way`),
};

export class Shape {
  // `look` is the class it is drawn with, where that is not its side's own.
  constructor(kind, side, value, look = CLASSES[side]) {
    this.kind = kind;
    this.side = side;
    this.value = value;
    this.look = look;
    this.layer = MAKE[kind](value, look);
    this.band = null;
  }

  static drawn(kind, side, layer, metres) {
    return new Shape(kind, side, READ[kind](layer, { metres }));
  }

  addTo(map) {
    if (this.kind === "lines") {
      this.band = new Band(map, this.look);
      this.#follow();
    }
    this.layer.addTo(map);
  }

  remove() {
    this.layer.pm?.disable();
    this.layer.remove();
    this.band?.remove();
  }

  bringToFront() {
    this.band?.exact.bringToFront();
    this.layer.bringToFront();
  }

  // Take over what a hand moved on the map.
  read() {
    this.value = READ[this.kind](this.layer, this.value);
    this.#follow();
  }

  // Another radius, or another distance from the line.
  widen(metres) {
    this.value = { ...this.value, metres };
    if (this.kind === "circles") this.layer.setRadius(metres);
    this.#follow();
  }

  // The line's true shape, as GeoJSON, from the server.
  settle({ type, coordinates }) {
    const polygons = type === "Polygon" ? [coordinates] : coordinates;
    const layers = polygons.map((rings) => polygonLayer({ coordinates: rings }, this.look));
    for (const layer of layers) layer.options.interactive = false;
    this.band?.settle(layers);
    this.layer.bringToFront();
  }

  #follow() {
    this.band?.follow(this.layer.getLatLngs(), this.value.metres);
  }

  get points() {
    if (this.kind === "circles") return 1;
    return this.value.coordinates.flat(this.kind === "polygons" ? 1 : 0).length;
  }

  get bounds() {
    return this.band ? this.layer.getBounds().pad(0.2) : this.layer.getBounds();
  }
}
