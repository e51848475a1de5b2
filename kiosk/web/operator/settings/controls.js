/** One setting: its words, its value for people, its control, and what the control says. */

import { el, icon, put } from "../../common/dom.js";
import { field } from "../../common/field.js";
import { knows, named, number, t } from "../../common/words.js";
import { chip } from "../decision-parts.js";

/** Its name in plain words; where there are none of ours, its key's. */
export function label(one) {
  const key = `setting.${one.name}`;
  return knows(key) ? t(key) : one.name.split(".")[1].replaceAll("_", " ");
}

/** What it means. The device explains each setting in English; where there are words of ours, they go before. */
export function sentence(one) {
  const key = `setting_text.${one.name}`;
  const isRanged = one.low !== null && one.high !== null;
  const range = isRanged
    ? ` (${number(one.low)} – ${number(one.high)}${one.unit ? ` ${named("unit", one.unit)}` : ""})`
    : "";
  return (knows(key) ? t(key) : (one.sentence ?? "")) + range;
}

/** Whether a value is another than the one that ships. */
export function isChanged(one, value = one.value) {
  return JSON.stringify(value) !== JSON.stringify(one.default);
}

/** A value as people read it. */
export function shown(one, value = one.value) {
  if (value === "" || value === null || (Array.isArray(value) && !value.length)) return t("settings.empty");
  if (typeof value === "boolean") return t(value ? "word.yes" : "word.no");
  if (typeof value === "number") return `${number(value)}${one.unit ? ` ${named("unit", one.unit)}` : ""}`;
  if (one.choices?.length) return named("choice", value);
  return Array.isArray(value) ? value.join("\n") : String(value);
}

/** Return the field of a setting that can be changed; `value()` is what it says, `take(one)` the setting anew. */
export function control(one) {
  const made = field(label(one), { name: one.name, hint: sentence(one), ...kindOf(one) });
  const foot = el("p", { class: "setting-foot" });
  made.append(foot);
  made.classList.add("setting");
  made.value = () => read(one, made.control);

  function draw() {
    const value = made.value();
    put(
      foot,
      el("code", {}, one.name),
      isChanged(one, value) && [
        chip("plain", "edit", t("settings.changed")),
        el("button", { type: "button", class: "button quiet small", onclick: reset }, icon("again"), back()),
      ],
    );
    made.classList.toggle("is-changed", isChanged(one, value));
  }

  const back = () => t("settings.back", { value: shown(one, one.default).replaceAll("\n", ", ") });

  function reset() {
    write(one, made.control);
    made.control.dispatchEvent(new Event("input", { bubbles: true }));
    made.control.focus();
  }

  made.addEventListener("input", draw);
  made.addEventListener("change", draw);
  made.take = (anew) => {
    one = anew;
    draw();
  };
  draw();
  return made;
}

/** Return the row of a setting that is set on the device. */
export function row(one) {
  return el(
    "div",
    { class: isChanged(one) ? "is-changed" : "" },
    el("dt", {}, label(one), el("span", { class: "hint" }, sentence(one)), el("code", { class: "small" }, one.name)),
    el(
      "dd",
      {},
      el("span", { class: one.value === "" ? "soft" : "" }, shown(one)),
      isChanged(one) && el("span", { class: "setting-mark" }, chip("plain", "edit", t("settings.changed"))),
    ),
  );
}

function kindOf(one) {
  if (typeof one.value === "boolean") return { type: "checkbox", value: one.value };
  if (one.choices?.length)
    return { value: one.value, choices: one.choices.map((choice) => [choice, named("choice", choice)]) };
  if (Array.isArray(one.value))
    return { rows: Math.max(2, one.value.length), value: one.value.join("\n"), spellcheck: "false" };
  if (typeof one.value === "number")
    return {
      type: "number",
      step: "any",
      min: one.low,
      max: one.high,
      value: one.value,
      unit: one.unit && named("unit", one.unit),
    };
  return one.value.length > 60 ? { rows: 4, value: one.value } : { value: one.value };
}

function read(one, input) {
  if (typeof one.value === "boolean") return input.checked;
  if (typeof one.value === "number") return input.value === "" ? null : Number(input.value);
  if (Array.isArray(one.value))
    return input.value
      .split("\n")
      .map((line) => line.trim())
      .filter(Boolean);
  return input.value;
}

function write(one, input) {
  if (typeof one.default === "boolean") input.checked = one.default;
  else input.value = Array.isArray(one.default) ? one.default.join("\n") : String(one.default);
}
