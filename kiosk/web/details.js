/** The fields of what is known about a person; enrolling and editing share them. */

import { el } from "./dom.js";
import { field } from "./field.js";
import { moment, t } from "./words.js";

const TIMES = ["valid_from", "valid_until", "retention_until"];
// The device takes a wish under another name than it tells the result.
const WIRE = { retention_until: "retain_until" };

/** Return {element, fields} filled with what is known. */
export function details(one = {}) {
  const fields = {
    name: field(t("person.name"), { name: "name", value: one.name, maxlength: 200, autocomplete: "off" }),
    vendor_data: field(t("person.vendor_data"), {
      name: "vendor_data",
      value: one.vendor_data,
      maxlength: 200,
      autocomplete: "off",
      hint: t("person.vendor_data_hint"),
    }),
    document_type: field(t("person.document_type"), {
      name: "document_type",
      value: one.document_type,
      maxlength: 60,
      autocomplete: "off",
    }),
    document_number: field(t("person.document_number"), {
      name: "document_number",
      value: one.document_number,
      maxlength: 60,
      autocomplete: "off",
      spellcheck: "false",
    }),
    plan: field(t("person.plan"), {
      name: "plan",
      value: one.plan,
      maxlength: 60,
      autocomplete: "off",
      hint: t("person.plan_hint"),
    }),
    valid_from: field(t("person.valid_from"), {
      name: "valid_from",
      type: "datetime-local",
      value: local(one.valid_from),
    }),
    valid_until: field(t("person.valid_until"), {
      name: "valid_until",
      type: "datetime-local",
      value: local(one.valid_until),
    }),
    retention_until: field(t("person.retention"), {
      name: "retention_until",
      type: "datetime-local",
      value: local(one.retention_until),
      hint: t("person.retention_hint"),
    }),
  };
  return { element: el("div", { class: "field-grid" }, Object.values(fields)), fields };
}

/** Return what the fields say, by the device's names; with `known` only what differs, and null for what was emptied. */
export function filled(fields, known = null) {
  const said = {};
  for (const [name, one] of Object.entries(fields)) {
    const text = one.control.value.trim();
    const before = known && (TIMES.includes(name) ? local(known[name]) : (known[name] ?? ""));
    if (known ? text === before : text === "") continue;
    said[WIRE[name] ?? name] = text === "" ? null : TIMES.includes(name) ? new Date(text).toISOString() : text;
  }
  return said;
}

// As the browser's own field wants it: this browser's time, to the minute.
function local(value) {
  const date = moment(value);
  if (!date) return "";
  return new Date(date.getTime() - date.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}
