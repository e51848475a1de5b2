/** Questions in front of the page, on the browser's own dialog element: it keeps the focus and takes Escape. */

import { coded, el, press } from "../common/dom.js";
import { t } from "../common/words.js";

/**
 * Ask; return the form's values, or null when it was left.
 *
 * act: called with the values before closing; what it throws is shown in the dialog, which then stays.
 */
export function ask({ title, text, content = null, confirm, isDanger = false, act = async () => {} }) {
  return new Promise((resolve) => {
    let outcome = null;
    const trouble = el("p", { class: "field-error", role: "alert" });
    const yes = el("button", { type: "submit", class: isDanger ? "button danger" : "button primary" }, confirm);
    const form = el(
      "form",
      { class: "stack" },
      el("h2", { id: "dialog-title" }, title),
      text && el("p", { class: "soft" }, coded(text)),
      content,
      trouble,
      el(
        "div",
        { class: "actions end" },
        el("button", { type: "button", class: "button", onclick: () => end() }, t("action.cancel")),
        yes,
      ),
    );
    const dialog = el("dialog", { class: "dialog", "aria-labelledby": "dialog-title" }, form);
    press(form, "submit", async (event) => {
      event.preventDefault();
      const values = Object.fromEntries(new FormData(form));
      yes.disabled = true;
      trouble.textContent = "";
      try {
        outcome = { values, result: await act(values) };
        end();
      } catch (error) {
        if (error.status === undefined) throw error;
        trouble.textContent = Object.values(error.fields ?? {}).join(" ") || error.message;
      } finally {
        yes.disabled = false;
      }
    });
    // All at once: the event that a dialog was closed comes later, and a key pressed meanwhile would fall into a gap.
    const end = () => {
      removeEventListener("hashchange", end);
      dialog.close();
      dialog.remove();
      resolve(outcome);
    };
    addEventListener("hashchange", end); // the view it belongs to is gone
    for (const left of ["cancel", "close"]) dialog.addEventListener(left, end);
    document.body.append(dialog);
    dialog.showModal();
  });
}
