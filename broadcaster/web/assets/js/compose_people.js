// Who else is on this draft. The page says every few seconds that it is here and where the cursor
// stands, and hears who else is and whether there is a newer version.
import { pathOf } from "./compose_form.js";

const EVERY_MS = 4000;

export class People extends EventTarget {
  constructor(form, send) {
    super();
    this.form = form;
    this.send = send;
    this.page = crypto.randomUUID?.() ?? String(Math.random()).slice(2);
    this.field = "";
    this.box = document.getElementById("people");
  }

  start() {
    this.form.addEventListener("focusin", ({ target }) => this.#at(pathOf(target)));
    addEventListener("pagehide", () => this.#leave());
    document.addEventListener("visibilitychange", () => {
      if (document.visibilityState === "visible") this.#tell();
    });
    setInterval(() => {
      if (document.visibilityState === "visible") this.#tell();
    }, EVERY_MS);
    this.#tell();
  }

  #at(field) {
    if (field === this.field) return;
    this.field = field;
    this.#tell();
  }

  async #tell() {
    const body = JSON.stringify({ page: this.page, field: this.field });
    let answer;
    try {
      answer = await this.send("PUT", this.form.dataset.presence, body);
    } catch {
      this.box.replaceChildren();
      return;
    }
    if (!answer.ok) return;
    const found = await answer.json();
    if (this.box.dataset.html !== found.html) {
      this.box.innerHTML = found.html;
      this.box.dataset.html = found.html;
    }
    this.dispatchEvent(new CustomEvent("heard", { detail: found }));
  }

  #leave() {
    fetch(`${this.form.dataset.presence}?page=${encodeURIComponent(this.page)}`, {
      method: "DELETE",
      keepalive: true,
      headers: { "X-CSRF-Token": this.form.dataset.csrf },
    }).catch(() => {});
  }
}
