// Who an area reaches: figures that keep up with the hand while a shape moves, and the whole of it
// once the shape lies still.

const ASK_EVERY_MS = 150;
const SAY_AFTER_MS = 900;
const MOST_ROWS = 40;
const UNKNOWN = "–";

export class Audience {
  constructor(form, send, data) {
    this.form = form;
    this.send = send;
    this.panel = document.getElementById("audience");
    this.strip = document.getElementById("strip");
    this.spoken = document.getElementById("audience-said");
    this.number = new Intl.NumberFormat(form.dataset.lang === "vi" ? "vi-VN" : "en-GB");
    this.units = new Map(data.features.map((one) => [one.id, one.properties.name[form.dataset.lang]]));
    this.next = null;
    this.asked = "";
    this.busy = null;
    this.moving = false;
    // Which question about a shape is the last: an answer to an earlier one ends nothing.
    this.turn = 0;
    this.timer = 0;
  }

  // A shape is moving: one question on its way at most, and then the newest area.
  live(area) {
    const text = JSON.stringify(area);
    if (text === this.asked) return;
    if (!this.moving) this.#hold();
    this.#move(true);
    this.turn += 1;
    this.next = text;
    if (!this.busy) this.#askSoon();
  }

  // The shape lies still: whatever is on its way is out of date.
  async settle(area) {
    this.next = null;
    this.asked = "";
    clearTimeout(this.timer);
    this.timer = 0;
    this.turn += 1;
    const mine = this.turn;
    const html = await this.#ask(JSON.stringify(area), "text/html", (answer) => answer.text());
    if (mine !== this.turn) return;
    this.#move(false);
    if (html) this.put(html);
  }

  #move(moving) {
    this.moving = moving;
    this.panel.setAttribute("aria-busy", String(moving));
  }

  // A fragment from the server; not while a hand is moving the very figures.
  put(html) {
    if (!this.moving) this.#put(html);
  }

  #put(html) {
    if (this.panel.dataset.html === html) return;
    const open = this.panel.querySelector("details")?.open;
    const top = this.panel.querySelector(".unit-rows")?.scrollTop;
    this.panel.innerHTML = html;
    this.panel.dataset.html = html;
    const units = this.panel.querySelector("details");
    if (units && open !== undefined) units.open = open;
    if (units && top) this.panel.querySelector(".unit-rows").scrollTop = top;
    this.strip.replaceChildren(...this.#copied());
    this.#settleDock();
    this.#sayLater();
  }

  // The dock is drawn anew with the next save only: until then it says what the panel says.
  #settleDock() {
    const counted = !this.panel.querySelector("[data-uncounted]");
    for (const place of document.querySelectorAll("#dock [data-live]")) {
      const same = this.strip.querySelector(`[data-live="${place.dataset.live}"]`);
      place.textContent = same?.textContent ?? (counted ? "0" : UNKNOWN);
    }
    this.#when({ counted, uncounted: !counted });
  }

  // Words that stand there only when there is something to say.
  #when(states) {
    for (const part of document.querySelectorAll("[data-when]")) {
      const { when } = part.dataset;
      if (when in states) part.hidden = !states[when];
    }
  }

  #copied() {
    const template = this.panel.querySelector("template[data-strip]");
    return template ? template.content.cloneNode(true).children : [];
  }

  #askSoon() {
    if (this.timer) return;
    const wait = Math.max(0, (this.last ?? 0) + ASK_EVERY_MS - performance.now());
    this.timer = setTimeout(() => {
      this.timer = 0;
      this.#askNewest();
    }, wait);
  }

  async #askNewest() {
    if (this.next === null) return;
    this.asked = this.next;
    this.next = null;
    this.last = performance.now();
    if (this.panel.querySelector("[data-people]")) {
      const figures = await this.#ask(this.asked, "application/json", (answer) => answer.json());
      if (figures && this.moving) this.#show(figures);
    } else {
      // The first figures of an area need their places first.
      const html = await this.#ask(this.asked, "text/html", (answer) => answer.text());
      if (html && this.moving) this.#put(html);
    }
    if (this.next !== null && !this.busy) this.#askSoon();
  }

  // Undefined when there was no answer, or a newer question took its place.
  async #ask(area, accept, read) {
    this.busy?.abort();
    const mine = new AbortController();
    this.busy = mine;
    try {
      const answer = await this.send(this.form.dataset.audience, this.#question(area), accept, mine.signal);
      return answer.ok ? await read(answer) : undefined;
    } catch {
      // The link is down, or this question was overtaken: the next save tells the figures again.
      return undefined;
    } finally {
      if (this.busy === mine) this.busy = null;
    }
  }

  // Of an exercise those are counted who take part in exercises.
  #question(area) {
    const exercise = document.documentElement.dataset.recipients === "listed";
    return `{"area":${area},"exercise":${exercise}}`;
  }

  // Into the places that are there already: nothing moves but the digits.
  #show(figures) {
    const { problems, units, ...counted } = figures;
    // What is shown is no longer the fragment that came last.
    delete this.panel.dataset.html;
    const wrong = problems.length > 0;
    for (const place of document.querySelectorAll("[data-live]")) {
      const value = place.dataset.live.split(".").reduce((part, name) => part?.[name], counted);
      // Figures of the shape before it went wrong would pass for those of the shape on the screen.
      if (wrong) place.textContent = UNKNOWN;
      else if (value !== undefined) place.textContent = this.#said(value);
    }
    const note = document.querySelector("[data-live-problem]");
    if (note) note.textContent = problems[0] ?? "";
    this.#when({ counted: !wrong, uncounted: wrong, people: counted.people > 0, units: units.length > 0 });
    this.#rows(units);
  }

  // The list of communes keeps its height while they come and go under a moving hand.
  #hold() {
    const rows = this.panel.querySelector(".unit-rows");
    if (rows) rows.style.height = `${rows.offsetHeight}px`;
  }

  #said(value) {
    return typeof value === "number" ? this.number.format(value) : value;
  }

  #rows(units) {
    const rows = this.panel.querySelector("[data-live-units]");
    if (!rows) return;
    rows.replaceChildren(
      ...units.slice(0, MOST_ROWS).map(([id, people, share]) => {
        const row = document.createElement("tr");
        const name = document.createElement("th");
        name.scope = "row";
        name.textContent = this.units.get(id) ?? "";
        const how = document.createElement("td");
        how.textContent = share < 100 ? `${share}%` : rows.dataset.whole;
        const figure = document.createElement("td");
        figure.className = "n";
        figure.textContent = this.number.format(people);
        row.append(name, how, figure);
        return row;
      }),
    );
  }

  // Said once, when the figures have come to rest: not at every step of a moving hand.
  #sayLater() {
    clearTimeout(this.saying);
    this.saying = setTimeout(() => {
      const text = this.panel.querySelector("[data-said]")?.textContent.trim() ?? "";
      if (this.spoken.textContent !== text) this.spoken.textContent = text;
    }, SAY_AFTER_MS);
  }
}
