// The compose screen: saves what is written as it is written, and shows what the server thinks of
// it. The server decides; nothing is judged here. Nothing written is lost on the way: it is kept on
// this machine until the server has it, through a lost connection, a reload and another's save.
import { Clash } from "./compose_clash.js";
import { ComposeForm, differing } from "./compose_form.js";
import { Kept, keepPage, openedFrom } from "./compose_kept.js";
import { People } from "./compose_people.js";
import { Screen } from "./compose_screen.js";
import { tidyMoments } from "./moments.js";

const SAVE_AFTER_MS = 700;
const RETRY_AFTER_MS = 5000;
const ANSWER_WITHIN_MS = 20_000;
const OVERTAKEN_AGAIN_MS = 300;
const SAVES_BEFORE_SENDING = 5;
const TAKEN_UP_WITHIN_MS = 12 * 3600_000;
const OPEN = new Set(["draft", "returned"]);
// Inputs of the map's tools: nothing of them is sent before it has become an area.
const NOT_SENT = ".add-place, #names-panel, #file-panel, .draw-bar";
const UNREACHED = new Set([502, 503, 504]);

const form = document.getElementById("compose");
const words = JSON.parse(form.dataset.words);
const writing = new ComposeForm(form);
const screen = new Screen(writing, words);
const kept = new Kept(form.dataset.save, form.dataset.official);
const clash = new Clash();
const people = new People(form, send);
let version = Number(form.elements.version.value);
let state = form.dataset.state;
// Changes are counted, so that one made while another is on its way is not taken for saved.
let changes = 0;
let settled = 0;
// What the server is known to have, and since when it could not be reached.
let atServer = null;
let awaySince = null;
let conflict = false;
let saving = null;
let timer = 0;

function send(method, address, body, accept = "application/json", signal = undefined) {
  return fetch(address, {
    method,
    headers: { "Content-Type": "application/json", Accept: accept, "X-CSRF-Token": form.dataset.csrf },
    body,
    signal,
  });
}
const post = (address, body, accept, signal) => send("POST", address, body, accept, signal);
const ask = (method, body) => send(method, form.dataset.save, body, "application/json", AbortSignal.timeout(ANSWER_WITHIN_MS));

const dirty = () => changes !== settled;

function remember() {
  const document_ = writing.collect();
  kept.write({ document: document_, version, state, unsent: dirty(), at: new Date().toISOString() });
  if (awaySince) screen.away(awaySince, differing(document_, atServer).length, openedFrom());
}

function changed() {
  changes += 1;
  remember();
  clearTimeout(timer);
  timer = setTimeout(save, SAVE_AFTER_MS);
}

async function save() {
  clearTimeout(timer);
  if (conflict || !dirty()) return saving;
  if (saving) {
    await saving;
    return save();
  }
  saving = attempt(writing.collect(), changes).finally(() => {
    saving = null;
  });
  return saving;
}

async function attempt(sent, upTo) {
  const response = await reach(() => ask("PUT", JSON.stringify({ ...sent, version, state })));
  if (!response) return;
  if (response.ok) take(await response.json(), sent, upTo);
  else await refused(await response.json(), sent);
}

// The answer to a question; undefined when the server could not be reached, or asks to sign in.
async function reach(question) {
  let response;
  try {
    response = await question();
  } catch {
    response = null;
  }
  if (!response || UNREACHED.has(response.status)) {
    lost();
    return undefined;
  }
  if (response.status === 401) {
    remember();
    location.href = `/console/sign-in?next=${encodeURIComponent(location.pathname)}`;
    return undefined;
  }
  awaySince = null;
  screen.back();
  return response;
}

function lost() {
  awaySince ??= new Date();
  remember();
  clearTimeout(timer);
  timer = setTimeout(retry, RETRY_AFTER_MS);
}

// A page that was opened without a connection has the key of an earlier visit: the newest comes first.
async function retry() {
  if (openedFrom() && awaySince) await follow();
  return dirty() ? save() : awaySince && follow();
}

function take(answer, sent, upTo) {
  version = answer.version;
  state = answer.state;
  form.elements.version.value = version;
  if (answer.document) {
    const newer = new Set(differing(writing.collect(), sent));
    writing.fill(answer.document, (path) => newer.has(path));
    screen.fields();
  }
  settled = upTo;
  atServer = answer.document ? writing.collect() : sent;
  screen.show(answer);
  remember();
}

async function refused(refusal, sent) {
  if (refusal.code === "csrf") {
    if (await follow()) timer = setTimeout(save, OVERTAKEN_AGAIN_MS);
  } else if (refusal.code === "newer_version") {
    timer = setTimeout(save, OVERTAKEN_AGAIN_MS);
  } else if (refusal.code === "both_changed") {
    decide(refusal, sent);
  } else if (["moved_on", "not_editable", "alert_not_found"].includes(refusal.code)) {
    conflict = true;
    screen.offer(refusal.message, refusal.code === "moved_on" && (() => putIn(refusal.details)), leaveOut);
  } else {
    screen.say(refusal.message);
  }
}

// Both texts stand side by side until one of each is taken; what was written meanwhile stays.
async function decide(refusal, sent) {
  conflict = true;
  const document_ = await clash.ask(refusal);
  const newer = new Set(differing(writing.collect(), sent));
  writing.fill(document_, (path) => newer.has(path));
  screen.fields();
  ({ version } = refusal.details);
  conflict = false;
  changes += 1;
  return save();
}

function putIn(details) {
  ({ state } = details);
  conflict = false;
  return save();
}

function leaveOut() {
  settled = changes;
  kept.drop();
  location.reload();
}

// Takes in what others saved; what is being written here stays and is saved over it.
async function follow() {
  const before = writing.collect();
  const response = await reach(() => ask("GET"));
  if (!response?.ok) return false;
  const answer = await response.json();
  form.dataset.csrf = answer.csrf;
  for (const field of document.querySelectorAll("input[name=csrf]")) field.value = answer.csrf;
  if (!dirty()) {
    const known = state;
    take(answer, before, changes);
    if (!OPEN.has(answer.state)) state = known;
  }
  return true;
}

async function takeUp() {
  atServer = writing.collect();
  const record = await kept.read();
  if (!record) return;
  const mine = record.unsent && differing(record.document, atServer).length > 0;
  if (mine && Date.now() - Date.parse(record.at) > TAKEN_UP_WITHIN_MS) {
    screen.offer(words.old, () => bring(record), leaveOut);
  } else if (mine || (openedFrom() && record.version >= version)) {
    bring(record);
  }
}

function bring(record) {
  writing.fill(record.document);
  ({ version, state } = record);
  changes += record.unsent ? 1 : 0;
  screen.fields();
  if (record.unsent && !openedFrom()) screen.say(words.saving);
  return save();
}

form.addEventListener("input", (event) => {
  if (event.target.closest(NOT_SENT)) return;
  screen.written(event.target);
  changed();
});

form.addEventListener("click", (event) => {
  if (screen.clicked(event.target)) changed();
});

form.addEventListener("submit", async (event) => {
  const button = event.submitter ?? document.getElementById("submit");
  // A button beside a check sends the form elsewhere: nothing has to be correct for that.
  const held = () => screen.blocked && button.id === "submit";
  if (!dirty() && !saving && !held() && !awaySince) return;
  event.preventDefault();
  button.removeAttribute("aria-busy");
  // What a save brings about, such as the places' names, is saved too: one press is one submission.
  for (let turn = 0; turn < SAVES_BEFORE_SENDING && (turn === 0 || dirty()); turn += 1) {
    await save();
    await saving;
    if (conflict || awaySince) break;
  }
  if (held() || conflict || dirty() || awaySince) {
    document.getElementById(awaySince ? "away" : "checks-panel").scrollIntoView({ block: "center" });
    return;
  }
  // The checks and the dock were drawn anew meanwhile, and their buttons with them.
  const twin = button.id ? `#${button.id}` : `[formaction="${button.getAttribute("formaction")}"]`;
  const again = button.isConnected ? button : document.querySelector(twin);
  if (again) form.requestSubmit(again);
});

people.addEventListener("heard", ({ detail }) => {
  screen.remarks(detail.comments);
  if (awaySince) retry();
  else if (detail.version > version && !dirty() && !saving && !conflict) follow();
  else if (detail.state !== state && !OPEN.has(detail.state)) screen.moved();
});

// The remarks are fetched when they are looked at.
const remarks = document.getElementById("remarks-box");
remarks.addEventListener("toggle", async () => {
  const { Remarks } = await import("./compose_remarks.js");
  new Remarks(remarks, form, send).open(people.field);
}, { once: true });

addEventListener("online", retry);

tidyMoments(form);
screen.fields();
await takeUp();
form.dataset.usable = "";
if (openedFrom()) await follow();
people.start();
try {
  const { startMap } = await import("./compose_map.js");
  screen.audience = await startMap(writing, words, post, changed);
  form.dataset.ready = "";
} catch (problem) {
  screen.noMap();
  if (!awaySince && navigator.onLine) throw problem;
}
await keepPage().catch(() => {});
