/**
 * The words of the pages. They live in the files of their languages alone, such as de.json: another file adds a language.
 * Numbers and dates follow the same language. Where a file lacks a key, English is shown, marked for whoever tests it.
 */

const ABOUT = await (await fetch("/web/common/languages.json")).json(); // code → name, direction, region, missing
export const LANGUAGES = Object.fromEntries(Object.entries(ABOUT).map(([code, one]) => [code, one.name ?? code]));
const REGION = Object.fromEntries(Object.entries(ABOUT).map(([code, one]) => [code, one.region ?? code]));
const KEPT = "kiosk.language";
const MARK = "\u00a0\u1d49\u207f"; // "en" as small letters above: English, as this language has no words yet

const loaded = new Map(); // language → its words on their way or there: a sign-in speaks them a second time
let language = "en";
let words = {};
let english = {}; // what stands in for keys that the language lacks
let plurals = new Intl.PluralRules("en");
let zone; // of the device; the browser's own where nobody told

/** Return the language of now. */
export function current() {
  return language;
}

/** Return what this browser chose before, or what it asks for, or the device's own. */
export function preferred(ofDevice) {
  const wanted = [localStorage.getItem(KEPT), ofDevice, ...navigator.languages.map((tag) => tag.slice(0, 2)), "en"];
  return wanted.find((one) => one in LANGUAGES);
}

/** Speak a language from now on; `keep` remembers it in this browser. */
export async function speak(wanted, { keep = false } = {}) {
  const isWhole = !ABOUT[wanted]?.missing;
  [words, english] = await Promise.all([load(wanted), isWhole ? {} : load("en")]);
  language = wanted;
  plurals = new Intl.PluralRules(wanted);
  document.documentElement.lang = wanted;
  document.documentElement.dir = directionOf(wanted);
  if (keep) localStorage.setItem(KEPT, wanted);
}

function load(code) {
  if (!loaded.has(code)) {
    const coming = fetched(code);
    loaded.set(code, coming);
    coming.catch(() => loaded.delete(code)); // asked for again
  }
  return loaded.get(code);
}

async function fetched(code) {
  const answer = await fetch(`/web/common/${code}.json`);
  if (!answer.ok) throw new Error(`/web/common/${code}.json: ${answer.status}`);
  return answer.json();
}

/** Return "rtl" for a language that is written from right to left, else "ltr". */
export function directionOf(code) {
  return ABOUT[code]?.direction ?? "ltr";
}

/** Show times as they are at this place, for instance Europe/Berlin. */
export function setZone(name) {
  zone = name || undefined;
}

/**
 * Return the words of a key, with `{name}` filled in; a key with several forms takes the one that fits `n`.
 */
export function t(key, values = {}) {
  const isEnglish = words[key] === undefined;
  let text = words[key] ?? english[key];
  if (text === undefined) {
    console.error(`no words for ${key} in ${language}`);
    return key;
  }
  const rules = isEnglish ? new Intl.PluralRules("en") : plurals;
  if (typeof text === "object") text = text[rules.select(values.n)] ?? text.other;
  const filled = text.replace(/\{(\w+)\}/g, (_, name) => {
    const value = values[name];
    return typeof value === "number" ? number(value) : String(value ?? "");
  });
  return isEnglish ? filled + MARK : filled;
}

/** Return the words of `${prefix}.${code}`, or the code itself where we do not know it: a newer device may. */
export function named(prefix, code) {
  const key = `${prefix}.${code}`;
  return knows(key) ? t(key) : String(code ?? "").replaceAll("_", " ");
}

/** Whether there are words for a key. */
export function knows(key) {
  return key in words || key in english;
}

// Arabic's formats hold marks of direction, which the pages show as escapes: a name must not hide any.
const MARKS = /[\u061c\u200e\u200f]/g;

function numeral(value, style = {}) {
  return new Intl.NumberFormat(REGION[language], style).format(value).replace(MARKS, "");
}

/** Return a number as people of this language write it. */
export function number(value, digits = 3) {
  if (value !== 0 && Math.abs(value) < 0.001) return power(value);
  return numeral(value, { maximumFractionDigits: digits });
}

/** Return a share of one as a percentage with the digits that say something, such as 63 % or 0.012 %. */
export function share(value) {
  const digits = value >= 0.1 || value === 0 ? 0 : value >= 0.01 ? 1 : Math.min(8, 1 - Math.floor(Math.log10(value * 100)));
  const shown = value > 0.99 && value < 1 ? Math.min(value, 0.999) : value; // never "100 %" for what is not certain
  const style = { style: "percent", maximumFractionDigits: value > 0.99 && value < 1 ? 1 : digits };
  return numeral(shown, style).replace(/(?<=\d)%/, "\u00a0%"); // English has no space there, the pages' sentences do
}

// 8.3e-7 as people write it.
function power(value) {
  const [digits, exponent] = value.toExponential(1).split("e");
  const raised = [...String(Number(exponent))].map((sign) => "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"["-0123456789".indexOf(sign)]).join("");
  return `${numeral(digits)} × 10${raised}`;
}

/** Return a length of time in its largest unit, such as 45 seconds or 3 hours. */
export function span(seconds) {
  const [unit, size] = [
    ["day", 86_400],
    ["hour", 3_600],
    ["minute", 60],
    ["second", 1],
  ].find(([, each]) => seconds >= 2 * each || each === 1);
  const style = { style: "unit", unit, unitDisplay: "long", maximumFractionDigits: 0 };
  return new Intl.NumberFormat(REGION[language], style).format(seconds / size);
}

/** Return a weekday in short, 0 for Monday. */
export function weekday(day) {
  // The first of January 2024 was a Monday.
  return new Intl.DateTimeFormat(REGION[language], { weekday: "short", timeZone: "UTC" }).format(Date.UTC(2024, 0, 1 + day));
}

/** Return a time as a Date: the device writes ISO 8601, its news seconds. */
export function moment(value) {
  if (value === null || value === undefined || value === "") return null;
  const date = new Date(typeof value === "number" ? value * 1000 : value);
  return Number.isNaN(date.getTime()) ? null : date;
}

/** Return a time as text: "time", "short" (day and time), "day" or "full". */
export function time(value, kind = "short") {
  const date = moment(value);
  if (!date) return "–";
  const style = {
    hour: { hour: "2-digit", minute: "2-digit" },
    time: { hour: "2-digit", minute: "2-digit", second: "2-digit" },
    short: { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" },
    day: { day: "numeric", month: "short", year: "numeric" },
    weekday: { weekday: "long", day: "numeric", month: "long" },
    full: { day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit" },
  }[kind];
  const format = new Intl.DateTimeFormat(REGION[language], { ...style, hour12: false, timeZone: zone });
  return format.format(date).replace(MARKS, "");
}

/** Return how long something lasts in the two largest units that say something, such as "3 h 12 min". */
export function duration(seconds) {
  if (seconds < 1) return measured(Math.round(seconds * 1000), "millisecond");
  const parts = [];
  let left = Math.round(seconds);
  for (const [unit, size] of [
    ["day", 86400],
    ["hour", 3600],
    ["minute", 60],
    ["second", 1],
  ]) {
    const count = Math.floor(left / size);
    left -= count * size;
    if (count) parts.push(measured(count, unit));
    else if (parts.length) break;
    if (parts.length === 2) break;
  }
  return parts.join(" ");
}

/** Return a size in bytes as people read it, such as 315 kB. */
export function size(bytes) {
  const units = ["byte", "kilobyte", "megabyte", "gigabyte"];
  const step = Math.min(units.length - 1, bytes > 0 ? Math.floor(Math.log10(bytes) / 3) : 0);
  return measured(bytes / 1000 ** step, units[step], step ? 1 : 0);
}

/** Return a number with its unit, as people of this language write it. */
export function measured(value, unit, digits = 0) {
  const style = { style: "unit", unit, unitDisplay: "short", maximumFractionDigits: digits };
  return numeral(value, style);
}

/** Return how long ago a time was, or how far ahead it lies. */
export function ago(value) {
  const date = moment(value);
  if (!date) return "–";
  const seconds = (date.getTime() - Date.now()) / 1000;
  const format = new Intl.RelativeTimeFormat(REGION[language], { numeric: "auto" });
  for (const [unit, size] of [
    ["day", 86400],
    ["hour", 3600],
    ["minute", 60],
  ]) {
    if (Math.abs(seconds) >= size) return format.format(Math.trunc(seconds / size), unit).replace(MARKS, "");
  }
  return t("time.now");
}
