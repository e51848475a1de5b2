/** The settings: all can be read, the safe ones changed; nothing is put into force unless all of a change is right. */

import { call } from "../../common/api.js";
import { el, icon, put } from "../../common/dom.js";
import { field, showFaults } from "../../common/field.js";
import { load, say } from "../notice.js";
import { knows, named, number, t } from "../../common/words.js";

export async function settings(place, { session }) {
  const body = el("div", {});
  put(
    place,
    el("div", { class: "head" }, el("h1", {}, t("settings.title"))),
    el("p", { class: "soft lead" }, t(session.role === "admin" ? "settings.text" : "settings.text_read")),
    body,
  );
  await load(
    body,
    () => call("GET", "/device/settings"),
    ({ settings: all }) => form(all, session.role === "admin"),
    10,
  );
}

function form(all, mayChange) {
  const sections = new Map();
  const fields = {};
  for (const one of all) {
    const [section] = one.name.split(".");
    sections.set(section, [...(sections.get(section) ?? []), one]);
  }
  const trouble = el("p", { class: "field-error", role: "alert" });
  const known = Object.fromEntries(all.map((one) => [one.name, one]));

  const send = async (event) => {
    event.preventDefault();
    trouble.textContent = "";
    const changed = Object.fromEntries(
      Object.entries(fields)
        .map(([name, control]) => [name, read(known[name], control)])
        .filter(([name, value]) => JSON.stringify(value) !== JSON.stringify(known[name].value)),
    );
    if (!Object.keys(changed).length) {
      say(t("settings.nothing"));
      return;
    }
    try {
      const answer = await call("PATCH", "/device/settings", { json: changed });
      for (const one of answer?.settings ?? []) known[one.name] = one;
      for (const one of Object.values(fields)) one.fault("");
      say(t("settings.saved"));
    } catch (error) {
      if (error.status === undefined) throw error;
      if (!showFaults(fields, error)) trouble.textContent = error.message;
    }
  };

  const groups = [...sections].map(([section, members]) => {
    const open = members.filter((one) => one.is_changeable && mayChange);
    const shut = members.filter((one) => !one.is_changeable || !mayChange);
    for (const one of open) fields[one.name] = control(one);
    return el(
      "section",
      { class: "card stack" },
      el("h2", {}, named("section", section)),
      open.length > 0 &&
        el(
          "div",
          { class: "field-grid" },
          open.map((one) => fields[one.name]),
        ),
      shut.length > 0 &&
        el(
          "details",
          { open: open.length === 0 },
          el("summary", {}, t("settings.fixed", { n: shut.length })),
          el(
            "dl",
            { class: "facts" },
            shut.map((one) =>
              el(
                "div",
                {},
                el("dt", {}, label(one), el("span", { class: "hint" }, sentence(one))),
                el("dd", {}, shown(one)),
              ),
            ),
          ),
        ),
    );
  });
  return el(
    "form",
    { class: "stack", onsubmit: send, novalidate: true },
    // What can be changed comes first.
    groups.sort(
      (one, other) => Boolean(other.querySelector(".field-grid")) - Boolean(one.querySelector(".field-grid")),
    ),
    trouble,
    Object.keys(fields).length > 0 &&
      el(
        "div",
        { class: "save-bar" },
        el("button", { type: "submit", class: "button primary" }, icon("check"), t("settings.save")),
      ),
  );
}

function label(one) {
  const key = `setting.${one.name}`;
  return knows(key) ? t(key) : one.name.split(".")[1].replaceAll("_", " ");
}

// The device explains each setting in English; where there are words of ours, they go before.
function sentence(one) {
  const key = `setting_text.${one.name}`;
  const isRanged = one.low !== null && one.high !== null;
  const range = isRanged
    ? ` (${number(one.low)} – ${number(one.high)}${one.unit ? ` ${named("unit", one.unit)}` : ""})`
    : "";
  return (knows(key) ? t(key) : (one.sentence ?? "")) + range;
}

function shown(one) {
  if (one.value === "" || one.value === null || (Array.isArray(one.value) && !one.value.length))
    return el("span", { class: "soft" }, t("settings.empty"));
  if (typeof one.value === "boolean") return t(one.value ? "word.yes" : "word.no");
  if (typeof one.value === "number") return `${number(one.value)}${one.unit ? ` ${named("unit", one.unit)}` : ""}`;
  return Array.isArray(one.value) ? one.value.join("\n") : String(one.value);
}

function control(one) {
  const common = { name: one.name, hint: sentence(one) };
  if (typeof one.value === "boolean") return field(label(one), { ...common, type: "checkbox", value: one.value });
  if (one.choices?.length)
    return field(label(one), {
      ...common,
      value: one.value,
      choices: one.choices.map((choice) => [choice, named("choice", choice)]),
    });
  if (Array.isArray(one.value))
    return field(label(one), {
      ...common,
      rows: Math.max(2, one.value.length),
      value: one.value.join("\n"),
      spellcheck: "false",
    });
  if (typeof one.value === "number")
    return field(label(one), {
      ...common,
      type: "number",
      step: "any",
      min: one.low,
      max: one.high,
      value: one.value,
      unit: one.unit && named("unit", one.unit),
    });
  if (one.value.length > 60) return field(label(one), { ...common, rows: 4, value: one.value });
  return field(label(one), { ...common, value: one.value });
}

function read(one, made) {
  const { control: input } = made;
  if (typeof one.value === "boolean") return input.checked;
  if (typeof one.value === "number") return input.value === "" ? null : Number(input.value);
  if (Array.isArray(one.value))
    return input.value
      .split("\n")
      .map((line) => line.trim())
      .filter(Boolean);
  return input.value;
}
