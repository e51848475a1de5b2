/** Tables that become cards on a phone, and the pages of a list. */

import { el, icon } from "./dom.js";
import { number, t } from "./words.js";

/**
 * Make a table.
 *
 * columns: [{name, words, kind}] with kind "number" for right-aligned; cells: a list of contents for each row.
 * address: from a row to where it leads; its first cell holds the link, the whole row takes the pointer.
 */
export function table(caption, columns, rows, { cells, address }) {
  return el(
    "div",
    { class: "table-scroll" },
    el(
      "table",
      { class: "table" },
      el("caption", { class: "unseen" }, caption),
      el(
        "thead",
        {},
        el(
          "tr",
          {},
          columns.map(({ words, kind }) => el("th", { scope: "col", class: kind }, words)),
        ),
      ),
      el(
        "tbody",
        {},
        rows.map((row) => {
          const made = el(
            "tr",
            { class: address && "leads" },
            cells(row).map((content, place) =>
              el(
                "td",
                { class: columns[place].kind, "data-label": columns[place].words },
                place === 0 && address ? el("a", { href: address(row) }, content) : content,
              ),
            ),
          );
          if (address)
            made.addEventListener(
              "click",
              (event) => event.target.closest("a, button, input") || (location.hash = address(row).slice(1)),
            );
          return made;
        }),
      ),
    ),
  );
}

/** The way through the pages of a list: "1–25 of 130", back and on. */
export function pager({ offset, limit, total, go }) {
  if (total <= limit && offset === 0)
    return el("p", { class: "soft small pager-total" }, t("pager.total", { n: total }));
  return el(
    "nav",
    { class: "pager", "aria-label": t("pager.label") },
    el(
      "button",
      { type: "button", class: "button", disabled: offset === 0, onclick: () => go(Math.max(0, offset - limit)) },
      icon("left"),
      t("pager.back"),
    ),
    el(
      "span",
      { class: "soft" },
      t("pager.shown", { from: number(offset + 1), to: number(Math.min(total, offset + limit)), total: number(total) }),
    ),
    el(
      "button",
      { type: "button", class: "button", disabled: offset + limit >= total, onclick: () => go(offset + limit) },
      t("pager.on"),
      icon("right"),
    ),
  );
}
