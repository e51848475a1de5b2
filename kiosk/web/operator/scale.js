/** A score drawn on its scale, with the thresholds that decided. */

import { el } from "../common/dom.js";
import { tone } from "./decision-parts.js";
import { named, number, t } from "../common/words.js";

// How Didit's guidance reads a score; the last number of each band.
const BANDS = [
  ["very_low", 30],
  ["low", 50],
  ["moderate", 70],
  ["high", 90],
  ["very_high", 100],
];
const CLOSE = 16; // labels of thresholds nearer than this get a line each

/** Return the band of a score. */
export function band(score) {
  return BANDS.find(([, end]) => score < end || end === 100)[0];
}

// The threshold of the blocklist decided nothing where nobody blocked is meant.
function isMeant(name, { warnings, details }) {
  const isBlocked = warnings?.includes("FACE_IN_BLOCKLIST") || details?.reasons?.includes("blocklisted");
  return name !== "blocklist" || Boolean(isBlocked);
}

/** Draw a decision's score and thresholds; a text says the same. */
export function scale(record, next = null) {
  const { score, thresholds, status } = record;
  const marks = Object.entries(thresholds ?? {})
    .filter(([name, at]) => typeof at === "number" && at >= 0 && at <= 100 && isMeant(name, record))
    .sort(([, one], [, other]) => one - other);
  const said = [
    score === null || score === undefined
      ? t("scale.no_score")
      : t("scale.score", { score: number(score, 1), band: t(`band.${band(score)}`) }),
    next && t("scale.next", { name: next.name, at: number(next.score, 1) }),
    ...marks.map(([name, at]) => t("scale.threshold", { name: named("threshold", name), at: number(at, 1) })),
  ]
    .filter(Boolean)
    .join(" ");
  let last = -100;
  let row = 0;
  const labels = marks.map(([name, at]) => {
    row = at - last < CLOSE ? row + 1 : 0;
    last = at;
    return el(
      "span",
      { class: at >= 50 ? "scale-mark to-left" : "scale-mark", style: { left: `${at}%`, "--row": row } },
      el("span", { class: "scale-label" }, `${named("threshold", name)} ${number(at, 1)}`),
    );
  });
  let start = 0;
  const bands = BANDS.map(([name, end]) => {
    const width = end - start;
    start = end;
    return el("span", { class: "scale-band", style: { width: `${width}%` } }, el("span", {}, t(`band.${name}`)));
  });
  const rows = labels.length ? 1 + Math.max(...labels.map((one) => Number(one.style.getPropertyValue("--row")))) : 0;
  return el(
    "figure",
    { class: "scale", role: "img", "aria-label": said, style: { "--rows": rows } },
    el("div", { class: "scale-bands", "aria-hidden": "true" }, bands),
    el(
      "div",
      { class: "scale-track", "aria-hidden": "true" },
      typeof score === "number" && [
        el("span", { class: `scale-fill ${tone(status)}`, style: { width: `${score}%` } }),
        el(
          "span",
          { class: `scale-score ${tone(status)}`, style: { left: `${score}%` } },
          el("b", {}, number(score, 1)),
        ),
      ],
      next && el("span", { class: "scale-next", style: { left: `${next.score}%` }, title: next.name }),
      labels,
    ),
  );
}
