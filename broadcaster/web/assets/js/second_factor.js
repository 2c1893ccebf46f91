// Codes: digits as they are typed or pasted, and a sheet of recovery codes to keep.
const field = document.querySelector("[data-factor] input");
field?.addEventListener("input", () => {
  const digits = field.value.replace(/\D/g, "").slice(0, 6);
  // Left alone where nothing changes, so that the caret stays where it is.
  if (digits !== field.value) field.value = digits;
});

for (const button of document.querySelectorAll("[data-copy]")) {
  if (!navigator.clipboard) continue;
  button.hidden = false;
  button.addEventListener("click", async () => {
    const source = document.getElementById(button.dataset.copy);
    const lines = [...source.querySelectorAll("li")].map((line) => line.textContent.trim());
    await navigator.clipboard.writeText(lines.join("\n") || source.textContent.replace(/\s/g, ""));
    button.setAttribute("aria-pressed", "true");
  });
}

const print = document.querySelector("[data-print]");
if (print) {
  print.hidden = false;
  print.addEventListener("click", () => window.print());
}
