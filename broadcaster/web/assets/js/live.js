// Keeps a live page honest: follows the alert by server-sent events, asks for itself when they do
// not come, says when its figures are old, and leaves the reader where they are.
const progress = document.getElementById("progress");
const stale = document.getElementById("stale");
const since = stale.querySelector("[data-since]");
const OLD = 6000;
const FLOWS = 4500;
const HIDDEN_EVERY = 15000;
const SLOW_EVERY = 5000;
const LONGEST_WAIT = 60000;
const clockOf = new Intl.DateTimeFormat("en-GB", {
  timeZone: "Asia/Ho_Chi_Minh",
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
});
let answered = Date.now();
let asked = 0;
let over = !progress.dataset.stream;

const field = (name) => progress.querySelector(`[name=${name}]`);
const isSending = () => {
  const state = progress.querySelector(".figs")?.dataset.state;
  return state === "approved" || state === "scheduled" || state === "sending";
};

function tell() {
  const old = !over && !document.hidden && Date.now() - Math.max(answered, shownAt) > OLD;
  if (old && stale.hidden) since.textContent = clockOf.format(answered);
  stale.hidden = !old;
}

// The stream. One that the network loses the browser opens again by itself, with the marks of what
// it has; one that is refused, or lost again and again, waits longer each time.
let stream = null;
let heard = 0;
let lost = 0;
let waiting = 0;

function listen() {
  clearTimeout(waiting);
  if (stream || over || document.hidden) return;
  stream = new EventSource(
    `${progress.dataset.stream}?have=${encodeURIComponent(field("have").value)}`,
  );
  stream.addEventListener("look", ({ data, lastEventId }) => hear(JSON.parse(data), lastEventId));
  stream.addEventListener("over", end);
  stream.addEventListener("error", () => {
    lost += 1;
    if (stream?.readyState === EventSource.CONNECTING && lost < 3) return;
    hush();
    const pause = Math.min(LONGEST_WAIT, 1000 * 2 ** lost);
    waiting = setTimeout(listen, pause * (0.5 + Math.random() / 2));
  });
}

function hush() {
  stream?.close();
  stream = null;
  heard = 0;
}

function end() {
  over = true;
  hush();
  // The answer says that nothing moves any more.
  ask();
}

function hear(look, marks) {
  heard = answered = Date.now();
  lost = 0;
  for (const [name, text] of Object.entries(look.pieces ?? {})) {
    const piece = document.getElementById(`live-${name}`);
    if (!piece) continue;
    leave(piece);
    piece.innerHTML = text;
    settle(piece);
  }
  if (marks && field("have")) field("have").value = marks;
  for (const time of progress.querySelectorAll("[data-as-of]")) time.textContent = look.at;
  if (look.plot) progress.dispatchEvent(new CustomEvent("live-plot", { detail: look.plot }));
  tell();
  decided(look.seen);
}

// What may be done next hangs on the reader, so the page asks for it when a state has changed; of an
// alert that waits for its approval the page is another one once that is decided.
const isWaiting = (seen) => seen.split(".")[0] === "submitted";
const waits = isWaiting(field("seen").value);

function decided(seen) {
  if (field("seen") && field("seen").value !== seen) ask();
}

// A page that was in the background is not called old before it had time to ask.
let shownAt = Date.now();
document.addEventListener("visibilitychange", () => {
  shownAt = Date.now();
  // A browser has six connections to a site: those who look need them.
  if (document.hidden) hush();
  else again();
});
addEventListener("online", again);
addEventListener("offline", hush);
addEventListener("pagehide", hush);
addEventListener("pageshow", listen);

function again() {
  lost = 0;
  ask();
  listen();
}

let wanted = false;
function ask() {
  asked = 0;
  wanted = true;
  document.body.dispatchEvent(new Event("live-again"));
}

progress.addEventListener("htmx:beforeRequest", (event) => {
  const flows = Date.now() - heard < FLOWS;
  const every = document.hidden ? HIDDEN_EVERY : isSending() ? 0 : SLOW_EVERY;
  if (!wanted && (flows || Date.now() - asked < every - 200)) event.preventDefault();
  else {
    asked = Date.now();
    wanted = false;
  }
});
progress.addEventListener("htmx:afterRequest", (event) => {
  if (!event.detail.successful && event.detail.xhr?.status !== 286) return;
  answered = Date.now();
  over = event.detail.xhr.status === 286;
  if (over) hush();
  tell();
});
progress.addEventListener("htmx:afterSwap", () => {
  if (waits && !isWaiting(field("seen").value)) location.reload();
});
setInterval(tell, 1000);

// Pieces are put in whole: what was open stays open, what was chosen stays chosen, and who stood on a
// link or in a form still does.
const opened = new Set();
const chosen = new Map();
let stood = null;
const CHOICES = "form [name][value]:is([type=radio], [type=checkbox])";
const choiceOf = (control) =>
  `form[action="${CSS.escape(control.form.getAttribute("action"))}"] [name="${CSS.escape(control.name)}"][value="${CSS.escape(control.value)}"]`;
const keyOf = (element) =>
  element.id ? `#${CSS.escape(element.id)}` : element.matches(CHOICES) ? choiceOf(element) : element.matches("a[href]") ? `a[href="${CSS.escape(element.getAttribute("href"))}"]` : element.tagName === "SUMMARY" && element.parentElement.id ? `#${CSS.escape(element.parentElement.id)} > summary` : null;

function leave(target) {
  for (const one of target.querySelectorAll("details[id]")) {
    if (one.open) opened.add(one.id);
    else opened.delete(one.id);
  }
  chosen.clear();
  for (const one of target.querySelectorAll(CHOICES))
    if (one.checked !== one.defaultChecked) chosen.set(choiceOf(one), one.checked);
  const inside = target.contains(document.activeElement) ? document.activeElement : null;
  stood = inside ? keyOf(inside) : null;
}

function settle(target) {
  for (const one of target.querySelectorAll("details[id]")) one.open = opened.has(one.id);
  for (const [which, checked] of chosen) {
    const one = target.querySelector(which);
    if (one && !one.disabled) one.checked = checked;
  }
  if (stood) target.querySelector(stood)?.focus({ preventScroll: true });
  stood = null;
  target.dispatchEvent(new CustomEvent("live-changed", { bubbles: true }));
}

document.body.addEventListener("htmx:oobBeforeSwap", ({ detail }) => leave(detail.target));
document.body.addEventListener("htmx:oobAfterSwap", ({ detail }) => settle(detail.target));

// A way to a form that is folded away opens it.
addEventListener("click", (event) => {
  const way = event.target.closest?.('a[href="#cancel"], a[href="#correct"]');
  const folded = way && document.querySelector(way.hash)?.closest("details");
  if (folded) folded.open = true;
});

listen();
