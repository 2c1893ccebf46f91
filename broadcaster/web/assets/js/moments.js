// Times as officials write them, on Hanoi's clock: "06:00 10/09", "6h 10/9", "0600 1009", "06:00".
// The browser's own date field shows months first and AM/PM wherever the browser is English.
const NEAR_DAYS = 183;
const DAY_MS = 86_400_000;
const two = (number) => String(number).padStart(2, "0");

// Now in Hanoi, as if it were UTC: whole-day arithmetic without a time zone in the way.
function hanoiNow() {
  const parts = new Intl.DateTimeFormat("en-CA", {
    timeZone: "Asia/Ho_Chi_Minh",
    hourCycle: "h23",
    year: "numeric",
    month: "2-digit",
    day: "2-digit",
    hour: "2-digit",
    minute: "2-digit",
  }).formatToParts();
  const of = (type) => Number(parts.find((one) => one.type === type).value);
  return Date.UTC(of("year"), of("month") - 1, of("day"), of("hour"), of("minute"));
}

function numbersIn(text) {
  const groups = text.trim().match(/\d+/g) ?? [];
  const split = groups.flatMap((one, index) =>
    (one.length === 4 && index < 2 && groups.length < 4) || (one.length === 3 && index === 0)
      ? [one.slice(0, -2), one.slice(-2)]
      : [one],
  );
  // "6h" and "6h 10/9" name no minutes.
  const noMinutes = /^\s*\d{1,2}\s*(h|g|giờ)?(\s|$)/i.test(text) && !/^\s*\d{1,2}\s*[h:.]\d/i.test(text);
  return noMinutes ? [split[0], "0", ...split.slice(1)] : split;
}

// Returns "2026-09-10T06:00", "" for an empty text, null for what is no time.
export function parseMoment(text, now = hanoiNow()) {
  if (!text.trim()) return "";
  const [hour, minute, day, month, year] = numbersIn(text).map(Number);
  if (!(hour <= 23 && minute <= 59)) return null;
  let at;
  if (day === undefined) {
    const today = now - (now % DAY_MS) + (hour * 60 + minute) * 60_000;
    at = today < now ? today + DAY_MS : today;
  } else {
    at = nearest(hour, minute, day, month, year, now);
  }
  if (at === null) return null;
  const date = new Date(at);
  const ymd = `${date.getUTCFullYear()}-${two(date.getUTCMonth() + 1)}-${two(date.getUTCDate())}`;
  return `${ymd}T${two(date.getUTCHours())}:${two(date.getUTCMinutes())}`;
}

// Without a year the nearest one is meant: 01/01 written in December is next year's.
function nearest(hour, minute, day, month, year, now) {
  const thisYear = new Date(now).getUTCFullYear();
  const years = year ? [year < 100 ? 2000 + year : year] : [thisYear - 1, thisYear, thisYear + 1];
  const fits = years
    .map((one) => [one, Date.UTC(one, month - 1, day, hour, minute)])
    .filter(([one, at]) => {
      const date = new Date(at);
      return date.getUTCFullYear() === one && date.getUTCMonth() === month - 1 && date.getUTCDate() === day;
    })
    .map(([, at]) => at)
    .sort((a, b) => Math.abs(a - now) - Math.abs(b - now));
  return fits[0] ?? null;
}

// "06:00 10/09"; with the year where it could be taken for another.
export function formatMoment(value, now = hanoiNow()) {
  const [date, time] = value.split("T");
  const [year, month, day] = date.split("-");
  const far = Math.abs(Date.parse(`${value}Z`) - now) > NEAR_DAYS * DAY_MS;
  return `${time} ${day}/${month}${far ? `/${year}` : ""}`;
}

// The value of a field for the server; a text that is no time is marked and sent as it was typed.
export function momentOf(field) {
  const value = parseMoment(field.value);
  field.setAttribute("aria-invalid", String(value === null));
  return value ?? field.value.trim();
}

// A value of the server as its field holds it; what is no time stays as it was typed.
export const shownMoment = (value) =>
  /^\d{4}-\d\d-\d\dT\d\d:\d\d/.test(value ?? "") ? formatMoment(value.slice(0, 16)) : (value ?? "").trim();

// Writes every time the one way once its field is left.
export function tidyMoments(form) {
  form.addEventListener("focusout", (event) => {
    if (!event.target.matches?.("[data-moment]")) return;
    const value = parseMoment(event.target.value);
    if (value) event.target.value = formatMoment(value);
  });
}
