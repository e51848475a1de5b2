/** When decisions are made: weekdays by hours, as a table whose cells are the darker the more there were. */

import { call } from "../../common/api.js";
import { el } from "../../common/dom.js";
import { number, t, weekday } from "../../common/words.js";
import { load } from "../notice.js";

const DAYS = 28;
const HOURS = Array.from({ length: 24 }, (_, hour) => hour);
const KINDS = ["approved", "in_review", "declined"];

/** Return the folded table; it is fetched when it is opened. */
export function heat() {
  const body = el("div", {});
  const folded = el("details", { class: "heat-box" }, el("summary", {}, t("heat.title", { days: DAYS })), body);
  folded.addEventListener("toggle", () => {
    if (folded.open) load(body, () => call("GET", "/device/statistics/week", { query: { days: DAYS } }), grid, 4);
  });
  return folded;
}

function grid(found) {
  const sums = new Map(
    found.hours.map((one) => [one.weekday * 24 + one.hour, { ...one, total: KINDS.reduce((sum, kind) => sum + one[kind], 0) }]),
  );
  const most = Math.max(0, ...[...sums.values()].map((one) => one.total));
  if (!most) return el("p", { class: "soft" }, t("heat.empty", { days: DAYS }));
  return el(
    "div",
    { class: "table-scroll", tabindex: "0", role: "region", "aria-label": t("heat.title", { days: DAYS }) },
    el(
      "table",
      { class: "heat" },
      el("caption", { class: "soft small" }, t("heat.caption", { zone: found.time_zone })),
      el(
        "thead",
        {},
        el("tr", {}, el("td", {}), HOURS.map((hour) => el("th", { scope: "col" }, String(hour)))),
      ),
      el(
        "tbody",
        {},
        [0, 1, 2, 3, 4, 5, 6].map((day) =>
          el("tr", {}, el("th", { scope: "row" }, weekday(day)), HOURS.map((hour) => cell(sums.get(day * 24 + hour), most))),
        ),
      ),
    ),
  );
}

function cell(one, most) {
  if (!one) return el("td", {}, el("span", { class: "unseen" }, "0"));
  const share = one.total / most;
  return el(
    "td",
    {
      class: share > 0.55 ? "is-dark" : "",
      style: { "--share": `${Math.round(8 + share * 92)}%` },
      title: t("heat.cell", { approved: one.approved, in_review: one.in_review, declined: one.declined }),
    },
    number(one.total),
  );
}
