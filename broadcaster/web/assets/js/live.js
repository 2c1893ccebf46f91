// Keeps a live page honest: says when its figures are old, asks at once when the network is back,
// asks seldom while nobody looks, and leaves the reader where they are.
const progress = document.getElementById("progress");
const stale = document.getElementById("stale");
const since = stale.querySelector("[data-since]");
const OLD = 6000;
const HIDDEN_EVERY = 15000;
const SLOW_EVERY = 5000;
const clockOf = new Intl.DateTimeFormat("en-GB", {
  timeZone: "Asia/Ho_Chi_Minh",
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
});
let answered = Date.now();
let asked = 0;
let over = !progress.hasAttribute("hx-get");

const figures = () => progress.querySelector(".figs");
const isSending = () => {
  const state = figures()?.dataset.state;
  return state === "approved" || state === "scheduled" || state === "sending";
};

function tell() {
  const old = !over && !document.hidden && Date.now() - Math.max(answered, shownAt) > OLD;
  if (old && stale.hidden) since.textContent = clockOf.format(answered);
  stale.hidden = !old;
}

// A page that was in the background is not called old before it had time to ask.
let shownAt = Date.now();
document.addEventListener("visibilitychange", () => {
  shownAt = Date.now();
  if (!document.hidden) again();
});
addEventListener("online", () => again());

function again() {
  asked = 0;
  document.body.dispatchEvent(new Event("live-again"));
}

progress.addEventListener("htmx:beforeRequest", (event) => {
  const every = document.hidden ? HIDDEN_EVERY : isSending() ? 0 : SLOW_EVERY;
  if (Date.now() - asked < every - 200) event.preventDefault();
  else asked = Date.now();
});
progress.addEventListener("htmx:afterRequest", (event) => {
  if (!event.detail.successful && event.detail.xhr?.status !== 286) return;
  answered = Date.now();
  over = event.detail.xhr.status === 286;
  tell();
});
setInterval(tell, 1000);

// Pieces are put in whole: what was open stays open, and who stood on a link still does.
const opened = new Set();
let stood = null;
const keyOf = (element) =>
  element.id ? `#${CSS.escape(element.id)}` : element.matches("a[href]") ? `a[href="${CSS.escape(element.getAttribute("href"))}"]` : element.tagName === "SUMMARY" && element.parentElement.id ? `#${CSS.escape(element.parentElement.id)} > summary` : null;
document.body.addEventListener("htmx:oobBeforeSwap", (event) => {
  const target = event.detail.target;
  for (const one of target.querySelectorAll("details[id]")) {
    if (one.open) opened.add(one.id);
    else opened.delete(one.id);
  }
  const inside = target.contains(document.activeElement) ? document.activeElement : null;
  stood = inside ? keyOf(inside) : null;
});
document.body.addEventListener("htmx:oobAfterSwap", (event) => {
  const target = event.detail.target;
  for (const one of target.querySelectorAll("details[id]")) one.open = opened.has(one.id);
  if (stood) target.querySelector(stood)?.focus({ preventScroll: true });
  stood = null;
  target.dispatchEvent(new CustomEvent("live-changed", { bubbles: true }));
});

// A way to a form that is folded away opens it.
addEventListener("click", (event) => {
  const way = event.target.closest?.('a[href="#cancel"], a[href="#correct"]');
  const folded = way && document.querySelector(way.hash)?.closest("details");
  if (folded) folded.open = true;
});
