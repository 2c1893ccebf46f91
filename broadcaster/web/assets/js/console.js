// What every console page does: the clock ticks, a lost connection shows, a form is sent once.
const clock = document.getElementById("clock");
const skew = new Date(clock.dateTime).getTime() - Date.now();
const shown = new Intl.DateTimeFormat("en-GB", {
  timeZone: "Asia/Ho_Chi_Minh",
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
});
setInterval(() => {
  clock.textContent = shown.format(Date.now() + skew);
}, 1000);

const online = document.getElementById("online");
const offline = document.getElementById("offline");
const tell = () => {
  offline.hidden = navigator.onLine;
  online.hidden = !navigator.onLine;
};
addEventListener("online", tell);
addEventListener("offline", tell);
tell();

// A second press while the first is on its way would only be refused.
document.addEventListener("submit", (event) => {
  const button = event.submitter;
  if (!button || event.defaultPrevented) return;
  if (button.getAttribute("aria-busy") === "true") {
    event.preventDefault();
    return;
  }
  button.setAttribute("aria-busy", "true");
});
addEventListener("pageshow", () => {
  for (const button of document.querySelectorAll("[aria-busy=true]")) {
    button.removeAttribute("aria-busy");
  }
});

// "/" finds an alert from anywhere but a field; where the bar has no room for it, on its own page.
addEventListener("keydown", (event) => {
  const writes = event.target.closest?.("input, textarea, select, [contenteditable]");
  if (event.key !== "/" || writes || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  const fields = ["q", "find"].map((id) => document.getElementById(id));
  const field = fields.find((one) => one?.checkVisibility());
  if (field) field.focus();
  else location.assign("/console/alerts#q");
});
if (location.hash === "#q") document.getElementById("q")?.focus();

// A menu closes like every menu: Escape, or a click elsewhere.
for (const menu of document.querySelectorAll("details.menu")) {
  document.addEventListener("click", (event) => {
    if (menu.open && !menu.contains(event.target)) menu.open = false;
  });
  menu.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !menu.open) return;
    menu.open = false;
    menu.querySelector("summary").focus();
  });
}

// Whoever signs out leaves no draft readable on this machine; what was not sent yet stays for them.
document.addEventListener("submit", ({ target }) => {
  if (!target.action.endsWith("/console/sign-out")) return;
  globalThis.caches?.delete("compose-pages");
  for (const key of Object.keys(localStorage).filter((one) => one.startsWith("draft:"))) {
    if (!localStorage.getItem(key).includes('"unsent":true')) localStorage.removeItem(key);
  }
});
