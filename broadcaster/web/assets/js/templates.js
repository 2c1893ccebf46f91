// The template editor: sends what is written, shows what the server's linter says of it and how it
// reads when filled. The server decides; nothing is judged here.
const LOOK_AFTER_MS = 500;

const form = document.getElementById("template");
let timer = 0;
let asked = 0;
let changed = false;
let last = form.querySelector("textarea");

async function look() {
  const question = (asked += 1);
  const body = new FormData(form);
  let answer;
  try {
    const response = await fetch(form.dataset.look, {
      method: "POST",
      headers: { Accept: "application/json" },
      body,
    });
    if (!response.ok) return;
    answer = await response.json();
  } catch {
    return;
  }
  if (question !== asked) return;
  for (const name of ["findings", "preview"]) {
    const place = document.getElementById(name);
    const open = [...place.querySelectorAll("details")].map((one) => one.open);
    place.innerHTML = answer[name];
    place.querySelectorAll("details").forEach((one, index) => {
      one.open = open[index] ?? false;
    });
  }
  for (const place of form.querySelectorAll("[data-notes]")) {
    place.innerHTML = answer.notes[place.dataset.notes] ?? "";
  }
  for (const box of form.querySelectorAll("textarea")) {
    if (answer.wrong.includes(box.name)) box.setAttribute("aria-invalid", "true");
    else box.removeAttribute("aria-invalid");
  }
}

function soon() {
  clearTimeout(timer);
  timer = setTimeout(look, LOOK_AFTER_MS);
}

form.addEventListener("input", () => {
  changed = true;
  soon();
});
form.addEventListener("focusin", (event) => {
  if (event.target.matches("textarea")) last = event.target;
});
form.addEventListener("submit", () => {
  changed = false;
});
form.addEventListener("click", (event) => {
  const button = event.target.closest("[data-insert]");
  if (!button) return;
  const chosen = last.value.slice(last.selectionStart, last.selectionEnd);
  const shown = button.dataset.insert;
  // An optional field stands inside the words that are said only with it.
  const text = button.dataset.name
    ? `{% if ${button.dataset.name} %}${chosen}${shown}{% endif %}`
    : shown;
  last.setRangeText(text, last.selectionStart, last.selectionEnd, "end");
  last.focus();
  changed = true;
  soon();
});
addEventListener("beforeunload", (event) => {
  if (changed) event.preventDefault();
});
