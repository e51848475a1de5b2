/** A queue of cards that wait for a person's word: in pages, walked and decided by keys, several chosen at once. */

import { el, put } from "../../common/dom.js";
import { t } from "../../common/words.js";
import { load } from "../notice.js";
import { pager } from "../table.js";

const LIMIT = 20;
const SEVERAL = 2; // one has its own buttons
const TYPED = "input:not([type=checkbox], [type=radio]), select, textarea, dialog";
const DECIDED = 409; // meanwhile, here or elsewhere

/**
 * Return {bar, list, draw, done, count}: what decides about several, the cards, what draws them anew (`done` also leads
 * to the first card), and how many are chosen.
 *
 * fetch: of {limit, offset} brings {rows, total}. card: makes a row's element, of class `review`, from the row and
 * {done, box}, the box that chooses it. several: the words of the bar. deciding: makes the bar's content from a function
 * that sends all that are chosen. keys: by key, what is clicked in the card that has the focus; X chooses, J and K walk.
 */
export function queue({ place, atEnd, fetch, keyOf, card, nothing, several, deciding, keys, after = () => {} }) {
  const list = el("div", {});
  const bar = el("section", { class: "card several", hidden: true, "aria-label": t(several.label), "data-one-act": true });
  const chosen = new Map(); // by their key, the rows that are to be decided about
  const clicked = { ...keys, x: ".choose input" };
  let offset = 0;

  const draw = () =>
    load(
      list,
      () => fetch({ limit: LIMIT, offset }),
      ({ rows, total }) => {
        chosen.clear();
        drawBar();
        if (!rows.length && offset > 0) {
          go(0);
          return [];
        }
        if (!rows.length) return nothing();
        return [
          el("ul", { class: "stack" }, rows.map((row) => card(row, { done, box: box(row) }))),
          pager({ offset, limit: LIMIT, total, go }),
        ];
      },
    );

  function go(next) {
    offset = next;
    draw();
  }

  async function done() {
    await draw();
    after();
    (list.querySelector(".review") ?? place.querySelector("h1")).focus();
  }

  function box(row) {
    const choose = (event) => {
      if (event.target.checked) chosen.set(keyOf(row), row);
      else chosen.delete(keyOf(row));
      drawBar();
    };
    return el("label", { class: "choose" }, el("input", { type: "checkbox", onchange: choose }), t("review.choose"));
  }

  function drawBar() {
    bar.hidden = chosen.size < SEVERAL;
    if (bar.hidden) {
      put(bar);
      return;
    }
    const title = el("h2", {}, t(several.chosen, { n: chosen.size }));
    if (bar.hasChildNodes()) bar.firstChild.replaceWith(title); // a reason that was begun stays
    else put(bar, title, deciding(each));
  }

  /** Send all that are chosen, one after the other; return how many nobody had decided about meanwhile. */
  async function each(send) {
    let count = 0;
    for (const row of [...chosen.values()]) {
      try {
        await send(row);
        count += 1;
      } catch (error) {
        if (error.status !== DECIDED) throw error; // else the others are not held up
      }
    }
    return count;
  }

  function pressed(event) {
    if (event.target.closest(TYPED) || document.querySelector("dialog[open]")) return;
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const cards = [...list.querySelectorAll(".review")];
    const at = cards.findIndex((one) => one.contains(document.activeElement));
    const key = event.key.toLowerCase();
    const next = { j: Math.min(at + 1, cards.length - 1), k: Math.max(at - 1, 0) }[key];
    const what = next === undefined ? cards[at]?.querySelector(clicked[key] ?? null) : cards[next];
    if (!what) return;
    event.preventDefault();
    if (next === undefined) what.click();
    else what.focus();
  }

  document.addEventListener("keydown", pressed);
  atEnd(() => document.removeEventListener("keydown", pressed));
  return { bar, list, draw, done, count: () => chosen.size };
}
