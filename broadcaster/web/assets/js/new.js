// Choosing what an alert is about: typing leaves what fits, Enter takes the first of it.
import { plain } from "./area_find.js";

const find = document.getElementById("find-kind");
const kinds = [...document.querySelectorAll("[data-kind]")].map((row) => [row, plain(row.dataset.kind)]);

// What Enter takes: a name that begins with what was typed goes before one that has it inside.
// Nothing typed chooses nothing.
function first() {
  if (!plain(find.value).trim()) return undefined;
  const left = kinds.filter(([row]) => !row.hidden);
  const begins = left.find(([, words]) => words.startsWith(plain(find.value)));
  return (begins ?? left[0])?.[0].querySelector("button, a");
}

find.addEventListener("input", () => {
  const asked = plain(find.value).split(" ").filter(Boolean);
  for (const [row, words] of kinds) row.hidden = !asked.every((word) => words.includes(word));
  for (const group of document.querySelectorAll("[data-group]")) {
    group.hidden = !group.querySelector("li:not([hidden])");
  }
  for (const [row] of kinds) row.classList.toggle("taken", asked.length > 0 && row.contains(first()));
  document.getElementById("none").hidden = asked.length === 0 || Boolean(first());
});

find.addEventListener("keydown", (event) => {
  if (event.key === "Enter") {
    event.preventDefault();
    first()?.click();
  } else if (event.key === "ArrowDown") {
    event.preventDefault();
    (first() ?? kinds[0]?.[0].querySelector("button, a"))?.focus();
  }
});
