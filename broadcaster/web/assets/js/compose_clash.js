// Fields that two people changed at once: both texts side by side, one of them taken, field by
// field; nothing is sent before each is decided.

export class Clash {
  constructor() {
    this.note = document.getElementById("conflict");
    this.rows = this.note.querySelector("[data-rows]");
    this.row = document.getElementById("clash-row");
  }

  // Asks about each field; resolves with the document once every one is decided.
  ask({ message, details }) {
    this.note.querySelector("[data-said]").textContent = message;
    const document_ = structuredClone(details.document);
    const open = new Set(details.clashes);
    return new Promise((resolve) => {
      this.rows.replaceChildren(
        ...details.clashes.map((clash) =>
          this.#line(clash, (value) => {
            put(document_, clash.path, value);
            open.delete(clash);
            if (open.size) return;
            this.note.hidden = true;
            resolve(document_);
          }),
        ),
      );
      this.note.hidden = false;
      this.note.scrollIntoView({ block: "center" });
      // On the sentence, not on a button: a space typed in the middle of a word would choose.
      this.note.querySelector("[data-said]").focus();
    });
  }

  #line(clash, decide) {
    const line = this.row.content.firstElementChild.cloneNode(true);
    line.querySelector("[data-name]").textContent = clash.name;
    for (const side of ["mine", "theirs"]) {
      line.querySelector(`[data-text=${side}]`).textContent = clash[`${side}_shown`];
      const button = line.querySelector(`[data-take=${side}]`);
      button.addEventListener("click", () => {
        for (const other of line.querySelectorAll("[data-take]")) {
          other.setAttribute("aria-pressed", String(other === button));
        }
        decide(clash[side]);
      });
    }
    return line;
  }
}

function put(document_, path, value) {
  let place = document_;
  for (const name of path.slice(0, -1)) place = place[name] ??= {};
  const last = path.at(-1);
  if (value === null && path.length > 1) delete place[last];
  else place[last] = value;
}
