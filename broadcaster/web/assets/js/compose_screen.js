// What the compose screen shows: the server's answers in their places, and what is written in words.
import { formatMoment, parseMoment } from "./moments.js";

const PARTS = ["saved", "preview", "checks", "forecast", "difference", "dock"];
const clock = new Intl.DateTimeFormat("en-GB", { timeZone: "Asia/Ho_Chi_Minh", hour: "2-digit", minute: "2-digit" });

export class Screen {
  constructor(writing, words) {
    this.writing = writing;
    this.form = writing.form;
    this.words = words;
    this.language = "vi";
    this.audience = null;
    this.blocked = document.getElementById("submit").getAttribute("aria-disabled") === "true";
    document.addEventListener("click", (event) => this.#go(event));
  }

  say(text) {
    const line = document.createElement("span");
    line.className = "meta";
    line.textContent = text;
    document.getElementById("saved").replaceChildren(line);
  }

  // Everything that follows what the fields hold.
  fields() {
    for (const field of this.form.querySelectorAll("[data-moment]")) {
      const value = parseMoment(field.value);
      if (value) field.value = formatMoment(value);
    }
    for (const box of this.form.querySelectorAll('[data-language-of="en"]')) {
      box.hidden = !this.form.elements.english.checked;
    }
    document.getElementById("at").hidden = this.form.elements.when.value !== "time";
    for (const note of this.form.querySelectorAll("[data-own-note]")) note.hidden = !this.writing.ownPlaces;
    this.#showLanguage(this.language);
    this.#count();
    this.#mark();
  }

  // Something was typed or chosen.
  written(target) {
    const piece = target.closest("[data-piece]");
    if (piece) {
      piece.setAttribute("data-own", "");
      piece.querySelector("[data-back]").hidden = false;
    }
    if (target.closest('[data-field="places"]')) this.writing.ownPlaces = true;
    for (const box of this.form.querySelectorAll('[data-language-of="en"]')) {
      box.hidden = !this.form.elements.english.checked;
    }
    document.getElementById("at").hidden = this.form.elements.when.value !== "time";
    for (const note of this.form.querySelectorAll("[data-own-note]")) note.hidden = !this.writing.ownPlaces;
    this.#count();
  }

  // True when the click changed what would be sent.
  clicked(target) {
    const language = target.closest("[data-show]");
    if (language) this.#showLanguage(language.dataset.show);
    const fix = target.closest("[data-fix]");
    if (fix) return this.#mend(fix.dataset);
    const back = target.closest("[data-back]");
    if (!back) return false;
    if (back.dataset.back === "places") {
      this.writing.ownPlaces = false;
      for (const note of this.form.querySelectorAll("[data-own-note]")) note.hidden = true;
    } else {
      back.closest("[data-piece]").removeAttribute("data-own");
      back.hidden = true;
    }
    return true;
  }

  // A button beside a check does what its sentence says: it puts a value into a field.
  #mend({ fix, value }) {
    const box = this.field(fix);
    if (!box) return false;
    if (fix === "area/drop") {
      this.writing.editor?.set(JSON.parse(value));
      return Boolean(this.writing.editor);
    }
    if (box.type === "checkbox") box.checked = value === "true";
    else if (fix === "class") this.form.elements.class.value = value;
    else if (fix === "scheduled_for") {
      this.form.elements.when.value = value ? "time" : "approval";
      this.form.elements.scheduled_for.value = value;
    } else if (fix === "class") this.form.elements.class.value = value;
    else box.value = value;
    this.written(box);
    this.#show(box);
    return true;
  }

  // The input of a path such as own/vi/sms.text, values/river, expires, channels/sms.
  field(path) {
    const [kind, ...rest] = path.split("/");
    const fields = this.form.elements;
    if (kind === "own") return this.#piece("", ...rest);
    if (kind === "own_follow_ups") return this.#piece(...rest);
    if (kind === "values") {
      const box = this.form.querySelector(`[data-field="${rest[0]}"]`);
      return box?.querySelector(rest[1] ? `[data-value="${rest[1]}"]` : "[data-value]");
    }
    if (kind === "channels") return this.form.querySelector(`[name=channels]${rest[0] ? `[value="${rest[0]}"]` : ""}`);
    if (kind === "languages") return fields.english;
    if (kind === "source") return fields[`source_${rest[0] ?? "issuer"}`];
    if (kind === "area") return document.getElementById("by-name");
    if (kind === "class") return this.form.querySelector("[name=class]:checked");
    return fields[kind] ?? null;
  }

  #piece(variant, lang, name) {
    const which = variant ? `[data-variant="${variant}"]` : ":not([data-variant])";
    return this.form.querySelector(`[data-piece="${name}"][data-in="${lang}"]${which} .in`);
  }

  // A link to a field opens what hides it and puts the cursor there.
  #go(event) {
    const link = event.target.closest("[data-go]");
    if (!link) return;
    const box = this.field(link.dataset.go);
    if (!box) return;
    event.preventDefault();
    this.#show(box);
    box.focus();
  }

  #show(box) {
    const language = box.closest("[data-language]")?.dataset.language;
    if (language) this.#showLanguage(language);
    for (let place = box.closest("details"); place; place = place.parentElement.closest("details")) {
      place.open = true;
    }
    box.scrollIntoView({ block: "center" });
  }

  show(answer) {
    this.blocked = answer.blocking > 0;
    for (const name of PARTS) this.#put(name, answer.fragments[name]);
    if (this.audience) this.audience.put(answer.fragments.audience);
    else document.getElementById("audience").innerHTML = answer.fragments.audience;
    document.getElementById("title").textContent = answer.title;
    this.#putPieces(answer.pieces, ":not([data-variant])");
    for (const [variant, pieces] of Object.entries(answer.follow_ups)) {
      this.#putPieces(pieces, `[data-variant="${variant}"]`);
    }
    if (!this.writing.ownPlaces) {
      for (const [lang, text] of Object.entries(answer.places)) {
        const field = document.getElementById(`f-places-${lang}`);
        if (field) field.value = text;
      }
    }
    this.#showLanguage(this.language);
    this.#count();
    this.#mark();
  }

  // Swaps a fragment in, and leaves open what was open.
  #put(name, html) {
    const place = document.getElementById(name);
    if (place.dataset.html === html) return;
    const open = [...place.querySelectorAll("details")].map((one) => one.open);
    place.innerHTML = html;
    place.dataset.html = html;
    place.querySelectorAll("details").forEach((one, index) => {
      one.open = open[index] ?? false;
    });
  }

  // Puts the template's words where nobody has written over them.
  #putPieces(languages, which) {
    for (const [lang, pieces] of Object.entries(languages)) {
      for (const [name, text] of Object.entries(pieces)) {
        const box = this.form.querySelector(`[data-piece="${name}"][data-in="${lang}"]${which}:not([data-own])`);
        const field = box?.querySelector(".in");
        if (field && field !== document.activeElement) field.value = text;
      }
    }
  }

  #mark() {
    const where = new Set([...document.querySelectorAll("#checks [data-problem]")].map((one) => one.dataset.problem));
    for (const box of this.form.querySelectorAll("[data-piece]")) {
      const name = `${box.dataset.variant ?? "wording"}.${box.dataset.in}.${box.dataset.piece}`;
      const wrong = [...where].some((one) => one === name || one.startsWith(`${name}.`));
      box.querySelector(".in").setAttribute("aria-invalid", String(wrong));
    }
    this.#beside();
  }

  // What is wrong with a field stands beside it too, and is said with it.
  #beside() {
    const said = new Map();
    for (const one of document.querySelectorAll("#checks [data-problem]")) {
      said.set(one.dataset.problem, one.querySelector("[data-said]").textContent);
    }
    for (const note of this.form.querySelectorAll("[data-wrong]")) {
      const text = said.get(note.dataset.wrong) ?? "";
      note.hidden = !text;
      note.querySelector("span").textContent = text;
      for (const field of note.parentElement.querySelectorAll(".in")) {
        const unread = field.matches("[data-moment]") && parseMoment(field.value) === null;
        field.setAttribute("aria-invalid", String(Boolean(text) || unread));
        if (text) field.setAttribute("aria-errormessage", note.id);
        else field.removeAttribute("aria-errormessage");
      }
    }
  }

  // Letters as the lock screen counts them: of the title, and of the body's first sentence.
  #count() {
    for (const shown of this.form.querySelectorAll("[data-count]")) {
      const box = shown.closest("[data-piece]");
      const text = box.querySelector(".in").value;
      const first = box.dataset.piece === "push.body";
      const measured = first ? text.match(/^[^]*?(?:[.!?…](?=\s|$)|\n|$)/)[0] : text;
      const letters = [...measured.normalize("NFC").trim()].length;
      shown.textContent = String(letters);
      shown.parentElement.classList.toggle("cnt-over", letters > Number(shown.dataset.count));
    }
  }

  #showLanguage(lang) {
    this.language = lang;
    for (const button of this.form.querySelectorAll("[data-show]")) {
      button.setAttribute("aria-pressed", String(button.dataset.show === lang));
    }
    for (const part of this.form.querySelectorAll("[data-language]")) part.hidden = part.dataset.language !== lang;
  }

  // There is no connection: since when, what waits here, and from when the page is.
  away(since, waiting, openedFrom) {
    const note = document.getElementById("away");
    const told = [this.words.away.replace("{}", clock.format(since))];
    told.push(waiting ? this.words.waiting.replace("{}", waiting) : this.words.none_waiting);
    if (openedFrom) told.push(this.words.opened.replace("{}", clock.format(new Date(openedFrom))));
    const text = told.join(" ");
    const place = note.querySelector("span");
    if (place.textContent !== text) place.textContent = text;
    note.hidden = false;
  }

  back() {
    document.getElementById("away").hidden = true;
  }

  // What is kept here cannot simply be saved: why, and the two ways on.
  offer(reason, putIn, leaveOut) {
    const note = document.getElementById("kept");
    note.querySelector("[data-reason]").textContent = reason;
    const again = note.querySelector("[data-put-in]");
    again.hidden = !putIn;
    again.onclick = () => {
      note.hidden = true;
      putIn();
    };
    note.querySelector("[data-drop]").onclick = leaveOut;
    note.hidden = false;
    note.scrollIntoView({ block: "center" });
  }

  // Somebody sent the draft for approval, or approved it, while it is open here.
  moved() {
    document.getElementById("moved").hidden = false;
  }

  remarks(open) {
    const count = document.getElementById("remarks-open");
    count.textContent = String(open);
    count.hidden = !open;
  }

  noMap() {
    document.getElementById("no-map").hidden = false;
  }
}
