// The compose form as a document: what the server is sent, and what it sends back.
import { readArea, writeArea } from "./area_value.js";
import { momentOf, shownMoment } from "./moments.js";

const LANGUAGES = ["vi", "en"];
const PLAIN = { risk_level: "risk_level", river_alarm: "river_alarm" };
// Sent where "at a time" is chosen and none is typed yet: it must not go out at once.
const NOT_SAID = " ";
const SOURCE = { issuer: "source_issuer", number: "source_number", time: "source_time" };

// Every field of a document by its path: "values/river", "own/vi/push.title", "area".
export function flat(document_, at = "") {
  const found = {};
  for (const [name, value] of Object.entries(document_)) {
    const path = at ? `${at}/${name}` : name;
    const inside = value && typeof value === "object" && !Array.isArray(value) && path !== "area";
    if (inside) Object.assign(found, flat(value, path));
    else if (value !== null && value !== "" && path !== "version" && path !== "state") {
      found[path] = JSON.stringify(value);
    }
  }
  return found;
}

// The paths in which two documents differ.
export function differing(one, other) {
  const [first, second] = [flat(one), flat(other)];
  const paths = new Set([...Object.keys(first), ...Object.keys(second)]);
  return [...paths].filter((path) => first[path] !== second[path]);
}

// The path of the field an element stands in, as the server names it; "" for none.
export function pathOf(element) {
  const piece = element.closest("[data-piece]");
  if (piece) {
    const { variant, in: lang, piece: name } = piece.dataset;
    return variant ? `own_follow_ups/${variant}/${lang}/${name}` : `own/${lang}/${name}`;
  }
  const field = element.closest("[data-field]");
  if (field) return `values/${field.dataset.field}`;
  if (element.closest("#where")) return "area";
  const { name = "" } = element;
  if (name.startsWith("source_")) return `source/${name.slice("source_".length)}`;
  return { english: "languages", when: "scheduled_for" }[name] ?? (name in PLAIN || name in NAMES ? name : "");
}

const NAMES = { class: 1, expires: 1, scheduled_for: 1, channels: 1 };

export class ComposeForm {
  constructor(form) {
    this.form = form;
    this.ownPlaces = JSON.parse(form.dataset.ownPlaces);
    // Until the map is there the area is what it was; then the map's editor holds it.
    this.editor = null;
    this.area = writeArea(readArea(JSON.parse(form.dataset.area)));
  }

  collect() {
    const fields = this.form.elements;
    const values = {};
    for (const box of this.form.querySelectorAll("[data-field]")) values[box.dataset.field] = valueOf(box);
    const own = { vi: {}, en: {} };
    const ownFollowUps = {};
    for (const box of this.form.querySelectorAll("[data-piece][data-own]")) {
      const { variant, in: lang, piece } = box.dataset;
      if (variant) ownFollowUps[variant] ??= { vi: {}, en: {} };
      (variant ? ownFollowUps[variant] : own)[lang][piece] = box.querySelector(".in").value;
    }
    const number = (text) => (text ? Number(text) : null);
    return {
      class: fields.class.value,
      values,
      area: this.editor?.value ?? this.area,
      languages: fields.english.checked ? LANGUAGES : ["vi"],
      own,
      own_follow_ups: ownFollowUps,
      own_places: this.ownPlaces,
      expires: momentOf(fields.expires),
      scheduled_for: fields.when.value === "time" ? momentOf(fields.scheduled_for) || NOT_SAID : "",
      risk_level: number(fields.risk_level.value),
      river_alarm: number(fields.river_alarm.value),
      source: {
        issuer: fields.source_issuer.value,
        number: fields.source_number.value,
        time: momentOf(fields.source_time),
      },
      channels: [...this.form.querySelectorAll("[name=channels]:checked")].map((box) => box.value),
    };
  }

  // Writes a document into the form, except where `keep` says that a newer word stands.
  fill(document_, keep = () => false) {
    const fields = this.form.elements;
    const put = (path, write) => keep(path) || write();
    put("class", () => (fields.class.value = document_.class));
    put("languages", () => (fields.english.checked = document_.languages.includes("en")));
    put("expires", () => (fields.expires.value = shownMoment(document_.expires)));
    put("scheduled_for", () => {
      fields.when.value = document_.scheduled_for ? "time" : "approval";
      fields.scheduled_for.value = shownMoment(document_.scheduled_for);
    });
    for (const name of Object.keys(PLAIN)) put(name, () => (fields[name].value = document_[name] ?? ""));
    for (const [name, field] of Object.entries(SOURCE)) {
      const value = document_.source?.[name] ?? "";
      put(`source/${name}`, () => (fields[field].value = name === "time" ? shownMoment(value) : value));
    }
    for (const box of this.form.querySelectorAll("[name=channels]")) {
      put("channels", () => (box.checked = document_.channels.includes(box.value)));
    }
    put("own_places", () => (this.ownPlaces = document_.own_places));
    this.#fillValues(document_, put);
    this.#fillOwn(document_, put);
    put("area", () => this.#fillArea(document_.area));
  }

  #fillValues(document_, put) {
    for (const box of this.form.querySelectorAll("[data-field]")) {
      const { field, type } = box.dataset;
      const value = document_.values?.[field];
      for (const input of box.querySelectorAll("[data-value]")) {
        const lang = input.dataset.value;
        // What follows the map is told with the server's answer.
        if (lang && type === "places" && !value) continue;
        const text = lang ? (value?.[lang] ?? "") : (value ?? "");
        put(lang ? `values/${field}/${lang}` : `values/${field}`, () => {
          input.value = type === "time" || type === "period" ? shownMoment(text) : text;
        });
      }
    }
  }

  #fillOwn(document_, put) {
    for (const box of this.form.querySelectorAll("[data-piece]")) {
      const { variant, in: lang, piece } = box.dataset;
      const own = variant ? document_.own_follow_ups?.[variant] : document_.own;
      const text = own?.[lang]?.[piece];
      put(variant ? `own_follow_ups/${variant}/${lang}/${piece}` : `own/${lang}/${piece}`, () => {
        box.toggleAttribute("data-own", text !== undefined);
        box.querySelector("[data-back]").hidden = text === undefined;
        if (text !== undefined) box.querySelector(".in").value = text;
      });
    }
  }

  #fillArea(area) {
    const whole = writeArea(readArea(area));
    if (JSON.stringify(whole) === JSON.stringify(this.editor?.value ?? this.area)) return;
    this.area = whole;
    this.form.dataset.area = JSON.stringify(whole);
    this.editor?.set(whole, { fit: false });
  }
}

function valueOf(box) {
  const own = (selector) => box.querySelector(selector);
  if (box.dataset.type === "text" || box.dataset.type === "places") {
    const result = { vi: own('[data-value="vi"]').value, en: own('[data-value="en"]').value };
    if (!result.en) delete result.en;
    return result.vi || result.en ? result : null;
  }
  if (box.dataset.type === "period") {
    const [from, to] = ["from", "to"].map((end) => momentOf(own(`[data-value="${end}"]`)));
    return from || to ? { from, to } : null;
  }
  if (box.dataset.type === "time") return momentOf(own("[data-value]")) || null;
  return own("[data-value]").value || null;
}
