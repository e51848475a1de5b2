/** What a reviewer sees of a decision: why it waits, the face beside the reference, and who else it may be. */

import { el, icon } from "../../common/dom.js";
import { knows, named, number, t } from "../../common/words.js";
import { chip } from "../decision-parts.js";

const NEXT = "identify"; // the threshold that names from where people enter

/** Say in one sentence for each reason why a decision waits for a person. */
export function whyHere(record, considered) {
  const { score, thresholds = {}, details, warnings } = record;
  const second = considered?.candidates?.[1]?.score;
  const values = {
    score: score === null ? "–" : number(score, 1),
    threshold: number(thresholds[NEXT] ?? thresholds.verify ?? thresholds.review ?? thresholds.similarity ?? 0, 1),
    next: second === undefined || second === null ? "–" : number(second, 1),
  };
  const reasons = (details?.reasons ?? []).map((one) =>
    knows(`review_why.${one}`) ? t(`review_why.${one}`, values) : named("why", one),
  );
  const risks = (warnings ?? []).map((one) => named("risk_text", one));
  const said = [...reasons, ...risks];
  if (!said.length) said.push(t(thresholds.review ? "review_why.below_review" : "review_why.found", values));
  return el(
    "p",
    { class: "why" },
    icon("info"),
    el("span", {}, el("b", {}, t("review.why")), " ", said.join(" ")),
  );
}

/** The face that was seen beside whom it may be; where none is kept, why not and where to allow it. */
export function faces(record, considered) {
  const { candidates = [], images = {}, keeps_probe: isKept } = considered ?? {};
  const picture = (address, words) =>
    el("figure", { class: "face" }, el("img", { src: address, alt: words, loading: "lazy" }), el("figcaption", {}, words));
  const shown = [
    images.probe && picture(images.probe, t("review.probe")),
    images.reference && picture(images.reference, t("review.reference")),
    ...candidates
      .filter((one) => one.photograph)
      .slice(0, 2)
      .map((one) => picture(one.photograph, t("review.photograph_of", { name: nameOf(one) }))),
  ].filter(Boolean);
  const lacks = [
    !images.probe && t(isKept ? "review.probe_none" : "review.probe_off"),
    candidates.length > 0 && !candidates.some((one) => one.photograph) && t("review.photograph_none"),
  ].filter(Boolean);
  return [
    shown.length > 0 && el("div", { class: "faces" }, shown),
    lacks.length > 0 && el("p", { class: "soft small" }, lacks.join(" ")),
  ];
}

/** Whom the decision may be about, each with their score. */
export function candidateList({ candidates = [] } = {}) {
  if (!candidates.length) return null;
  return el(
    "ul",
    { class: "candidates", "aria-label": t("review.candidates") },
    candidates.map((one) =>
      el(
        "li",
        {},
        el("a", { href: `#/people/${one.session_number}` }, nameOf(one)),
        one.is_blocklisted && chip("bad", "block", t("person.blocked")),
        el("span", { class: "score-number" }, one.score === null ? "–" : number(one.score, 1)),
      ),
    ),
  );
}

function nameOf(one) {
  return one.name ?? t("person.number", { number: String(one.session_number) });
}
