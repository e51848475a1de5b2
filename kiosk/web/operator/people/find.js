/** The field over every view that finds a person: whoever is meant alone is shown at once, else the list of whom it fits. */

import { call, path } from "../../common/api.js";
import { el, icon, press } from "../../common/dom.js";
import { t } from "../../common/words.js";
import { say } from "../notice.js";

/** Return the form. */
export function finder() {
  const input = el("input", {
    id: "find-person",
    type: "search",
    "aria-label": t("find.person"),
    placeholder: t("find.person"),
    autocomplete: "off",
    spellcheck: "false",
    maxlength: 200,
  });
  const form = el("form", { class: "find-person", role: "search" }, icon("search"), input);
  press(form, "submit", async (event) => {
    event.preventDefault();
    const q = input.value.trim();
    if (!q) return;
    try {
      const { total, subjects } = await call("GET", "/device/subjects", { query: { q, limit: 1 } });
      location.hash = total === 1 ? `#/people/${subjects[0].session_number}` : path("#/people", { q });
      input.value = "";
    } catch (error) {
      if (error.status === undefined) throw error;
      say(error.message, "bad");
    }
  });
  return form;
}
