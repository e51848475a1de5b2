/** Tables that become cards on a phone, and the pages of a list. */

import { el, icon } from "../common/dom.js";
import { number, t } from "../common/words.js";

/**
 * Make a table.
 *
 * The roles are said aloud because a phone's style lays rows out as cards, which takes them from the elements.
 *
 * columns: [{name, words, kind}] with kind "number" for right-aligned; cells: a list of contents for each row.
 * address: from a row to where it leads; its first cell, or that at `lead`, holds the link, and the whole row takes the
 * pointer. A column's `label` stands beside its cells on a phone; its words where there is none.
 */
export function table(caption, columns, rows, { cells, address, lead = 0 }) {
  const place = el(
    "div",
    { class: "table-scroll" },
    el(
      "table",
      { class: "table", role: "table" },
      el("caption", { class: "unseen" }, caption),
      el(
        "thead",
        { role: "rowgroup" },
        el(
          "tr",
          { role: "row" },
          columns.map(({ words, kind }) => el("th", { scope: "col", role: "columnheader", class: kind }, words)),
        ),
      ),
      el(
        "tbody",
        { role: "rowgroup" },
        rows.map((row) => {
          const made = el(
            "tr",
            { class: address && "leads", role: "row" },
            cells(row).map((content, place) =>
              el(
                "td",
                { class: columns[place].kind, role: "cell", "data-label": columns[place].label ?? columns[place].words },
                place === lead && address ? el("a", { href: address(row) }, content) : content,
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
  // What can be scrolled must be reached by keyboard; what cannot is no stop on the way.
  const watcher = new ResizeObserver(() => {
    if (!place.isConnected) return watcher.disconnect();
    const isWide = place.scrollWidth > place.clientWidth;
    for (const [name, value] of Object.entries({ tabindex: "0", role: "region", "aria-label": caption }))
      isWide ? place.setAttribute(name, value) : place.removeAttribute(name);
    return undefined;
  });
  watcher.observe(place);
  return place;
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

/** Fold a list's filters away where they would fill a phone's screen. */
export function filterBox(form, isFiltered) {
  const isWide = matchMedia("(min-width: 44rem)").matches;
  return el("details", { class: "filter-box", open: isWide || isFiltered }, el("summary", {}, t("filter.title")), form);
}
