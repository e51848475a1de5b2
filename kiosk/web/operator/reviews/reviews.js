/** The queue of decisions that wait for a person's word. Each verdict wants a reason and is signed into the log. */

import { call, path } from "../../common/api.js";
import { el, icon, press, put } from "../../common/dom.js";
import { field } from "../../common/field.js";
import { ago, named, t, time } from "../../common/words.js";
import { statusChip, whom } from "../decision-parts.js";
import { empty, say } from "../notice.js";
import { scale } from "../scale.js";
import { filterBox } from "../table.js";
import { candidateList, faces, whyHere } from "./parts.js";
import { queue } from "./queue.js";

const WHYS = ["borderline", "close_second", "age_below_scale", "not_approved"];
const RISKS = ["FACE_IN_BLOCKLIST", "DUPLICATED_FACE", "MULTIPLE_FACES_DETECTED", "AGE_BELOW_SCALE"];
const KINDS = ["IDENTIFY", "VERIFY", "FACE_MATCH", "FACE_SEARCH", "REVISION"];
const TEMPLATES = ["known", "seen", "photograph", "not_them", "unclear"];
const FILTERS = ["why", "kind"];

export async function reviews(place, { on, query, countReviews, atEnd }) {
  const wanted = Object.fromEntries(FILTERS.map((name) => [name, query.get(name) ?? ""]));
  const isFiltered = FILTERS.some((name) => wanted[name]);
  const form = el(
    "form",
    { class: "filters", onsubmit: (event) => event.preventDefault(), onchange: apply },
    field(t("review.filter"), {
      name: "why",
      value: wanted.why,
      choices: [
        ["", t("filter.all")],
        ...WHYS.map((one) => [one, named("why", one)]),
        ...RISKS.map((one) => [one, named("risk", one)]),
      ],
    }),
    field(t("column.kind"), {
      name: "kind",
      value: wanted.kind,
      choices: [["", t("filter.all")], ...KINDS.map((one) => [one, named("kind", one)])],
    }),
    isFiltered && el("a", { class: "button quiet", href: "#/reviews" }, icon("cross"), t("filter.clear")),
  );

  function apply() {
    location.hash = path("/reviews", Object.fromEntries(new FormData(form)));
  }

  const waiting = queue({
    place,
    atEnd,
    fetch: async (query) => {
      const found = await call("GET", "/device/reviews", { query: { ...wanted, ...query } });
      return { rows: found.reviews, total: found.total };
    },
    keyOf: (row) => row.request_id,
    card,
    nothing: () =>
      isFiltered
        ? empty("search", t("decisions.none"), t("review.none_text"))
        : empty("review", t("reviews.empty"), t("reviews.empty_text")),
    several: { label: "review.several", chosen: "review.chosen" },
    deciding: (each) =>
      reasoned(async (decision, reason) => {
        const count = await each((row) => send(row.request_id, decision, reason));
        say(t("review.several_done", { n: count }));
        await waiting.done();
      }),
    keys: {
      a: "button[value=approve]",
      d: "button[value=decline]",
      ...Object.fromEntries(TEMPLATES.map((_, at) => [at + 1, `.template:nth-child(${at + 1})`])),
    },
    after: countReviews,
  });

  put(
    place,
    el("div", { class: "head" }, el("h1", {}, t("reviews.title"))),
    el("p", { class: "soft lead" }, t("reviews.text")),
    el("section", { class: "card" }, filterBox(form, isFiltered), el("p", { class: "hint keys-hint" }, t("review.keys"))),
    waiting.bar,
    waiting.list,
  );

  on("decision", (news) => {
    const isBusy =
      waiting.count() > 0 || [...waiting.list.querySelectorAll("input[name=reason]")].some((input) => input.value.trim());
    if (news.status === "In Review" && !isBusy) waiting.draw(); // never under somebody's hands
  });
  await waiting.draw();
}

function card(row, { done, box }) {
  const considered = row.considered;
  const [, second] = considered.candidates;
  return el(
    "li",
    { class: "card review", "data-request": row.request_id, tabindex: "-1", "aria-label": whom(row) },
    el(
      "div",
      { class: "card-head" },
      el("h2", {}, el("a", { href: `#/decisions/${encodeURIComponent(row.request_id)}` }, whom(row))),
      box,
      statusChip(row.status),
    ),
    el("p", { class: "soft" }, `${named("kind", row.kind)} · ${time(row.at, "full")} · ${ago(row.at)}`),
    whyHere(row, considered),
    el(
      "div",
      { class: "seen" },
      el("div", {}, faces(row, considered)),
      el(
        "div",
        { class: "stack" },
        scale(row, nextOf(second)),
        candidateList(considered),
      ),
    ),
    verdict(row, done),
  );
}

/** Return the next person as the scale draws them; null where nobody else was considered. */
export function nextOf(second) {
  if (!second || typeof second.score !== "number") return null;
  return { name: second.name ?? t("person.number", { number: String(second.session_number) }), score: second.score };
}

/** The form that approves or declines a decision with a reason. */
export function verdict(row, done) {
  return reasoned(async (decision, reason) => {
    await send(row.request_id, decision, reason);
    say(t(`review.${decision}_done`));
    await done();
  });
}

function send(requestId, decision, reason) {
  return call("POST", `/device/reviews/${encodeURIComponent(requestId)}`, { json: { decision, reason } });
}

/** A reason, with words that are often used, and the two ways to decide. */
function reasoned(decide) {
  const reason = field(t("review.reason"), {
    name: "reason",
    required: true,
    maxlength: 500,
    autocomplete: "off",
    hint: t("review.reason_hint"),
  });
  const form = el(
    "form",
    { class: "verdict" },
    reason,
    el(
      "div",
      { class: "templates", role: "group", "aria-label": t("review.templates") },
      TEMPLATES.map((one, place) =>
        el(
          "button",
          {
            type: "button",
            class: "button quiet template",
            onclick: () => {
              reason.control.value = t(`review_template.${one}`);
              reason.fault("");
            },
          },
          el("kbd", { "aria-hidden": "true" }, String(place + 1)),
          t(`review_template.${one}`),
        ),
      ),
    ),
    el(
      "div",
      { class: "actions" },
      el("button", { type: "submit", class: "button good", value: "approve" }, icon("check"), t("review.approve")),
      el("button", { type: "submit", class: "button danger", value: "decline" }, icon("cross"), t("review.decline")),
    ),
  );
  form.noValidate = true; // the sentence below says more than the browser's own
  press(form, "submit", async (event) => {
    event.preventDefault();
    const decision = event.submitter?.value;
    if (!decision) return;
    reason.fault("");
    if (!reason.control.value.trim()) {
      reason.fault(t("review.reason_wanted"));
      reason.control.focus();
      return;
    }
    for (const button of form.querySelectorAll("button")) button.disabled = true;
    try {
      await decide(decision, reason.control.value);
    } catch (error) {
      if (error.status === undefined) throw error;
      reason.fault(error.message);
    } finally {
      for (const button of form.querySelectorAll("button")) button.disabled = false;
    }
  });
  return form;
}
