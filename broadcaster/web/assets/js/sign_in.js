// Lets an official look at the password that was typed.
const field = document.getElementById("password");
const button = document.getElementById("reveal");
button.hidden = false;
button.addEventListener("click", () => {
  const shown = field.type === "password";
  field.type = shown ? "text" : "password";
  button.setAttribute("aria-pressed", String(shown));
  field.focus();
});
