/** Filters that were given a name; they are kept in this browser alone. */

import { el, icon, put } from "../../common/dom.js";
import { field } from "../../common/field.js";
import { t } from "../../common/words.js";
import { ask } from "../dialog.js";

const KEPT = "kiosk.filters";
const MOST = 20;

/** Return the row of saved filters; `now` is the address of what is shown, empty while nothing is filtered. */
export function savedFilters(now) {
  const place = el("div", { class: "saved" });
  let all = read();

  function keep(changed) {
    all = changed;
    localStorage.setItem(KEPT, JSON.stringify(all));
    draw();
  }

  async function save() {
    const asked = await ask({
      title: t("saved.title"),
      text: t("saved.text"),
      content: field(t("saved.name"), { name: "name", maxlength: 40, required: true, autocomplete: "off" }),
      confirm: t("saved.save"),
    });
    const name = asked?.values.name.trim();
    if (name) keep([...all.filter((one) => one.name !== name), { name, address: now }].slice(-MOST));
  }

  function draw() {
    put(
      place,
      all.length > 0 &&
        el(
          "ul",
          { "aria-label": t("saved.label") },
          all.map((one) =>
            el(
              "li",
              {},
              el("a", { class: "chip", href: `#${one.address}`, "aria-current": one.address === now && "true" }, one.name),
              el(
                "button",
                {
                  type: "button",
                  class: "button quiet icon-only",
                  title: t("saved.remove", { name: one.name }),
                  onclick: () => keep(all.filter((other) => other !== one)),
                },
                icon("cross"),
                el("span", { class: "unseen" }, t("saved.remove", { name: one.name })),
              ),
            ),
          ),
        ),
      now &&
        !all.some((one) => one.address === now) &&
        el("button", { type: "button", class: "button quiet", onclick: save }, icon("plus"), t("saved.save")),
    );
  }

  draw();
  return place;
}

function read() {
  try {
    const kept = JSON.parse(localStorage.getItem(KEPT) ?? "[]");
    // What lies in a browser may have been put there by anybody: an address of another site is none of ours.
    return kept.filter((one) => typeof one.name === "string" && /^\/decisions(\?|$)/.test(one.address));
  } catch {
    return [];
  }
}
