// What helps to make an area: a pasted list of names, a file, and the problems with their repairs.
/* global L */
import { byName } from "./area_find.js";
import { isEmpty } from "./area_value.js";

const CHECK_AFTER_MS = 300;
const MOST_FILE = 20 * 1024 * 1024;
const CLOSE_ZOOM = 15;
// As the server cuts a list: into lines, and these at what stands between entries.
const LINES = /\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]/;
const BETWEEN = /([;,\t|•▪◦●○■□·]|\s(?=\d{1,3}[.)]\s))/;
const CODE_COLUMN = /(?<!\d)(\d{5})\t+(?=\p{L})/gu;

// The text with one entry of its line `row` written otherwise; other entries may begin alike.
export function replaceEntry(text, row, typed, suggested) {
  const lines = text.normalize("NFC").replaceAll("\u00a0", " ").split(LINES);
  const pieces = lines[row]?.replace(CODE_COLUMN, "$1 ").split(BETWEEN) ?? [];
  const isIt = (piece) => {
    const at = piece.lastIndexOf(typed);
    const around = at < 0 ? "ab" : `${piece.slice(0, at)} ${piece.slice(at + typed.length)}`;
    // A bullet or a closing dot may stand there; a word would make it another entry.
    return !/\p{L}{2}/u.test(around) && !/\p{L}$/u.test(piece.slice(0, at).trimEnd());
  };
  const place = pieces.findIndex(isIt);
  if (place < 0) return text;
  const at = pieces[place].lastIndexOf(typed);
  pieces[place] = pieces[place].slice(0, at) + suggested + pieces[place].slice(at + typed.length);
  lines[row] = pieces.join("");
  return lines.join("\n");
}

export class AreaTools {
  constructor(form, words, editor, proposal, send) {
    this.address = form.dataset.areaTools;
    this.csrf = form.dataset.csrf;
    this.words = words;
    this.lang = form.dataset.lang;
    this.editor = editor;
    this.proposal = proposal;
    this.send = send;
    this.problems = document.getElementById("area-problems");
    this.note = document.getElementById("tool-problem");
    this.problems.addEventListener("click", (event) => this.#mend(event.target.closest("button")));
    this.#names();
    this.#file();
  }

  // Ask what is wrong with the area, once it lies still.
  checkSoon() {
    clearTimeout(this.timer);
    this.mark?.remove();
    this.timer = setTimeout(() => this.#check(), CHECK_AFTER_MS);
  }

  async #check() {
    this.checking?.abort();
    this.checking = new AbortController();
    const body = JSON.stringify({ area: this.editor.value });
    try {
      const answer = await this.send(`${this.address}/check`, body, "application/json", this.checking.signal);
      if (!answer.ok) return;
      const { html, lines } = await answer.json();
      this.#put(html);
      this.editor.settleLines(lines);
    } catch {
      // Out of date, or no link: the server checks again before anything goes out.
    }
  }

  #put(html) {
    if (this.problems.dataset.html === html) return;
    this.problems.innerHTML = html;
    this.problems.dataset.html = html;
  }

  #mend(button) {
    if (button?.dataset.at) this.#show(button.dataset.at.split(",").map(Number));
    if (button?.dataset.repair) {
      this.#propose("repair", { area: this.editor.value, repairs: [button.dataset.repair] }, button);
    }
    if (button && "simplify" in button.dataset) {
      const most = Number(document.getElementById("most-points").value);
      this.#propose("simplify", { area: this.editor.value, max_points: most }, button);
    }
  }

  #show([lon, lat]) {
    const { map } = this.editor;
    this.mark?.remove();
    const icon = L.divIcon({ className: "here", iconSize: [40, 40] });
    this.mark = L.marker([lat, lon], { icon, interactive: false, keyboard: false }).addTo(map);
    map.setView([lat, lon], Math.max(map.getZoom(), CLOSE_ZOOM), { animate: false });
    document.getElementById("mapbox").scrollIntoView({ block: "nearest" });
  }

  // False when the answer is nothing to show, as `isNothing` judges it.
  async #propose(tool, document_, button, isNothing = () => false) {
    this.#say([]);
    button.setAttribute("aria-busy", "true");
    const busy = document.getElementById("reading");
    busy.textContent = this.words.reading;
    try {
      // Of an exercise those are counted who take part in exercises.
      const exercise = document.documentElement.dataset.recipients === "listed";
      const asked = JSON.stringify({ ...document_, exercise });
      const answer = await this.send(`${this.address}/${tool}`, asked, "application/json");
      const found = await answer.json();
      if (answer.ok && isNothing(found)) return false;
      if (answer.ok) this.proposal.show(found, button);
      else this.#say(this.#reasons(found));
    } catch {
      this.#say([this.words.unreachable]);
    } finally {
      button.removeAttribute("aria-busy");
      busy.textContent = "";
    }
    return true;
  }

  #reasons(refusal) {
    const problems = refusal.details?.problems?.map((one) => one.message[this.lang]) ?? [];
    return problems.length ? problems : [refusal.message || this.words.unreachable];
  }

  // What went wrong, in place; said at once, because somebody is waiting for it.
  #say(texts) {
    this.note.hidden = !texts.length;
    this.note.querySelector("span").replaceChildren(
      ...texts.map((text) => {
        const line = document.createElement("span");
        line.textContent = text;
        return line;
      }),
    );
    if (texts.length) this.note.scrollIntoView({ block: "nearest" });
  }

  #names() {
    const text = document.getElementById("names-text");
    const button = document.getElementById("read-names");
    const read = () => this.#read(text, button);
    button.addEventListener("click", read);
    text.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) read();
    });
    byName(this.editor, (field, add) => this.#read(field, add));
    this.proposal.place.addEventListener("click", (event) => {
      const { suggested, typed, row, accept } = event.target.closest("button")?.dataset ?? {};
      const { field, from } = this.reading ?? {};
      if (accept && field?.id === "by-name") field.value = "";
      if (!suggested) return;
      field.value = replaceEntry(field.value, Number(row), typed, suggested);
      this.#read(field, from);
    });
  }

  // Have the names of a field read; false when a single name means nothing and nothing is near it.
  async #read(field, from) {
    this.reading = { field, from };
    const single = ({ area, html }) => isEmpty(area) && !html.includes("data-suggested");
    const unknown = field.id === "by-name" ? single : () => false;
    return this.#propose("names", { text: field.value }, from, unknown);
  }

  #file() {
    const field = document.getElementById("area-file");
    field.addEventListener("change", () => {
      const [file] = field.files;
      if (file) this.#upload(file);
      field.value = "";
    });
    const box = document.getElementById("mapbox");
    const over = (event) => {
      if (!event.dataTransfer?.types.includes("Files")) return;
      event.preventDefault();
      box.classList.add("dropping");
    };
    box.addEventListener("dragenter", over);
    box.addEventListener("dragover", over);
    box.addEventListener("dragleave", (event) => {
      if (!box.contains(event.relatedTarget)) box.classList.remove("dropping");
    });
    box.addEventListener("drop", (event) => {
      event.preventDefault();
      box.classList.remove("dropping");
      const [file] = event.dataTransfer.files;
      if (file) this.#upload(file);
    });
    document.getElementById("stop-sending").addEventListener("click", () => this.sending?.abort());
  }

  // XMLHttpRequest: the one way a browser tells how much of a file has left.
  #upload(file) {
    this.#say([]);
    if (file.size > MOST_FILE) {
      this.#say([this.words.large]);
      return;
    }
    const row = document.getElementById("sending");
    const bar = document.getElementById("sent");
    const sending = new XMLHttpRequest();
    this.sending?.abort();
    this.sending = sending;
    bar.value = 0;
    row.hidden = false;
    document.getElementById("file-panel").open = true;
    sending.upload.addEventListener("progress", ({ loaded, total }) => {
      bar.value = (100 * loaded) / total;
    });
    sending.addEventListener("loadend", () => {
      if (this.sending !== sending) return;
      row.hidden = true;
      this.#uploaded(sending);
    });
    sending.open("POST", `${this.address}/read?name=${encodeURIComponent(file.name)}`);
    sending.setRequestHeader("X-CSRF-Token", this.csrf);
    sending.setRequestHeader("Accept", "application/json");
    sending.setRequestHeader("Content-Type", "application/octet-stream");
    sending.responseType = "json";
    sending.send(file);
  }

  #uploaded({ status, response }) {
    const from = document.getElementById("area-file");
    if (status === 200) this.proposal.show(response, from);
    else if (response) this.#say(this.#reasons(response));
    else if (status) this.#say([this.words.unreachable]);
  }
}
