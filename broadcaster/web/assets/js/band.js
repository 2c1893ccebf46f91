// What a line takes on both sides, as a stroke that is as broad on the ground as it should be: it
// follows a moving hand without asking anybody.
/* global L */

const METRES_A_PIXEL = 156543.03392;

export class Band {
  constructor(map, name) {
    this.map = map;
    this.stroke = L.polyline([], { className: `band band-${name}`, interactive: false }).addTo(map);
    this.exact = L.featureGroup().addTo(map);
    this.weigh = () => this.#weigh();
    map.on("zoomend", this.weigh);
  }

  follow(points, metres) {
    this.exact.clearLayers();
    this.metres = metres;
    this.stroke.setLatLngs(points);
    this.#weigh();
  }

  // The very shape that the server counts in.
  settle(layers) {
    this.exact.clearLayers();
    for (const layer of layers) this.exact.addLayer(layer);
    this.stroke.setLatLngs([]);
  }

  remove() {
    this.map.off("zoomend", this.weigh);
    this.stroke.remove();
    this.exact.remove();
  }

  #weigh() {
    const [first] = this.stroke.getLatLngs();
    if (!first) return;
    const pixel = (METRES_A_PIXEL * Math.cos((first.lat * Math.PI) / 180)) / 2 ** this.map.getZoom();
    this.stroke.setStyle({ weight: (2 * this.metres) / pixel });
  }
}
