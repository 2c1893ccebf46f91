// What helps to make an area: a pasted list of names, a file, and the problems with their repairs.
/* global L */

const CHECK_AFTER_MS = 300;
const MOST_FILE = 20 * 1024 * 1024;
const CLOSE_ZOOM = 15;

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

  async #propose(tool, document_, button) {
    this.#say([]);
    button.setAttribute("aria-busy", "true");
    try {
      const answer = await this.send(`${this.address}/${tool}`, JSON.stringify(document_), "application/json");
      const found = await answer.json();
      if (answer.ok) this.proposal.show(found, button);
      else this.#say(this.#reasons(found));
    } catch {
      this.#say([this.words.unreachable]);
    } finally {
      button.removeAttribute("aria-busy");
    }
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
    const read = () => this.#propose("names", { text: text.value }, button);
    button.addEventListener("click", read);
    text.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) read();
    });
    this.proposal.place.addEventListener("click", (event) => {
      const { suggested, typed } = event.target.closest("button")?.dataset ?? {};
      if (!suggested) return;
      text.value = text.value.replace(typed, suggested);
      read();
    });
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
