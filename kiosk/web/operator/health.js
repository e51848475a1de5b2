/** How the kiosk is: armed or not and why, how each state is mended, and its figures. */

import { coded, el, icon } from "../common/dom.js";
import { ago, current, duration, knows, measured, named, number, size, t } from "../common/words.js";

const ENTERED = new Set(["identify", "verify"]); // modes in which a door opens

/** Return the banner: one glance says whether somebody who steps up is let in. */
export function states(health) {
  const isServing = health.mode === "serve"; // no door and no camera: only the API answers
  const isOpenToPictures = health.states?.some((one) => one.condition === "pad_off");
  const kind = !health.is_armed ? (isServing ? "plain" : "bad") : isOpenToPictures ? "maybe" : "good";
  return el(
    "div",
    { class: `banner ${kind}` },
    icon(kind === "good" ? "shield" : isServing ? "info" : "alert"),
    el(
      "div",
      { class: "banner-body" },
      el(
        "p",
        { class: "banner-title" },
        t(
          `health.${isServing ? "serving" : !health.is_armed ? "not_armed" : ENTERED.has(health.mode) ? "armed" : "working"}`,
        ),
      ),
      el("p", { class: "soft" }, coded(named("mode", health.mode))),
      health.states?.length > 0 && el("ul", { class: "states" }, health.states.map(state)),
    ),
  );
}

function state(one) {
  const cure = `cure.${one.condition}`;
  const isOff = one.condition === "pad_off"; // by somebody's choice: one sentence says all there is to say
  return el(
    "li",
    { class: "state" },
    el(
      "p",
      { class: "state-title" },
      named("condition", one.condition),
      !isOff && el("span", { class: "soft" }, ` · ${named("leaves", one.leaves)} · ${ago(one.since)}`),
    ),
    el("p", {}, coded(knows(cure) ? t(cure) : one.sentence)),
    knows(cure) && one.sentence && !isOff && details(one.sentence),
  );
}

/** The device's own sentence, which is English: beside the words of the page where they are, else one step away. */
function details(sentence) {
  if (current() === "en") return el("p", { class: "soft small" }, sentence);
  return el(
    "details",
    {},
    el("summary", { class: "small" }, t("health.in_english")),
    el("p", { class: "soft small", lang: "en", dir: "ltr" }, sentence),
  );
}

/** Return the device's figures as a list; what has no words of ours is shown by its own name. */
export function figures(health) {
  // Outbox and fleet have pages of their own, and the camera's picture shows the still faces.
  const { outbox: _, fleet: _fleet, still_faces: _faces, ...rest } = health.figures ?? {};
  const rows = flat(rest);
  return el(
    "dl",
    { class: "facts" },
    rows.map(([name, value]) => el("div", {}, el("dt", {}, label(name)), el("dd", {}, el("bdi", {}, value)))),
  );
}

/** Return what a figure is called; one of a neighbour, such as mqtt_dropped, by its section and what it has in common. */
function label(path) {
  const [, section, what] = /^([a-z]+)_(.+)$/.exec(path) ?? [];
  const isOfSection = !knows(`figure.${path}`) && knows(`section.${section}`);
  return isOfSection ? `${t(`section.${section}`)}: ${named("figure_of", what)}` : named("figure", path);
}

function flat(tree, prefix = "") {
  return Object.entries(tree).flatMap(([name, value]) => {
    const path = prefix ? `${prefix}_${name}` : name;
    if (value === null || value === undefined || value === "") return [];
    if (Array.isArray(value)) return value.length ? [[path, value.map(plain).join(", ")]] : [];
    if (typeof value === "object") return flat(value, path);
    return [[path, inWords(path, value)]];
  });
}

// What a figure's name ends with is its unit, which stands with the number and not in the name.
const UNITS = [
  ["_s", (value) => duration(value)],
  ["_bytes", (value) => size(value)],
  ["_mb", (value) => size(value * 1e6)],
  ["_c", (value) => measured(value, "celsius", 1)],
];

// Figures that are one word of a few, which the pages have in every language.
const WORDS = { clock: "clock", door_state: "door_state", camera_state: "camera_state" };

function inWords(path, value) {
  const words = WORDS[path] && `${WORDS[path]}.${value}`;
  if (words && knows(words)) return t(words);
  const unit = typeof value === "number" && UNITS.find(([ending]) => path.endsWith(ending));
  return unit ? unit[1](value) : plain(value);
}

function plain(value) {
  if (typeof value === "number") return number(value, 4);
  if (typeof value === "boolean") return t(value ? "word.yes" : "word.no");
  if (typeof value === "object") return JSON.stringify(value);
  return /^[0-9a-f]{64}$/.test(value) ? `${value.slice(0, 12)}…` : String(value);
}
