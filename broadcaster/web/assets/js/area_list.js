// The parts of an area in a list: by name, with their metres, each with a button to remove it.

const MOST_METRES = { circles: 200000, lines: 50000 };

export class PartList {
  constructor(list, words) {
    this.list = list;
    this.words = words;
    this.icon = document.getElementById("icon-x").content;
    this.number = 0;
  }

  // `parts` are {key, name, side, drop, metres, kind, widen}; focus stays on the part it was on.
  show(parts) {
    const { key } = document.activeElement.dataset;
    this.list.replaceChildren(...parts.map((part) => this.#item(part)));
    if (key) this.list.querySelector(`[data-key="${CSS.escape(key)}"]`)?.focus();
  }

  #item(part) {
    const item = document.createElement("li");
    item.className = part.side === "minus" ? "tag tag-out" : "tag";
    const name = part.side === "minus" ? `${this.words.minus}: ${part.name}` : part.name;
    item.append(part.widen ? this.#metres(part, name) : name, this.#button(part, name));
    return item;
  }

  #metres(part, name) {
    const label = document.createElement("label");
    const field = document.createElement("input");
    Object.assign(field, { className: "in in-s num", type: "number", min: 1, step: 1 });
    field.inputMode = "numeric";
    field.max = MOST_METRES[part.kind];
    field.value = part.metres;
    field.dataset.key = `${part.key}:metres`;
    field.addEventListener("change", () => {
      const metres = Math.round(Number(field.value));
      if (metres >= 1 && metres <= MOST_METRES[part.kind]) part.widen(metres);
      else field.value = part.metres;
    });
    label.append(`${name}, ${this.words[part.kind]}`, field, "m");
    return label;
  }

  #button(part, name) {
    const button = document.createElement("button");
    button.type = "button";
    button.title = `${this.words.remove} ${name}`;
    button.setAttribute("aria-label", button.title);
    button.dataset.key = part.key;
    button.append(this.icon.cloneNode(true));
    button.addEventListener("click", () => {
      const place = [...this.list.children].indexOf(button.closest("li"));
      part.drop();
      const next = this.list.children[Math.min(place, this.list.children.length - 1)];
      (next?.querySelector("button") ?? document.getElementById("by-name")).focus();
    });
    return button;
  }
}
