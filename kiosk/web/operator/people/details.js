/** The fields of what is known about a person; enrolling and editing share them. */

import { el } from "../../common/dom.js";
import { field } from "../../common/field.js";
import { moment, t } from "../../common/words.js";

// A wish goes to the device under another name than it tells the result.
const TOLD = { retain_until: "retention_until" };
const TIMES = new Set(["valid_from", "valid_until", "retain_until"]);
const LONGEST = 200;

/** Return {element, fields} filled with what is known; what is seldom needed is folded away. */
export function details(one = {}) {
  const text = (name, more = {}) =>
    field(t(`person.${name}`), {
      name,
      value: one[name],
      maxlength: LONGEST,
      autocomplete: "off",
      spellcheck: "false",
      ...more,
    });
  const time = (name, more = {}) =>
    field(t(`person.${name}`), { name, type: "datetime-local", value: local(one[TOLD[name] ?? name]), ...more });
  const first = {
    name: text("name"),
    vendor_data: text("vendor_data", { hint: t("person.vendor_data_hint") }),
  };
  const rest = {
    document_type: text("document_type"),
    document_number: text("document_number"),
    plan: text("plan", { hint: t("person.plan_hint") }),
    valid_from: time("valid_from"),
    valid_until: time("valid_until"),
    retain_until: time("retain_until", { hint: t("person.retain_until_hint") }),
  };
  const element = el(
    "div",
    { class: "stack" },
    el("div", { class: "field-grid" }, Object.values(first)),
    el(
      "details",
      { open: Object.keys(rest).some((name) => one[TOLD[name] ?? name]) },
      el("summary", {}, t("person.more")),
      el("div", { class: "field-grid" }, Object.values(rest)),
    ),
  );
  return { element, fields: { ...first, ...rest } };
}

/** Return what the fields say, by the device's names; with `known` only what differs, and null for what was emptied. */
export function filled(fields, known = null) {
  const said = {};
  for (const [name, one] of Object.entries(fields)) {
    const text = one.control.value.trim();
    const before = known && (TIMES.has(name) ? local(known[TOLD[name] ?? name]) : (known[name] ?? ""));
    if (known ? text === before : text === "") continue;
    said[name] = text === "" ? null : TIMES.has(name) ? new Date(text).toISOString() : text;
  }
  return said;
}

/** Return a time as the browser's own field wants it: this browser's time, to the minute. */
export function local(value) {
  const date = moment(value);
  if (!date) return "";
  return new Date(date.getTime() - date.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}
