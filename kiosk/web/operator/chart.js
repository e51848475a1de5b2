/** Decisions over time as stacked columns. The three kinds differ in pattern as well as colour; a table says the same. */

import { el, put, svg } from "../common/dom.js";
import { moment, number, t, time } from "../common/words.js";

const HEIGHT = 250;
const CHARACTER = 7; // px, of the labels of the axis
const BOTTOM = 24;
const TOP = 10;
const KINDS = ["approved", "in_review", "declined"];

/** Return a chart of buckets [{from, approved, in_review, declined}], oldest first; it fits itself to its width. */
export function chart(buckets, label) {
  const place = el("div", { class: "chart-place" });
  const reading = el("p", { class: "chart-reading", "aria-hidden": "true" }, t("chart.hint"));
  const watcher = new ResizeObserver(() => {
    if (!place.isConnected) watcher.disconnect();
    else draw();
  });
  watcher.observe(place);
  let drawnAt = 0;

  function draw() {
    const width = Math.round(place.clientWidth);
    if (!width || width === drawnAt) return;
    drawnAt = width;
    put(
      place,
      columns(buckets, width, label, (words) => (reading.textContent = words ?? t("chart.hint"))),
    );
  }

  return el(
    "figure",
    { class: "chart" },
    el(
      "div",
      { class: "chart-head" },
      el(
        "ul",
        { class: "legend", "aria-hidden": "true" },
        KINDS.map((kind) => el("li", { class: kind }, swatch(kind), t(`chart.${kind}`))),
      ),
      reading,
    ),
    place,
    el("details", { class: "chart-table" }, el("summary", {}, t("chart.as_table")), table(buckets, label)),
  );
}

function swatch(kind) {
  return svg(
    "svg",
    { viewBox: "0 0 12 12", class: "swatch" },
    patterns(`swatch-${kind}`),
    svg("rect", { width: 12, height: 12, rx: 2, ...paint(kind, `swatch-${kind}`) }),
  );
}

// A pattern's id is the document's, so each drawing brings its own.
function patterns(prefix) {
  return svg(
    "defs",
    {},
    svg(
      "pattern",
      { id: `${prefix}-hatch`, width: 5, height: 5, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" },
      svg("rect", { width: 5, height: 5, class: "fill-declined" }),
      svg("rect", { width: 1.6, height: 5, class: "fill-surface" }),
    ),
    svg(
      "pattern",
      { id: `${prefix}-dots`, width: 5, height: 5, patternUnits: "userSpaceOnUse" },
      svg("rect", { width: 5, height: 5, class: "fill-in_review" }),
      svg("circle", { cx: 2.5, cy: 2.5, r: 1, class: "fill-surface" }),
    ),
  );
}

function paint(kind, prefix) {
  if (kind === "declined") return { fill: `url(#${prefix}-hatch)` };
  if (kind === "in_review") return { fill: `url(#${prefix}-dots)` };
  return { class: "fill-approved" };
}

function columns(buckets, width, label, read) {
  const sum = (one) => KINDS.reduce((total, kind) => total + one[kind], 0);
  const top = ceiling(Math.max(1, ...buckets.map(sum)));
  const inner = HEIGHT - BOTTOM - TOP;
  const left = 14 + CHARACTER * Math.max(3, number(top).length, number(top / 2).length);
  const y = (value) => TOP + inner - (value / top) * inner;
  const step = (width - left) / Math.max(1, buckets.length);
  const bar = Math.max(2, Math.min(28, step * 0.7));
  const every = Math.max(1, Math.ceil(46 / step));
  const isLong = buckets.length > 1 && spanHours(buckets) > 36;

  const grid = [0, top / 2, top].map((value) => [
    svg("line", { class: "chart-line", x1: left, x2: width, y1: y(value), y2: y(value) }),
    svg("text", { class: "chart-text", x: left - 6, y: y(value) + 4, "text-anchor": "end" }, number(value)),
  ]);
  const bars = buckets.map((one, place) => {
    let base = 0;
    const x = left + place * step + (step - bar) / 2;
    const parts = KINDS.filter((kind) => one[kind] > 0).map((kind) => {
      const from = base;
      base += one[kind];
      return svg("rect", {
        x,
        width: bar,
        y: y(base),
        height: Math.max(1, y(from) - y(base)),
        ...paint(kind, "chart"),
      });
    });
    const hit = svg("rect", { class: "chart-hit", x: left + place * step, y: TOP, width: step, height: inner });
    const group = svg("g", { class: "chart-column" }, hit, parts);
    group.addEventListener("pointerenter", () => read(sentence(one)));
    group.addEventListener("pointerleave", () => read(null));
    return group;
  });
  const names = buckets
    .map((one, place) => [one, place])
    .filter(([, place]) => place % every === 0)
    .map(([one, place]) =>
      svg(
        "text",
        { class: "chart-text", x: left + (place + 0.5) * step, y: HEIGHT - 6, "text-anchor": "middle" },
        tick(one, isLong),
      ),
    );
  return svg(
    "svg",
    { class: "chart-svg", width, height: HEIGHT, viewBox: `0 0 ${width} ${HEIGHT}`, role: "img", "aria-label": label },
    patterns("chart"),
    grid,
    bars,
    names,
  );
}

function spanHours(buckets) {
  return (moment(buckets.at(-1).from) - moment(buckets[0].from)) / 3_600_000;
}

function tick(one, isLong) {
  return isLong ? time(one.from, "day").replace(/[\s.,]*\d{4}$/, "") : time(one.from, "hour");
}

function sentence(one) {
  return t("chart.reading", {
    from: time(one.from, "short"),
    approved: one.approved,
    in_review: one.in_review,
    declined: one.declined,
  });
}

// The axis ends at an even number, so that its middle is whole too.
function ceiling(value) {
  const size = 10 ** Math.floor(Math.log10(value));
  const step = [1, 2, 4, 6, 8, 10].find((one) => one * size >= value) * size;
  return Math.max(2, step);
}

function table(buckets, label) {
  return el(
    "div",
    { class: "table-scroll", tabindex: "0", role: "region", "aria-label": label },
    el(
      "table",
      { class: "table" },
      el("caption", { class: "unseen" }, label),
      el(
        "thead",
        {},
        el(
          "tr",
          {},
          el("th", { scope: "col" }, t("column.from")),
          KINDS.map((kind) => el("th", { scope: "col", class: "number" }, t(`chart.${kind}`))),
        ),
      ),
      el(
        "tbody",
        {},
        buckets.map((one) =>
          el(
            "tr",
            {},
            el("th", { scope: "row" }, time(one.from)),
            KINDS.map((kind) => el("td", { class: "number" }, number(one[kind]))),
          ),
        ),
      ),
    ),
  );
}
