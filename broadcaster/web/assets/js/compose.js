// The compose screen: collects what is written, saves it as it is written, shows what the server
// thinks of it. The server decides; nothing is judged here.
import { AreaEditor } from "./area.js";
import { AreaTools } from "./area_tools.js";
import { Audience } from "./audience.js";
import { Density } from "./density.js";
import { formatMoment, momentOf, parseMoment, tidyMoments } from "./moments.js";
import { Proposal } from "./proposal.js";

const SAVE_AFTER_MS = 700;
const RETRY_AFTER_MS = 5000;
const PARTS = ["saved", "preview", "checks", "forecast", "difference", "dock"];

const form = document.getElementById("compose");
const words = JSON.parse(form.dataset.words);
const kept = `draft:${form.dataset.save}`;
let version = Number(form.elements.version.value);
let ownPlaces = JSON.parse(form.dataset.ownPlaces);
let blocked = document.getElementById("submit").getAttribute("aria-disabled") === "true";
let conflict = false;
// Changes are counted, so that one made while another is on its way is not taken for saved.
let changes = 0;
let settled = 0;
let saving = null;
let saveTimer = 0;
let shownLanguage = "vi";
let audience = null;

const area = new AreaEditor(form, words);

function valueOf(box) {
  const own = (selector) => box.querySelector(selector);
  if (box.dataset.type === "text" || box.dataset.type === "places") {
    const result = { vi: own('[data-value="vi"]').value, en: own('[data-value="en"]').value };
    if (!result.en) delete result.en;
    return result.vi || result.en ? result : null;
  }
  if (box.dataset.type === "time") return momentOf(own("[data-value]")) || null;
  return own("[data-value]").value || null;
}

function collect() {
  const fields = form.elements;
  const values = {};
  for (const box of form.querySelectorAll("[data-field]")) values[box.dataset.field] = valueOf(box);
  const own = { vi: {}, en: {} };
  const ownFollowUps = {};
  for (const box of form.querySelectorAll("[data-piece][data-own]")) {
    const { variant, in: lang, piece } = box.dataset;
    if (variant) ownFollowUps[variant] ??= { vi: {}, en: {} };
    (variant ? ownFollowUps[variant] : own)[lang][piece] = box.querySelector(".in").value;
  }
  const number = (text) => (text ? Number(text) : null);
  return {
    version,
    class: fields.class.value,
    values,
    area: area.value,
    languages: fields.english.checked ? ["vi", "en"] : ["vi"],
    own,
    own_follow_ups: ownFollowUps,
    own_places: ownPlaces,
    expires: momentOf(fields.expires),
    scheduled_for: fields.when.value === "time" ? momentOf(fields.scheduled_for) : "",
    risk_level: number(fields.risk_level.value),
    river_alarm: number(fields.river_alarm.value),
    source: {
      issuer: fields.source_issuer.value,
      number: fields.source_number.value,
      time: momentOf(fields.source_time),
    },
    channels: [...form.querySelectorAll("[name=channels]:checked")].map((box) => box.value),
  };
}

const send = (method, address, body, accept = "application/json", signal = undefined) =>
  fetch(address, {
    method,
    headers: { "Content-Type": "application/json", Accept: accept, "X-CSRF-Token": form.dataset.csrf },
    body,
    signal,
  });
const post = (address, body, accept, signal) => send("POST", address, body, accept, signal);

function say(text) {
  const line = document.createElement("span");
  line.className = "meta";
  line.textContent = text;
  document.getElementById("saved").replaceChildren(line);
}

// Swaps a fragment in, and leaves open what was open.
function put(name, html) {
  const place = document.getElementById(name);
  if (place.dataset.html === html) return;
  const open = [...place.querySelectorAll("details")].map((one) => one.open);
  place.innerHTML = html;
  place.dataset.html = html;
  place.querySelectorAll("details").forEach((one, index) => {
    one.open = open[index] ?? false;
  });
}

function show(answer) {
  version = answer.version;
  form.elements.version.value = version;
  blocked = answer.blocking > 0;
  for (const name of PARTS) put(name, answer.fragments[name]);
  audience?.put(answer.fragments.audience);
  showLanguage(shownLanguage);
  document.getElementById("title").textContent = answer.title;
  putPieces(answer.pieces, ":not([data-variant])");
  for (const [variant, pieces] of Object.entries(answer.follow_ups)) {
    putPieces(pieces, `[data-variant="${variant}"]`);
  }
  if (!ownPlaces) {
    for (const [lang, text] of Object.entries(answer.places)) {
      const field = document.getElementById(`f-places-${lang}`);
      if (field) field.value = text;
    }
  }
  count();
  markProblems();
}

// Puts the template's words where nobody has written over them.
function putPieces(languages, which) {
  for (const [lang, pieces] of Object.entries(languages)) {
    for (const [name, text] of Object.entries(pieces)) {
      const box = form.querySelector(
        `[data-piece="${name}"][data-in="${lang}"]${which}:not([data-own])`,
      );
      const field = box?.querySelector(".in");
      if (field && field !== document.activeElement) field.value = text;
    }
  }
}

function markProblems() {
  const where = new Set(
    [...document.querySelectorAll("#checks [data-problem]")].map((one) => one.dataset.problem),
  );
  for (const box of form.querySelectorAll("[data-piece]")) {
    const name = `${box.dataset.variant ?? "wording"}.${box.dataset.in}.${box.dataset.piece}`;
    const wrong = [...where].some((one) => one === name || one.startsWith(`${name}.`));
    box.querySelector(".in").setAttribute("aria-invalid", String(wrong));
  }
  const expires = form.elements.expires;
  const wrong = where.has("expires") || parseMoment(expires.value) === null;
  expires.setAttribute("aria-invalid", String(wrong));
}

// Letters as the lock screen counts them: of the title, and of the body's first sentence.
function count() {
  for (const shown of form.querySelectorAll("[data-count]")) {
    const text = shown.closest("[data-piece]").querySelector(".in").value;
    const first = shown.closest("[data-piece]").dataset.piece === "push.body";
    const measured = first ? text.match(/^[^]*?(?:[.!?…](?=\s|$)|\n|$)/)[0] : text;
    const letters = [...measured.normalize("NFC").trim()].length;
    shown.textContent = String(letters);
    shown.parentElement.classList.toggle("cnt-over", letters > Number(shown.dataset.count));
  }
}

const dirty = () => changes !== settled;

// Each change is kept here until the server has it: a page may be closed at any moment.
function keep(document_ = collect()) {
  try {
    localStorage.setItem(kept, JSON.stringify(document_));
  } catch {
    // The area is larger than the browser keeps: then leaving the page is asked about, as always.
  }
}

function changed() {
  changes += 1;
  keep();
  clearTimeout(saveTimer);
  saveTimer = setTimeout(save, SAVE_AFTER_MS);
}

async function save() {
  clearTimeout(saveTimer);
  if (conflict || !dirty()) return saving;
  if (saving) {
    await saving;
    return save();
  }
  saving = attempt(collect(), changes).finally(() => {
    saving = null;
  });
  return saving;
}

async function attempt(document_, upTo) {
  let response;
  try {
    response = await send("PUT", form.dataset.save, JSON.stringify(document_));
  } catch {
    say(words.offline);
    saveTimer = setTimeout(save, RETRY_AFTER_MS);
    return;
  }
  if (response.ok) {
    settled = upTo;
    show(await response.json());
    if (dirty()) keep();
    else localStorage.removeItem(kept);
  } else if (response.status === 401) {
    location.href = `/console/sign-in?next=${encodeURIComponent(location.pathname)}`;
  } else {
    const { message } = await response.json();
    conflict = response.status === 409;
    if (conflict) refuse(message);
    else say(message);
  }
}

function refuse(message) {
  const note = document.getElementById("conflict");
  note.querySelector("span").textContent = message;
  note.hidden = false;
  note.scrollIntoView({ block: "center" });
}

function showLanguage(lang) {
  shownLanguage = lang;
  for (const button of form.querySelectorAll("[data-show]")) {
    button.setAttribute("aria-pressed", String(button.dataset.show === lang));
  }
  for (const part of form.querySelectorAll("[data-language]")) {
    part.hidden = part.dataset.language !== lang;
  }
}

form.addEventListener("input", (event) => {
  const piece = event.target.closest("[data-piece]");
  if (piece) {
    piece.setAttribute("data-own", "");
    piece.querySelector("[data-back]").hidden = false;
  }
  if (event.target.closest('[data-field="places"]')) {
    ownPlaces = true;
    showOwnPlaces();
  }
  if (event.target.closest(".add-place")) return;
  for (const box of form.querySelectorAll('[data-language-of="en"]')) {
    box.hidden = !form.elements.english.checked;
  }
  document.getElementById("at").hidden = form.elements.when.value !== "time";
  count();
  changed();
});

function showOwnPlaces() {
  for (const note of form.querySelectorAll("[data-own-note]")) note.hidden = !ownPlaces;
}

form.addEventListener("click", (event) => {
  const back = event.target.closest("[data-back]");
  const language = event.target.closest("[data-show]");
  if (language) showLanguage(language.dataset.show);
  if (!back) return;
  if (back.dataset.back === "places") {
    ownPlaces = false;
    showOwnPlaces();
  } else {
    back.closest("[data-piece]").removeAttribute("data-own");
    back.hidden = true;
  }
  changed();
});

form.addEventListener("submit", async (event) => {
  const button = document.getElementById("submit");
  if (!dirty() && !saving && !blocked) return;
  event.preventDefault();
  button.removeAttribute("aria-busy");
  await save();
  await saving;
  if (blocked || conflict || dirty()) {
    document.getElementById("checks-panel").scrollIntoView({ block: "start" });
    return;
  }
  form.requestSubmit(document.getElementById("submit"));
});

const sameAs = (one, other) =>
  JSON.stringify({ ...one, version: 0 }) === JSON.stringify({ ...other, version: 0 });

// What was written before the page was closed goes first; over a newer version only when asked.
async function takeUp(waiting) {
  if (!waiting || sameAs(waiting, collect())) {
    localStorage.removeItem(kept);
  } else if (waiting.version === version) {
    say(words.saving);
    if (await putBack(waiting)) await new Promise(() => location.reload());
  } else {
    offer(waiting);
  }
}

async function putBack(waiting) {
  try {
    const response = await send("PUT", form.dataset.save, JSON.stringify({ ...waiting, version }));
    if (response.ok) localStorage.removeItem(kept);
    else if (response.status === 409) await new Promise(() => location.reload());
    else offer(waiting, (await response.json()).message);
    return response.ok;
  } catch {
    offer(waiting, words.offline);
    return false;
  }
}

function offer(waiting, reason = "") {
  const note = document.getElementById("kept");
  note.hidden = false;
  note.querySelector("[data-reason]").textContent = reason;
  note.querySelector("[data-put-back]").onclick = async () => {
    settled = changes;
    if (await putBack(waiting)) location.reload();
  };
  note.querySelector("[data-drop]").onclick = () => {
    note.hidden = true;
    if (!dirty()) localStorage.removeItem(kept);
  };
}

addEventListener("online", save);
addEventListener("beforeunload", (event) => {
  if (dirty() && !conflict) event.preventDefault();
});

for (const field of form.querySelectorAll("[data-moment]")) {
  const value = parseMoment(field.value);
  if (value) field.value = formatMoment(value);
}
tidyMoments(form);
await takeUp(JSON.parse(localStorage.getItem(kept) ?? "null"));
showOwnPlaces();
showLanguage(shownLanguage);
count();
markProblems();
await area.start();
audience = new Audience(form, post, area.data);
audience.put(document.getElementById("audience").innerHTML);
const figures = async (value) => {
  const answer = await post(form.dataset.audience, JSON.stringify({ area: value }));
  return answer.ok ? answer.json() : undefined;
};
const proposal = new Proposal(area, figures, words, form.dataset.lang);
const tools = new AreaTools(form, words, area, proposal, post);
area.addEventListener("drawing", (event) => audience.live(event.detail));
area.addEventListener("still", () => audience.settle(area.value));
area.addEventListener("change", () => {
  audience.settle(area.value);
  tools.checkSoon();
  changed();
});
new Density(area.map, form);
tools.checkSoon();
form.dataset.ready = "";
