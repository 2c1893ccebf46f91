// Remarks on the draft, in a box of their own: fetched when it opens, told to the server by a
// script so that the page with what is being written stays.

export class Remarks {
  constructor(box, form, send) {
    this.box = box;
    this.form = form;
    this.send = send;
    this.inside = document.getElementById("remarks-in");
    this.field = "";
    box.addEventListener("toggle", () => box.open && this.#fetch());
    box.addEventListener("submit", (event) => this.#post(event));
    box.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      box.open = false;
      box.querySelector("summary").focus();
    });
  }

  open(field) {
    this.field = field;
    return this.#fetch();
  }

  async #fetch() {
    const answer = await fetch(this.box.dataset.source, { headers: { Accept: "text/html" } });
    if (answer.ok) this.#show(await answer.text());
  }

  #show(html) {
    this.inside.innerHTML = html;
    this.inside.querySelector("[name=field]").value = this.field;
    const { open } = this.inside.querySelector("#remarks").dataset;
    const count = document.getElementById("remarks-open");
    count.textContent = open;
    count.hidden = open === "0";
  }

  async #post(event) {
    event.preventDefault();
    const { target } = event;
    event.submitter?.removeAttribute("aria-busy");
    const answer = await fetch(target.action, {
      method: "POST",
      headers: { Accept: "application/json", "X-CSRF-Token": this.form.dataset.csrf },
      body: new URLSearchParams(new FormData(target)),
    });
    if (answer.ok) this.#show(await answer.text());
    else target.querySelector("textarea")?.setCustomValidity((await answer.json()).message);
  }
}
