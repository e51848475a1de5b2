/** The queue of decisions that wait for a person's word. Each verdict wants a reason and is signed into the log. */

import { call, path } from "../common/api.js";
import { statusChip, whom } from "./decision-parts.js";
import { el, icon, put } from "../common/dom.js";
import { field } from "../common/field.js";
import { empty, load, say } from "./notice.js";
import { filterBox, pager } from "./table.js";
import { candidateList, faces, whyHere } from "./review-parts.js";
import { scale } from "./scale.js";
import { ago, named, t, time } from "../common/words.js";

const LIMIT = 20;
const WHYS = ["borderline", "close_second", "age_below_scale", "not_approved"];
const RISKS = ["FACE_IN_BLOCKLIST", "DUPLICATED_FACE", "MULTIPLE_FACES_DETECTED", "AGE_BELOW_SCALE"];
const KINDS = ["IDENTIFY", "VERIFY", "FACE_MATCH", "FACE_SEARCH", "REVISION"];
const TEMPLATES = ["known", "seen", "photograph", "not_them", "unclear"];
const FILTERS = ["why", "kind"];

export async function reviews(place, { on, query, countReviews, atEnd }) {
  const wanted = Object.fromEntries(FILTERS.map((name) => [name, query.get(name) ?? ""]));
  const isFiltered = FILTERS.some((name) => wanted[name]);
  const list = el("div", {});
  const several = el("section", { class: "card several", hidden: true, "aria-label": t("review.several") });
  const chosen = new Set();
  let offset = 0;

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

  put(
    place,
    el("div", { class: "head" }, el("h1", {}, t("reviews.title"))),
    el("p", { class: "soft lead" }, t("reviews.text")),
    el("section", { class: "card" }, filterBox(form, isFiltered), el("p", { class: "hint keys-hint" }, t("review.keys"))),
    several,
    list,
  );

  const draw = () =>
    load(
      list,
      () => call("GET", "/device/reviews", { query: { ...wanted, limit: LIMIT, offset } }),
      (found) => {
        chosen.clear();
        drawSeveral();
        return found.reviews.length
          ? [
              el(
                "ul",
                { class: "stack" },
                found.reviews.map((row) => card(row, { done, choose })),
              ),
              pager({
                offset,
                limit: LIMIT,
                total: found.total,
                go: (next) => {
                  offset = next;
                  draw();
                },
              }),
            ]
          : isFiltered
            ? empty("search", t("decisions.none"), t("review.none_text"))
            : empty("review", t("reviews.empty"), t("reviews.empty_text"));
      },
    );

  async function done() {
    await draw();
    countReviews();
    (list.querySelector(".review") ?? place.querySelector("h1")).focus();
  }

  function choose(row, isChosen) {
    if (isChosen) chosen.add(row.request_id);
    else chosen.delete(row.request_id);
    drawSeveral();
  }

  function drawSeveral() {
    several.hidden = chosen.size < 2; // one has its own form
    if (several.hidden) {
      put(several);
      return;
    }
    const title = el("h2", {}, t("review.chosen", { n: chosen.size }));
    if (several.hasChildNodes()) several.firstChild.replaceWith(title);
    else put(several, title, reasoned((decision, reason) => decideAll(decision, reason)));
  }

  async function decideAll(decision, reason) {
    let count = 0;
    for (const one of [...chosen]) {
      await send(one, decision, reason);
      count += 1;
    }
    say(t("review.several_done", { n: count }));
    await done();
  }

  document.addEventListener("keydown", pressed);
  atEnd(() => document.removeEventListener("keydown", pressed));

  function pressed(event) {
    if (event.target.closest("input, select, textarea, dialog") || event.ctrlKey || event.metaKey || event.altKey) return;
    const cards = [...list.querySelectorAll(".review")];
    const at = cards.findIndex((one) => one.contains(document.activeElement));
    const key = event.key.toLowerCase();
    const here = cards[at];
    const act = {
      j: () => cards[Math.min(at + 1, cards.length - 1)]?.focus(),
      k: () => cards[Math.max(at - 1, 0)]?.focus(),
      a: () => here?.querySelector("button[value=approve]").click(),
      d: () => here?.querySelector("button[value=decline]").click(),
      x: () => here?.querySelector("input[type=checkbox]").click(),
    }[key];
    const template = here && /^[1-5]$/.test(key) && here.querySelectorAll(".template")[Number(key) - 1];
    if (!act && !template) return;
    event.preventDefault();
    if (template) template.click();
    else act();
  }

  on("decision", (news) => {
    const isBusy =
      chosen.size > 0 || [...list.querySelectorAll("input[name=reason]")].some((input) => input.value.trim());
    if (news.status === "In Review" && !isBusy) draw(); // never under somebody's hands
  });
  await draw();
}

function card(row, { done, choose }) {
  const considered = row.considered;
  const [, second] = considered.candidates;
  return el(
    "li",
    { class: "card review", "data-request": row.request_id, tabindex: "-1", "aria-label": whom(row) },
    el(
      "div",
      { class: "card-head" },
      el("h2", {}, el("a", { href: `#/decisions/${encodeURIComponent(row.request_id)}` }, whom(row))),
      el(
        "label",
        { class: "choose" },
        el("input", { type: "checkbox", onchange: (event) => choose(row, event.target.checked) }),
        t("review.choose"),
      ),
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
  form.addEventListener("submit", async (event) => {
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
