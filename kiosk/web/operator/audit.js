/** The gallery against itself, people who may be one and the same; and what a score means, here and in groups. */

import { call } from "../common/api.js";
import { el, icon, put } from "../common/dom.js";
import { empty, load, problem } from "./notice.js";
import { table } from "./table.js";
import { named, number, share, t } from "../common/words.js";

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

  const meaning = el("div", { class: "stack" });
  put(
    place,
    el("div", { class: "head" }, el("h1", {}, t("audit.title")), start),
    el("p", { class: "soft lead" }, t("audit.text")),
    result,
    meaning,
  );
  load(meaning, () => call("GET", "/device/scale"), scaleOf, 2);
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

/** What scores stand for: among the people enrolled here, and within each group that the shipped scale was measured on. */
function scaleOf(found) {
  return [site(found.site), groups(found), found.missed.length > 0 && missed(found.missed)];
}

const oneIn = (rate) =>
  rate === null ? "–" : rate > 0 ? t("audit.one_in", { n: oneInNumber(1 / rate) }).replaceAll(" ", "\u00a0") : t("audit.none_seen");

// 1 in 4.8 and 1 in 33,000: more digits would say more than was measured.
function oneInNumber(many) {
  return many < 10 ? number(many, 1) : number(Number(many.toPrecision(2)));
}

function groups(found) {
  const years = found.holds_from_age;
  return el(
    "section",
    { class: "card stack" },
    el("h2", {}, t("audit.groups")),
    el("p", { class: "soft" }, t(found.groups.length ? "audit.groups_text" : "audit.groups_none")),
    years !== null && el("p", { class: "banner plain" }, icon("info"), el("span", {}, t("audit.holds", { years }))),
    found.groups.length > 0 &&
      table(
        t("audit.groups"),
        [
          { words: t("audit.group") },
          { words: t("audit.pairs"), kind: "number" },
          { words: t("audit.reach", { score: 50 }), kind: "number" },
          { words: t("audit.reach", { score: 70 }), kind: "number" },
          { words: t("audit.reach_bound", { score: 70 }), kind: "number" },
          { words: t("audit.reach", { score: 90 }), kind: "number" },
        ],
        found.groups,
        {
          cells: (row) => [
            named("scale_group", row.name),
            row.non_mated === null ? "–" : number(row.non_mated),
            oneIn(row.fmr_50),
            oneIn(row.fmr_70),
            oneIn(row.bound_70),
            oneIn(row.fmr_90),
          ],
        },
      ),
  );
}

/** How often one person's two photographs miss score 70, within each group that was measured. */
function missed(found) {
  const share = (rate) => `${number(rate * 100, 1)} %`;
  return el(
    "section",
    { class: "card stack" },
    el("h2", {}, t("audit.missed")),
    el("p", { class: "soft" }, t("audit.missed_text")),
    table(
      t("audit.missed"),
      [
        { words: t("audit.group") },
        { words: t("column.people"), kind: "number" },
        { words: t("audit.pairs"), kind: "number" },
        { words: t("audit.below", { score: 70 }), kind: "number" },
        { words: t("audit.between"), kind: "number" },
      ],
      found,
      {
        cells: (row) => [
          named("scale_missed", row.name),
          number(row.people),
          number(row.mated),
          share(row.fnmr_70),
          t("audit.from_to", { low: share(row.low_70), high: share(row.high_70) }),
        ],
      },
    ),
  );
}

/** What scores stand for among the people enrolled, beside what the shipped scale states. */
function site(found) {
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
