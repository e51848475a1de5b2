/** Form fields: a label, the control, a hint and the place for its error, tied together for screen readers. */

import { coded, el, icon } from "./dom.js";
import { t } from "./words.js";

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
  const isFile = attributes.type === "file";
  const error = el("p", { class: "field-error", id: `${id}-error` });
  const named = el(
    "label",
    { for: id },
    label,
    attributes.required && el("span", { class: "required", "aria-hidden": "true" }, " *"),
  );
  const body = isFile ? chooser(control) : unit ? el("div", { class: "with-unit" }, control, el("span", { class: "unit" }, unit)) : control;
  const whole = el(
    "div",
    { class: isBox ? "field box" : "field" },
    isBox ? [control, named] : [named, body],
    hint && el("p", { class: "hint", id: `${id}-hint` }, coded(hint)),
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

/** The words of a file's button: a folder is chosen as a whole, however many files it has. */
function chosen(control) {
  if (control.webkitdirectory) return "file.choose_folder";
  return control.multiple ? "file.choose_several" : "file.choose";
}

/** A file's button and name in the page's own words: the browser's are in the browser's language. */
function chooser(control) {
  const name = el("span", { class: "soft file-name" }, t("file.none"));
  control.classList.add("unseen");
  control.addEventListener("change", () => {
    const count = control.files.length;
    name.textContent = count === 0 ? t("file.none") : count === 1 ? control.files[0].name : t("file.several", { n: count });
  });
  return el(
    "div",
    { class: "file" },
    control,
    el("label", { for: control.id, class: "button" }, icon("upload"), t(chosen(control))),
    name,
  );
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
