/** The gallery against itself: people who may be one and the same, and photographs unlike their own person. */

import { call } from "../common/api.js";
import { el, icon, put } from "../common/dom.js";
import { empty, problem } from "./notice.js";
import { table } from "./table.js";
import { number, share, t } from "../common/words.js";

const POLL_MS = 1_000;

export async function audit(place, { atEnd }) {
  const result = el(
    "div",
    { class: "stack", "aria-live": "polite" },
    empty("alike", t("audit.idle"), t("audit.idle_text")),
  );
  const start = el("button", { type: "button", class: "button primary", onclick: run }, icon("play"), t("audit.start"));
  let timer = null;
  atEnd(() => clearTimeout(timer));

  async function run() {
    start.disabled = true;
    put(
      result,
      el(
        "section",
        { class: "card stack" },
        el("h2", {}, t("audit.running")),
        el("progress", { "aria-label": t("audit.running") }),
      ),
    );
    try {
      const begun = await call("POST", "/device/audit");
      await follow(begun.id);
    } catch (error) {
      if (error.status === undefined) throw error;
      put(result, problem(error, run));
    } finally {
      start.disabled = false;
    }
  }

  async function follow(id) {
    for (;;) {
      const state = await call("GET", `/device/audit/${encodeURIComponent(id)}`);
      if (state.state !== "running") {
        put(
          result,
          state.report
            ? report(state.report)
            : el("p", { class: "banner bad" }, icon("alert"), state.sentence ?? t("audit.failed")),
        );
        return;
      }
      await new Promise((resolve) => {
        timer = setTimeout(resolve, POLL_MS);
      });
      if (!place.isConnected) return;
    }
  }

  put(
    place,
    el("div", { class: "head" }, el("h1", {}, t("audit.title")), start),
    el("p", { class: "soft lead" }, t("audit.text")),
    result,
  );
}

function report(found) {
  const link = (session) => el("a", { href: `#/people/${session}` }, t("person.number", { number: String(session) }));
  const section = (title, text, rows, columns, cells) =>
    el(
      "section",
      { class: "card stack" },
      el("h2", {}, title, " ", el("span", { class: "count" }, number(rows.length))),
      el("p", { class: "soft" }, text),
      rows.length ? table(title, columns, rows, { cells }) : el("p", { class: "soft" }, t("audit.none")),
    );
  const figures = found.figures ?? {};
  return [
    el(
      "p",
      { class: "banner plain" },
      icon("info"),
      el(
        "span",
        {},
        t("audit.summary", {
          people: found.people,
          references: found.references,
          threshold: found.threshold,
          share: share(figures.fpir ?? 0),
        }),
      ),
    ),
    site(figures.site),
    section(
      t("audit.duplicates"),
      t("audit.duplicates_text", { threshold: found.threshold }),
      found.duplicates ?? [],
      [{ words: t("column.similarity"), kind: "number" }, { words: t("column.person") }, { words: t("column.person") }],
      ([similarity, one, other]) => [`${number(similarity, 1)} %`, link(one), link(other)],
    ),
    section(
      t("audit.outliers"),
      t("audit.outliers_text"),
      found.outliers ?? [],
      [{ words: t("audit.best"), kind: "number" }, { words: t("column.person") }, { words: t("audit.reference") }],
      ([similarity, one, reference]) => [`${number(similarity, 1)} %`, link(one), String(reference)],
    ),
    section(
      t("audit.confusable"),
      t("audit.confusable_text"),
      found.confusable ?? [],
      [
        { words: t("column.person") },
        { words: t("audit.references"), kind: "number" },
        { words: t("audit.highest"), kind: "number" },
      ],
      (row) => [link(row.subject), number(row.count), `${number(row.highest, 1)} %`],
    ),
  ];
}

/** What scores stand for among the people enrolled, beside what the shipped scale states. */
function site(found) {
  const oneIn = (rate) => (rate > 0 ? t("audit.one_in", { n: number(Math.round(1 / rate)) }) : t("audit.none_seen"));
  return el(
    "section",
    { class: "card stack" },
    el("h2", {}, t("audit.site")),
    el("p", { class: "soft" }, found ? t("audit.site_text", { people: number(found.people) }) : t("audit.site_few")),
    found &&
      table(
        t("audit.site"),
        [
          { words: t("column.score"), kind: "number" },
          { words: t("audit.stated"), kind: "number" },
          { words: t("audit.here"), kind: "number" },
          { words: t("audit.bound"), kind: "number" },
          { words: t("audit.holds_from"), kind: "number" },
        ],
        found.scores,
        {
          cells: (row) => [
            number(row.score),
            oneIn(row.stated),
            oneIn(row.here),
            oneIn(row.bound),
            number(row.holds_from, 1),
          ],
        },
      ),
  );
}
