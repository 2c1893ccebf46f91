// Adding one place by its name, with whatever marks and words it is typed.
import { named } from "./map.js";

export const plain = (text) =>
  text
    .normalize("NFD")
    .replace(/\p{M}/gu, "")
    .replace(/[đĐ]/g, "d")
    .toLowerCase()
    .replace(/\s+/g, " ")
    .trim();

// The unit or the group that a text names: by its whole name first, then by a part of it.
export function findPlace(data, text) {
  const asked = plain(text);
  if (!asked) return {};
  const fits = (names) => Object.values(names).some((name) => plain(name) === asked);
  const loosely = (names) => Object.values(names).some((name) => plain(name).includes(asked));
  const places = data.features;
  const group = data.groups.find((one) => fits(one.name));
  const unit =
    places.find((one) => fits(one.properties.name)) ??
    places.find((one) => plain(named(one, "vi")) === asked) ??
    (group ? undefined : places.find((one) => loosely(one.properties.name)));
  return { unit, group: unit ? undefined : group ?? data.groups.find((one) => loosely(one.name)) };
}

export function byName(editor) {
  const field = document.getElementById("by-name");
  const note = document.getElementById("place-problem");
  const { data, lang } = editor;
  const names = [...data.groups.map((group) => group.name), ...data.features.map((one) => one.properties.name)];
  document.getElementById("names").append(
    ...names.map((name) => {
      const option = document.createElement("option");
      option.value = name[lang];
      return option;
    }),
  );
  const add = () => {
    if (!field.value.trim()) return;
    const { unit, group } = findPlace(data, field.value);
    note.hidden = Boolean(unit || group);
    note.querySelector("span").textContent = note.hidden ? "" : editor.words.nothing;
    if (unit) editor.put(unit);
    if (group) editor.putGroup(group.code);
    if (note.hidden) field.value = "";
    field.focus();
  };
  document.getElementById("add-name").addEventListener("click", add);
  field.addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    add();
  });
}
