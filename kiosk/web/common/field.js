/** Form fields: a label, the control, a hint and the place for its error, tied together for screen readers. */

import { el } from "./dom.js";

let count = 0;

/**
 * Make a labelled control.
 *
 * choices: [[value, words]] makes a select; `rows` a text area; `type: "checkbox"` puts the label behind. Other
 * attributes go to the control. The field's `control` is the element; `fault(text)` shows what is wrong with it.
 */
export function field(label, { choices, rows, hint, value, unit, ...attributes }) {
  const id = `field-${(count += 1)}`;
  const told = { id, "aria-describedby": hint ? `${id}-hint ${id}-error` : `${id}-error`, ...attributes };
  let control;
  if (choices) {
    control = el(
      "select",
      told,
      choices.map(([key, words]) => el("option", { value: key, selected: key === value }, words)),
    );
  } else if (rows) {
    control = el("textarea", { rows, ...told }, value ?? "");
  } else {
    control = el("input", { type: "text", ...told });
    if (attributes.type === "checkbox") control.checked = Boolean(value);
    else if (value !== undefined && value !== null) control.value = value;
  }
  const isBox = attributes.type === "checkbox";
  const error = el("p", { class: "field-error", id: `${id}-error` });
  const named = el(
    "label",
    { for: id },
    label,
    attributes.required && el("span", { class: "required", "aria-hidden": "true" }, " *"),
  );
  const body = unit ? el("div", { class: "with-unit" }, control, el("span", { class: "unit" }, unit)) : control;
  const whole = el(
    "div",
    { class: isBox ? "field box" : "field" },
    isBox ? [control, named] : [named, body],
    hint && el("p", { class: "hint", id: `${id}-hint` }, hint),
    error,
  );
  whole.control = control;
  whole.fault = (text) => {
    error.textContent = text ?? "";
    if (text) control.setAttribute("aria-invalid", "true");
    else control.removeAttribute("aria-invalid");
  };
  return whole;
}

/** Put a refused call's faults beside their fields; return whether each found its place. */
export function showFaults(fields, error) {
  let isPlaced = Object.keys(error.fields ?? {}).length > 0;
  for (const one of Object.values(fields)) one.fault("");
  for (const [name, sentence] of Object.entries(error.fields ?? {})) {
    if (fields[name]) fields[name].fault(sentence);
    else isPlaced = false;
  }
  Object.values(fields)
    .find((one) => one.control.getAttribute("aria-invalid"))
    ?.control.focus();
  return isPlaced;
}
