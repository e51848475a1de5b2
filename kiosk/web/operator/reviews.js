/** The queue of decisions that wait for a person's word. Each verdict wants a reason and is signed into the log. */

import { call } from "../common/api.js";
import { statusChip, whom } from "./decision-parts.js";
import { el, icon, put } from "../common/dom.js";
import { field } from "../common/field.js";
import { empty, load, say } from "./notice.js";
import { pager } from "./table.js";
import { scale } from "./scale.js";
import { ago, named, t, time } from "../common/words.js";

const LIMIT = 20;

export async function reviews(place, { on, countReviews }) {
  const list = el("div", {});
  put(
    place,
    el("div", { class: "head" }, el("h1", {}, t("reviews.title"))),
    el("p", { class: "soft lead" }, t("reviews.text")),
    list,
  );
  let offset = 0;

  const draw = () =>
    load(
      list,
      () => call("GET", "/device/reviews", { query: { limit: LIMIT, offset } }),
      (found) =>
        found.reviews.length
          ? [
              el(
                "ul",
                { class: "stack" },
                found.reviews.map((row) => card(row, done)),
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
          : empty("review", t("reviews.empty"), t("reviews.empty_text")),
    );

  async function done() {
    await draw();
    countReviews();
    (list.querySelector("input") ?? place.querySelector("h1")).focus();
  }

  on("decision", (news) => {
    const isTyping =
      list.querySelector("input")?.form && [...list.querySelectorAll("input")].some((input) => input.value);
    if (news.status === "In Review" && !isTyping) draw(); // never under somebody's hands
  });
  await draw();
}

function card(row, done) {
  return el(
    "li",
    { class: "card review", "data-request": row.request_id },
    el(
      "div",
      { class: "card-head" },
      el("h2", {}, el("a", { href: `#/decisions/${encodeURIComponent(row.request_id)}` }, whom(row))),
      statusChip(row.status),
    ),
    el("p", { class: "soft" }, `${named("kind", row.kind)} · ${time(row.at, "full")} · ${ago(row.at)}`),
    scale(row),
    row.warnings?.length > 0 &&
      el("p", { class: "warning" }, icon("alert"), row.warnings.map((one) => named("risk", one)).join(", ")),
    verdict(row, done),
  );
}

/** The form that approves or declines a decision with a reason. */
export function verdict(row, done) {
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
      { class: "actions" },
      el("button", { type: "submit", class: "button good", value: "approve" }, icon("check"), t("review.approve")),
      el("button", { type: "submit", class: "button danger", value: "decline" }, icon("cross"), t("review.decline")),
    ),
  );
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const decision = event.submitter.value;
    reason.fault("");
    for (const button of form.querySelectorAll("button")) button.disabled = true;
    try {
      await call("POST", `/device/reviews/${encodeURIComponent(row.request_id)}`, {
        json: { decision, reason: reason.control.value },
      });
      say(t(`review.${decision}_done`));
      await done();
    } catch (error) {
      if (error.status === undefined) throw error;
      reason.fault(error.message);
    } finally {
      for (const button of form.querySelectorAll("button")) button.disabled = false;
    }
  });
  return form;
}
