// Choosing what an alert is about: typing leaves what fits, Enter takes the first.
import { plain } from "./area_find.js";

const find = document.getElementById("find");
const kinds = [...document.querySelectorAll("[data-kind]")].map((row) => [row, plain(row.dataset.kind)]);
const first = () => kinds.find(([row]) => !row.hidden)?.[0].querySelector("button, a");

find.addEventListener("input", () => {
  const asked = plain(find.value).split(" ").filter(Boolean);
  for (const [row, words] of kinds) row.hidden = !asked.every((word) => words.includes(word));
  for (const group of document.querySelectorAll("[data-group]")) {
    group.hidden = !group.querySelector("li:not([hidden])");
  }
  document.getElementById("none").hidden = Boolean(first());
});

find.addEventListener("keydown", (event) => {
  if (event.key === "Enter") {
    event.preventDefault();
    first()?.click();
  } else if (event.key === "ArrowDown") {
    event.preventDefault();
    first()?.focus();
  }
});
