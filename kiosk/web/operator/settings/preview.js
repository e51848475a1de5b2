/**
 * What a threshold would have decided: the last 30 days' own scores as columns, the scale's false-match rates below.
 *
 * It counts scores alone. Hours, blocks, the lead over the next and the look for photographs decide too, so it says
 * how many scores fall on which side, never who would have entered.
 */

import { call } from "../../common/api.js";
import { el, icon, put, svg } from "../../common/dom.js";
import { number, share, t } from "../../common/words.js";
import { load } from "../notice.js";

const DAYS = 30;
const BINS = 101; // scores 0 to 100
const HEIGHT = 170;
const BOTTOM = 40;
const TOP = 18;
const TICKS = [0, 30, 50, 70, 90];
const EDGE = 24;

// section -> previews: kind of the decisions, the settings it goes by, and from their values [decline below, enter from]
const PREVIEWS = {
  match: [
    {
      kind: "FACE_MATCH",
      names: ["match.decline_threshold", "match.review_threshold"],
      bounds: ([decline, review]) => [decline, Math.max(decline, review)],
    },
  ],
  search: [
    {
      kind: "FACE_SEARCH",
      names: ["search.similarity_threshold"],
      bounds: ([listed]) => [listed, listed],
      isMany: true,
      sides: ["preview.nobody", null, "preview.listed"],
    },
  ],
  entrance: [
    {
      kind: "IDENTIFY",
      names: ["entrance.identify_threshold", "entrance.review_margin"],
      bounds: ([enter, margin]) => [enter - margin, enter],
      isMany: true,
    },
    {
      kind: "VERIFY",
      names: ["entrance.verify_threshold", "entrance.review_margin"],
      bounds: ([enter, margin]) => [enter - margin, enter],
    },
  ],
};
const SIDES = ["preview.declined", "preview.review", "preview.approved"];

/** Return {of, draw}: `of(section)` are the folded previews of a section, `draw` draws those that are open anew. */
export function preview({ known, fields }) {
  const open = new Set();
  let fetched = null; // asked for once, when the first is opened

  const of = (section) =>
    (PREVIEWS[section] ?? [])
      .filter(({ names }) => names.every((name) => name in known))
      .map((one) => {
        const body = el("div", {});
        const draw = () =>
          load(
            body,
            () => (fetched ??= call("GET", "/device/statistics/scores", { query: { days: DAYS } })),
            (found) => picture(one, found, known, fields),
            3,
          );
        const folded = el(
          "details",
          { class: "preview" },
          el("summary", {}, icon("today"), t(`preview.title_${one.kind}`)),
          body,
        );
        // Whoever moves a threshold is shown what that does.
        const move = () => (open.has(draw) ? draw() : (folded.open = true));
        for (const name of one.names) fields[name]?.addEventListener("input", move);
        folded.addEventListener("toggle", () => {
          if (!folded.open) open.delete(draw);
          else {
            open.add(draw);
            draw();
          }
        });
        return folded;
      });

  return { of, draw: () => open.forEach((draw) => draw()) };
}

function picture(one, found, known, fields) {
  const counts = found.kinds[one.kind] ?? [];
  const total = counts.reduce((sum, many) => sum + many, 0);
  const before = one.bounds(one.names.map((name) => known[name].value));
  const after = one.bounds(one.names.map((name) => fields[name]?.value() ?? known[name].value));
  if (!after.every(Number.isFinite)) return el("p", { class: "soft" }, t("preview.no_number"));
  const from = after[1];
  return el(
    "div",
    { class: "stack" },
    total ? table(one, counts, before, after) : el("p", {}, t("preview.empty", { days: DAYS })),
    drawing(counts, before, after),
    el("p", {}, rate(found, from, one.isMany)),
    el("p", { class: "hint" }, t("preview.hint")),
  );
}

/** Return how many scores lie below, between and above two bounds; a score is drawn whole, and counts from its number on. */
export function sides(counts, [low, high]) {
  const sums = [0, 0, 0];
  counts.forEach((many, score) => (sums[score >= Math.ceil(high) ? 2 : score >= Math.ceil(low) ? 1 : 0] += many));
  return sums;
}

function table(one, counts, before, after) {
  const [was, would] = [sides(counts, before), sides(counts, after)];
  const names = one.sides ?? SIDES;
  return el(
    "table",
    { class: "table preview-table" },
    el("caption", { class: "unseen" }, t(`preview.title_${one.kind}`)),
    el(
      "thead",
      {},
      el(
        "tr",
        {},
        el("th", { scope: "col" }, t("preview.side", { days: DAYS })),
        el("th", { scope: "col", class: "number" }, t("preview.before")),
        el("th", { scope: "col", class: "number" }, t("preview.after")),
      ),
    ),
    el(
      "tbody",
      {},
      [2, 1, 0]
        .filter((side) => names[side])
        .map((side) =>
          el(
            "tr",
            {},
            el("th", { scope: "row" }, t(names[side])),
            el("td", { class: "number" }, number(was[side])),
            el("td", { class: "number" }, number(would[side]), difference(would[side] - was[side])),
          ),
        ),
    ),
  );
}

function difference(by) {
  return by !== 0 && el("b", {}, ` (${by > 0 ? "+" : "−"}${number(Math.abs(by))})`);
}

function rate(found, from, isMany) {
  const fmr = found.fmr[Math.max(0, Math.min(BINS - 1, Math.floor(from)))];
  const n = number(Math.round(1 / fmr));
  const chance = 1 - (1 - fmr) ** found.references;
  return [
    t("preview.fmr", { score: number(from, 1), n }),
    isMany && found.references > 0 ? t("preview.fpir", { n: found.references, share: share(chance) }) : "",
  ].join(" ");
}

function drawing(counts, before, after) {
  const place = el("div", { class: "preview-place" });
  const watcher = new ResizeObserver(() => (place.isConnected ? draw() : watcher.disconnect()));
  watcher.observe(place);

  function draw() {
    const width = Math.round(place.clientWidth);
    if (!width) return;
    const top = Math.max(1, ...counts);
    const x = (score) => EDGE + (Math.max(0, Math.min(BINS, score)) / BINS) * (width - 2 * EDGE);
    const inner = HEIGHT - BOTTOM - TOP;
    const step = (width - 2 * EDGE) / BINS;
    const kind = (score) => (score >= Math.ceil(after[1]) ? "approved" : score >= Math.ceil(after[0]) ? "in_review" : "declined");
    const bars = counts.map((many, score) => {
      const height = many ? Math.max(2, (many / top) * inner) : 0;
      const at = { x: x(score), width: Math.max(1, step - 1), y: TOP + inner - height, height };
      return many > 0 && svg("rect", { ...at, class: `fill-${kind(score)}` });
    });
    const mark = (score, name) =>
      svg("line", { class: name, x1: x(score), x2: x(score), y1: TOP - 6, y2: TOP + inner });
    const ticks = TICKS.map((score) => [
      svg("line", { class: "chart-line", x1: x(score), x2: x(score), y1: TOP + inner, y2: TOP + inner + 5 }),
      svg("text", { class: "chart-text", x: x(score), y: HEIGHT - 22, "text-anchor": "middle" }, String(score)),
      score > 0 &&
        svg("text", { class: "chart-text", x: x(score), y: HEIGHT - 7, "text-anchor": "middle" }, t(`preview.one_in_${score}`)),
    ]);
    put(
      place,
      svg(
        "svg",
        { width, height: HEIGHT, viewBox: `0 0 ${width} ${HEIGHT}`, role: "img", "aria-label": t("preview.drawn") },
        svg("line", { class: "chart-line", x1: EDGE, x2: width - EDGE, y1: TOP + inner, y2: TOP + inner }),
        bars,
        ticks,
        before[1] !== after[1] && mark(before[1], "preview-before"),
        mark(after[1], "preview-after"),
        svg("text", { class: "preview-number", x: x(after[1]), y: 10, "text-anchor": "middle" }, number(after[1], 1)),
      ),
    );
  }
  return place;
}
