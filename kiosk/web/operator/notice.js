/** What a page says about itself: loading, nothing there, something went wrong, something was done. */

import { coded, el, icon, put } from "../common/dom.js";
import { t } from "../common/words.js";

const SHOWN_MS = 6_000;

/** Grey lines in the place of what is being fetched. */
export function loading(lines = 4) {
  return el(
    "div",
    { class: "skeleton", role: "status" },
    el("span", { class: "unseen" }, t("state.loading")),
    Array.from({ length: lines }, () => el("span", { class: "skeleton-line", "aria-hidden": "true" })),
  );
}

/** A quiet word where there is nothing, and what could be done about it. */
export function empty(name, title, text, action = null) {
  return el(
    "div",
    { class: "empty" },
    icon(name),
    el("p", { class: "empty-title" }, title),
    text && el("p", {}, text),
    action,
  );
}

/** What went wrong, in the device's words, with a way to try again. */
export function problem(error, again = null) {
  const isOffline = error.status === 0;
  return el(
    "div",
    { class: "problem", role: "alert" },
    icon(isOffline ? "offline" : "alert"),
    el(
      "div",
      {},
      el("p", { class: "problem-title" }, t(isOffline ? "error.offline_title" : "error.title")),
      el("p", { dir: "auto" }, coded(error.message)), // the device's own sentence is English in every language
      error.retryAfter && el("p", {}, t("error.retry_after", { n: error.retryAfter })),
      again && el("button", { type: "button", class: "button", onclick: again }, icon("again"), t("action.again")),
    ),
  );
}

const newest = new WeakMap(); // place -> its newest call: an answer that comes after a newer one's says nothing

/** Show what `fetch` brings by `render`, with the states before and instead of it. */
export async function load(place, fetch, render, lines) {
  const turn = {};
  newest.set(place, turn);
  const isNewest = () => newest.get(place) === turn;
  if (!place.hasChildNodes()) put(place, loading(lines));
  place.setAttribute("aria-busy", "true");
  try {
    const found = await fetch();
    if (isNewest()) put(place, render(found));
  } catch (error) {
    if (error.name === "AbortError") return;
    if (error.status === undefined) throw error; // ours to mend, not the device's
    if (!isNewest()) return;
    put(
      place,
      problem(error, () => load(put(place), fetch, render, lines)),
    );
  } finally {
    if (isNewest()) place.removeAttribute("aria-busy");
  }
}

/** Say that something was done, or was not; screen readers hear it too. */
export function say(text, kind = "good") {
  let region = document.getElementById("toasts");
  if (!region) {
    region = el("div", { id: "toasts", class: "toasts", role: "status", "aria-live": "polite" });
    document.body.append(region);
  }
  const toast = el(
    "p",
    { class: `toast toast-${kind}` },
    icon(kind === "good" ? "check" : "alert"),
    el("span", {}, text),
  );
  region.append(toast);
  setTimeout(() => toast.remove(), SHOWN_MS);
}
