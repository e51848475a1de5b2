/** A field for a person: their number, or a part of the name, for which the device suggests who it may be. */

import { call } from "../../common/api.js";
import { el, put } from "../../common/dom.js";
import { field } from "../../common/field.js";
import { t } from "../../common/words.js";

const MOST = 8;
const TYPING_MS = 250;
const NUMBER = /(?:^|\()(\d+)\)?$/; // "12", or "Person A (12)"

/** Return the field; its form value, under `name`, is the number alone. */
export function personField(words, { name, value }) {
  const list = el("datalist", { id: `${name}-people` });
  const hidden = el("input", { type: "hidden", name, value });
  const made = field(words, { type: "search", value, list: list.id, autocomplete: "off", spellcheck: "false", hint: t("pick.hint") });
  made.append(list, hidden);
  let timer = null;
  made.control.addEventListener("input", () => {
    clearTimeout(timer);
    const text = made.control.value.trim();
    made.fault("");
    if (text.length > 1 && !NUMBER.test(text)) timer = setTimeout(() => suggest(text), TYPING_MS);
  });
  made.control.addEventListener("change", (event) => {
    const text = made.control.value.trim();
    hidden.value = NUMBER.exec(text)?.[1] ?? "";
    if (text && !hidden.value) {
      event.stopPropagation(); // nobody was chosen yet: the list stays as it is
      made.fault(t("pick.choose"));
    }
  });

  async function suggest(text) {
    try {
      const { subjects } = await call("GET", "/device/subjects", { query: { q: text, limit: MOST } });
      put(
        list,
        subjects.map((one) =>
          el("option", { value: `${one.name ?? t("person.unnamed")} (${one.session_number})` }, one.vendor_data ?? ""),
        ),
      );
    } catch (error) {
      if (error.status === undefined) throw error; // a field without suggestions takes a number all the same
    }
  }
  return made;
}
