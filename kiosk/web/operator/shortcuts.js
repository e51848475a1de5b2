/** Keys that work in every view, and the sheet that lists them. None works while somebody types, or in a dialog. */

import { el, icon } from "../common/dom.js";
import { t } from "../common/words.js";

const GO_MS = 1_500; // between G and the letter of a view
const VIEWS = { t: "today", d: "decisions", r: "reviews", p: "people", s: "settings" };
const REVIEWS = ["J", "K", "1 – 5", "A", "D", "X"];
const PAIRS = ["J", "K", "1", "2", "S", "D", "X"];

/** Listen; `isIn` says whether somebody is signed in. */
export function shortcuts(isIn) {
  let goUntil = 0;
  document.addEventListener("keydown", (event) => {
    if (!isIn() || event.ctrlKey || event.metaKey || event.altKey || isBusy(event.target)) return;
    const key = event.key.toLowerCase();
    if (event.key === "?") help();
    else if (key === "/") find();
    else if (key === "g") goUntil = performance.now() + GO_MS;
    else if (performance.now() < goUntil && key in VIEWS) {
      goUntil = 0;
      location.hash = `#/${VIEWS[key]}`;
    } else return;
    event.preventDefault();
  });
}

function isBusy(target) {
  return document.querySelector("dialog[open]") || target.closest?.("input, select, textarea, [contenteditable]");
}

/** Go to the field that searches, where the view has one; else to the one that finds a person from anywhere. */
function find() {
  const field = document.querySelector('main input[type="search"], main input[name="q"]');
  const everywhere = document.getElementById("find-person");
  document.querySelector(".settling")?.classList.remove("settling"); // what is hidden takes no focus, and who types is quicker
  if (field) field.focus();
  else if (everywhere?.checkVisibility()) everywhere.focus();
  else location.hash = "#/people";
}

/** Show what the keys are. */
export function help() {
  const rows = [
    [["?"], t("shortcut.help")],
    [["/"], t("shortcut.find")],
    ...Object.entries(VIEWS).map(([key, view]) => [["G", key.toUpperCase()], t(`menu.${view}`)]),
    [REVIEWS, t("shortcut.reviews")],
    [PAIRS, t("shortcut.pairs")],
    [["Esc"], t("action.close")],
  ];
  const dialog = el(
    "dialog",
    { class: "dialog", "aria-labelledby": "shortcuts-title" },
    el("h2", { id: "shortcuts-title" }, t("shortcut.title")),
    el(
      "dl",
      { class: "shortcuts" },
      rows.map(([keys, words]) => [
        el("dt", {}, keys.map((one) => el("kbd", { dir: "ltr" }, one))),
        el("dd", {}, words),
      ]),
    ),
    el(
      "div",
      { class: "actions end" },
      el("button", { type: "button", class: "button", onclick: () => dialog.close() }, icon("cross"), t("action.close")),
    ),
  );
  const leave = () => dialog.close();
  addEventListener("hashchange", leave);
  dialog.addEventListener("close", () => {
    removeEventListener("hashchange", leave);
    dialog.remove();
  });
  document.body.append(dialog);
  dialog.showModal();
}
