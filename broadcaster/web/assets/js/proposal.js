// A change of the area that is shown before it is made: on the map, in figures, in words. Nothing
// happens until the official takes it.
/* global L */
import { Shape } from "./area_shapes.js";
import { SHAPES, SIDES, isEmpty, joined, readArea } from "./area_value.js";
import { setClass, unitsOf } from "./map.js";

export class Proposal {
  constructor(editor, ask, words, lang) {
    this.editor = editor;
    this.ask = ask;
    this.words = words;
    this.number = new Intl.NumberFormat(lang === "vi" ? "vi-VN" : "en-GB");
    this.place = document.getElementById("proposal");
    this.shapes = [];
    this.place.addEventListener("click", (event) => this.#clicked(event));
    this.place.addEventListener("keydown", (event) => {
      if (event.key === "Escape") this.leave();
    });
    // Somebody went on with the area itself: what was proposed for the old one is void.
    editor.addEventListener("change", () => this.#close());
  }

  // `from` is the button it was asked with: focus goes back there when it is left.
  show({ html, area }, from) {
    this.#close();
    this.area = area;
    this.from = from;
    this.place.innerHTML = html;
    this.place.hidden = false;
    if (isEmpty(this.editor.value)) this.place.querySelector("[data-accept=add] ~ [data-accept=replace]")?.remove();
    this.#draw();
    this.#count();
    this.place.querySelector("h3").focus();
    this.place.scrollIntoView({ block: "nearest" });
  }

  leave() {
    this.#close();
    this.from?.focus();
  }

  #after(how) {
    return how === "add" ? joined(this.editor.value, this.area) : this.area;
  }

  #clicked(event) {
    const button = event.target.closest("button");
    if (!button) return;
    if ("leave" in button.dataset) this.leave();
    if (!button.dataset.accept) return;
    const area = this.#after(button.dataset.accept);
    const { from } = this;
    this.editor.set(area);
    this.#close();
    (from?.isConnected ? from : document.getElementById("by-name")).focus();
    document.getElementById("audience-said").textContent = this.words.taken;
  }

  #close() {
    for (const shape of this.shapes) shape.remove();
    this.shapes = [];
    for (const path of this.marked ?? []) path.getElement()?.classList.remove("maybe");
    this.marked = [];
    this.place.hidden = true;
    this.place.replaceChildren();
  }

  #draw() {
    const { map, layers, data } = this.editor;
    const sides = readArea(this.area);
    this.shapes = SIDES.flatMap((side) =>
      SHAPES.flatMap((kind) => sides[side][kind].map((value) => new Shape(kind, side, value, "maybe"))),
    );
    for (const shape of this.shapes) shape.addTo(map);
    this.marked = [...unitsOf(this.area, data)].map((id) => layers.get(id)).filter(Boolean);
    const bounds = L.latLngBounds([]);
    for (const path of this.marked) {
      setClass(path, `${path.options.className.replace(" maybe", "")} maybe`);
      path.bringToFront();
      bounds.extend(path.getBounds());
    }
    for (const shape of this.shapes) bounds.extend(shape.bounds);
    if (bounds.isValid()) map.fitBounds(bounds, { padding: [32, 32], maxZoom: 15, animate: false });
  }

  // How many people each way of taking it would reach, beside its button.
  async #count() {
    const proposed = this.area;
    for (const button of this.place.querySelectorAll("[data-accept]:has([data-after])")) {
      const said = button.querySelector("[data-after]");
      said.textContent = this.words.counting;
      const figures = await this.ask(this.#after(button.dataset.accept));
      if (this.area !== proposed) return;
      const people = figures?.people;
      said.textContent =
        people === undefined ? this.words.uncounted : this.words.people.replace("{}", this.number.format(people));
    }
  }
}
