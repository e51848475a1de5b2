/** How a decision looks wherever it stands: its status, its score, its person. Colour never speaks alone. */

import { el, icon } from "../common/dom.js";
import { named, number, t } from "../common/words.js";

const LOOK = {
  Approved: ["good", "check"],
  "In Review": ["maybe", "eye"],
  Declined: ["bad", "cross"],
};

/** Return [tone, icon] of a status. */
export function look(status) {
  return LOOK[status] ?? ["plain", "info"];
}

/** Return the tone ("good", "maybe", "bad" or "plain") of a status. */
export function tone(status) {
  return look(status)[0];
}

/** A status as a chip: word, symbol and colour. */
export function statusChip(status) {
  const [kind, symbol] = look(status);
  return el("span", { class: `chip ${kind}` }, icon(symbol), status ? named("status", status) : t("status.none"));
}

/** The mark of an approval that opened nothing; null where the door opened, or nothing was to open. */
export function unopenedChip(row) {
  return row.unopened ? chip("maybe", "door", t("unopened.mark")) : null;
}

const ACCOUNT = /^[0-9a-f]{12}$/; // an account's id, which says nothing to anybody

/** Who did something: the name of an account, else words for what is none; never an id. */
export function doer(actor, name = null) {
  if (name) return name;
  const [kind, rest] = String(actor ?? "").split(/[: ](.*)/s);
  if (kind === "fleet" && rest) return t("actor.fleet", { kiosk: rest });
  return ACCOUNT.test(actor) ? t("actor.account") : named("actor", kind);
}

/** Any other state as a chip. */
export function chip(kind, symbol, words) {
  return el("span", { class: `chip ${kind}` }, symbol && icon(symbol), words);
}

/** A score as a number with a small bar; the number says all the bar does. */
export function scoreBar(score, status) {
  if (score === null || score === undefined) return el("span", { class: "soft" }, "–");
  return el(
    "span",
    { class: "score" },
    el("span", { class: "score-number" }, number(score, 1)),
    el(
      "span",
      { class: "score-track", "aria-hidden": "true" },
      el("span", { class: `score-fill ${tone(status)}`, style: { width: `${Math.max(0, Math.min(100, score))}%` } }),
    ),
  );
}

/** Who a decision is about: the name where the device still knows it, else the number; a 1:1 comparison names both sides. */
export function whom(row) {
  if (row.kind === "FACE_MATCH") return t("person.match_sides");
  if (row.kind === "PASSIVE_LIVENESS") return t("person.one_photograph");
  if (row.kind === "VERIFY" && row.session_number)
    return t("person.claimed", { name: row.name ?? t("person.number", { number: String(row.session_number) }) });
  if (row.kind === "FACE_SEARCH" && !row.session_number) return t("person.nobody_alike");
  if (row.name) return row.name;
  if (row.session_number) return t("person.number", { number: String(row.session_number) });
  return t("person.nobody");
}
