/** One decision: its score among the thresholds, its warnings, what it says of the person, and whether its record holds. */

import { call } from "../../common/api.js";
import { chip, doer, statusChip, whom } from "../decision-parts.js";
import { coded, el, icon } from "../../common/dom.js";
import { livenessCard } from "../liveness.js";
import { load } from "../notice.js";
import { candidateList, faces, whyHere } from "../reviews/parts.js";
import { nextOf, verdict } from "../reviews/reviews.js";
import { scale } from "../scale.js";
import { named, number, t, time } from "../../common/words.js";

export async function decision(place, { parameter, again, countReviews }) {
  await load(
    place,
    () => call("GET", `/device/decisions/${encodeURIComponent(parameter)}`),
    ({ record, answer, receipt, review, considered }) => {
      const judged = review ?? record.review;
      return [
        el("a", { class: "back", href: "#/decisions" }, icon("left"), t("decisions.title")),
        el("div", { class: "head" }, el("h1", {}, named("kind", record.kind)), statusChip(record.status)),
        el(
          "div",
          { class: "split wide-first" },
          el(
            "div",
            { class: "stack" },
            el(
              "section",
              { class: "card" },
              el("h2", {}, t("decision.score")),
              scale(record, nextOf(considered?.candidates?.[1])),
            ),
            record.unopened && unopened(record.unopened),
            livenessCard(record.details?.liveness),
            warnings(record.warnings ?? []),
            record.status === "In Review" &&
              reviewing(record, judged, considered, () => {
                countReviews();
                again();
              }),
            answer ? matches(answer) : null,
            answer &&
              el(
                "details",
                { class: "card" },
                el("summary", {}, t("decision.answer")),
                el("pre", { class: "code", tabindex: "0" }, JSON.stringify(answer, null, 2)),
              ),
          ),
          el("div", { class: "stack" }, about(record), receipted(record, receipt)),
        ),
      ];
    },
    8,
  );
}

/** Why an approval opened nothing, and where the log says so. */
function unopened(found) {
  const states = (found.states ?? []).map((one) => named("condition", one)).join(", ");
  return el(
    "section",
    { class: "banner maybe" },
    icon("door"),
    el(
      "div",
      { class: "banner-body" },
      el("h2", { class: "banner-title" }, t("unopened.title")),
      el("p", {}, coded(t("unopened.text", { why: [named("unopened_why", found.why), states && `${states}.`].filter(Boolean).join(" ") }))),
      el("p", {}, el("a", { href: `#/decisions/${encodeURIComponent(found.request_id)}` }, t("unopened.record"))),
    ),
  );
}

function warnings(risks) {
  return el(
    "section",
    { class: "card" },
    el("h2", {}, t("decision.warnings")),
    risks.length
      ? el(
          "ul",
          { class: "stack" },
          risks.map((one) =>
            el(
              "li",
              { class: "warning" },
              icon("alert"),
              el(
                "div",
                {},
                el("p", { class: "row-title" }, named("risk", one)),
                el("p", { class: "soft" }, named("risk_text", one)),
              ),
            ),
          ),
        )
      : el("p", { class: "soft" }, t("decision.no_warnings")),
  );
}

function reviewing(record, judged, considered, done) {
  return el(
    "section",
    { class: "card stack" },
    el("h2", {}, t("decision.review")),
    whyHere(record, considered),
    !judged && faces(record, considered),
    candidateList(considered),
    judged
      ? el(
          "p",
          {},
          chip(
            judged.decision === "approve" ? "good" : "bad",
            judged.decision === "approve" ? "check" : "cross",
            t(`review.was_${judged.decision}`),
          ),
          el("span", { class: "soft" }, ` ${time(judged.at, "full")}`),
          judged.actor &&
            el("span", { class: "soft" }, ` · ${t("review.by", { name: doer(judged.actor, judged.actor_name) })}`),
          judged.reason && el("span", { class: "said" }, judged.reason),
        )
      : verdict(record, done),
  );
}

function matches(answer) {
  const rows = answer.face_search?.matches ?? [];
  if (!rows.length) return null;
  return el(
    "section",
    { class: "card" },
    el("h2", {}, t("decision.matches")),
    el(
      "ul",
      { class: "rows" },
      rows.map((row) =>
        el(
          "li",
          {},
          el(
            "a",
            { class: "row", href: `#/people/${row.session_number}` },
            row.match_image_url && el("img", { class: "face-thumb", src: row.match_image_url, alt: "" }),
            el(
              "span",
              { class: "row-main" },
              el(
                "span",
                { class: "row-title" },
                row.user_details?.name ?? t("person.number", { number: String(row.session_number) }),
              ),
              row.is_blocklisted && chip("bad", "block", t("person.blocked")),
            ),
            el("span", { class: "score-number" }, `${number(row.similarity_percentage, 1)} %`),
          ),
        ),
      ),
    ),
  );
}

function about(record) {
  const person = record.session_number
    ? el("a", { href: `#/people/${record.session_number}` }, whom(record))
    : whom(record);
  const facts = [
    ["column.time", time(record.at, "full")],
    ["column.person", person],
    ["decision.vendor_data", record.vendor_data],
    ["decision.clock", named("clock", record.clock)],
    [
      "decision.gallery_size",
      record.gallery_size === null || record.gallery_size === undefined ? null : number(record.gallery_size),
    ],
    ["decision.model", record.model && `${record.model.slice(0, 12)}…`],
    ["decision.actor", record.actor && doer(record.actor, record.actor_name)],
    ["decision.request_id", el("code", {}, record.request_id)],
    ...Object.entries(record.details ?? {})
      .filter(([name]) => name !== "liveness")
      .map(([name, value]) => [`detail.${name}`, detail(name, value)]),
  ];
  return el(
    "section",
    { class: "card" },
    el("h2", {}, t("decision.about")),
    el(
      "dl",
      { class: "facts" },
      facts
        .filter(([, value]) => value !== null && value !== undefined && value !== "")
        .map(([name, value]) =>
          el(
            "div",
            {},
            el("dt", {}, name.startsWith("detail.") ? named("detail", name.slice(7)) : t(name)),
            el("dd", {}, typeof value === "string" ? el("bdi", {}, value) : value),
          ),
        ),
    ),
  );
}

const CODES = { reasons: "why", states: "condition", mode: "choice", decision: "review" };

function detail(name, value) {
  const one = (part) =>
    CODES[name] ? named(CODES[name], part) : typeof part === "object" ? JSON.stringify(part) : String(part);
  return Array.isArray(value)
    ? value.map(one).join("\n")
    : typeof value === "boolean"
      ? t(value ? "word.yes" : "word.no")
      : one(value);
}

function receipted(record, receipt) {
  const holds = receipt?.holds;
  return el(
    "section",
    { class: "card" },
    el("h2", {}, t("receipt.title")),
    el(
      "p",
      { class: "receipt-state" },
      holds ? chip("good", "check", t("receipt.holds")) : chip("bad", "alert", t("receipt.broken")),
    ),
    el("p", { class: "soft" }, coded(t(holds ? "receipt.holds_text" : "receipt.broken_text"))),
    receipt &&
      el(
        "dl",
        { class: "facts" },
        el("div", {}, el("dt", {}, t("receipt.record")), el("dd", {}, number(receipt.seq))),
        el("div", {}, el("dt", {}, t("receipt.hash")), el("dd", {}, el("code", { class: "long" }, receipt.hash))),
        el(
          "div",
          {},
          el("dt", {}, t("receipt.signature")),
          el("dd", {}, el("code", { class: "long" }, receipt.signature)),
        ),
      ),
  );
}
