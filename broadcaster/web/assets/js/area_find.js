// Adding one place by its name: at once where the name leaves no doubt, else the server reads it
// and shows what it took it for.
import { named } from "./map.js";

export const plain = (text) =>
  text
    .normalize("NFD")
    .replace(/\p{M}/gu, "")
    .replace(/[đĐ]/g, "d")
    .toLowerCase()
    .replace(/\s+/g, " ")
    .trim();

const bare = (text) => text.normalize("NFC").toLowerCase().replace(/\s+/g, " ").trim();

// The unit or the group that a text names whole; nothing where two bear the name, or none does.
export function findPlace(data, text) {
  const asked = bare(text);
  if (!asked) return {};
  // Marks that were typed count: Hồng Hà is not Hồng Hạ.
  const same = plain(asked) === asked ? (name) => plain(name) === asked : (name) => bare(name) === asked;
  const units = data.features.filter((one) =>
    [...Object.values(one.properties.name), named(one, "vi")].some(same),
  );
  // "(cũ)" tells a former district from a commune where it is read; who types the kind says it too.
  const groups = data.groups.filter((one) =>
    [...Object.values(one.name), one.name.vi.replace(/ \(cũ\)$/, "")].some(same),
  );
  if (units.length + groups.length !== 1) return {};
  return { unit: units[0], group: groups[0] };
}

// `read` has the server read a text of the field; it tells whether there was anything to show.
export function byName(editor, read) {
  const field = document.getElementById("by-name");
  const button = document.getElementById("add-name");
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
  const add = async () => {
    if (!field.value.trim()) return;
    note.hidden = true;
    const { unit, group } = findPlace(data, field.value);
    if (unit) editor.put(unit);
    if (group) editor.putGroup(group.code);
    if (unit || group) field.value = "";
    else if (await read(field, button)) return;
    else note.hidden = false;
    note.querySelector("span").textContent = note.hidden ? "" : editor.words.nothing;
    field.focus();
  };
  button.addEventListener("click", add);
  field.addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    add();
  });
}
