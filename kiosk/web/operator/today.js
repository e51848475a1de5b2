/** Today at a glance: is the door armed, what was decided, what the camera sees, what needs somebody. */

import { call } from "../common/api.js";
import { chart } from "./chart.js";
import { scoreBar, statusChip, unopenedChip, whom } from "./decision-parts.js";
import { el, icon, put } from "../common/dom.js";
import { camera } from "./live/camera.js";
import { releaseButton } from "./live/door.js";
import { figures, states } from "./health.js";
import { unfinished } from "./setup/wizard.js";
import { empty, load } from "./notice.js";
import { ago, named, number, share, t, time } from "../common/words.js";

const LATEST = 10;
const SPANS = [24, 168];
const REFRESH_MS = 30_000; // of what no news tell: counts, the outbox

export async function today(place, { on, every, atEnd, session }) {
  const standing = el("section", { class: "banner-place", "aria-label": t("today.standing") });
  const first = el("div", { hidden: true });
  const tiles = el("section", { class: "tiles", "aria-label": t("today.figures") });
  const latest = el("div", { class: "latest" });
  const graph = el("div", {});
  const more = el("div", {});
  let hours = SPANS[0];

  const watched = camera({ atEnd, every, foot: el("div", { class: "actions" }, releaseButton(session)), session });

  const spans = el(
    "div",
    { class: "segments", role: "group", "aria-label": t("today.span") },
    SPANS.map((span) =>
      el(
        "button",
        {
          type: "button",
          "aria-pressed": String(span === hours),
          onclick: (event) => {
            hours = span;
            for (const one of event.currentTarget.parentNode.children)
              one.setAttribute("aria-pressed", String(one === event.currentTarget));
            drawChart();
          },
        },
        t(`today.hours_${span}`),
      ),
    ),
  );

  put(
    place,
    el(
      "div",
      { class: "head" },
      el("h1", {}, t("today.title")),
      el("p", { class: "soft" }, time(Date.now() / 1000, "weekday")),
      el("a", { class: "button", href: "#/people/new" }, icon("plus"), t("people.enrol")),
    ),
    first,
    standing,
    tiles,
    el(
      "div",
      { class: "split" },
      el("section", { class: "card" }, el("div", { class: "card-head" }, el("h2", {}, t("today.chart")), spans), graph),
      watched.card,
    ),
    el(
      "div",
      { class: "split" },
      el(
        "section",
        { class: "card" },
        el(
          "div",
          { class: "card-head" },
          el("h2", {}, t("today.latest")),
          el("a", { href: "#/decisions" }, t("today.all")),
        ),
        latest,
      ),
      el("section", { class: "card" }, el("div", { class: "card-head" }, el("h2", {}, t("today.device"))), more),
    ),
  );

  const drawChart = () =>
    load(
      graph,
      () => call("GET", "/device/statistics", { query: { hours } }),
      (found) =>
        found.buckets.some((one) => one.approved + one.in_review + one.declined > 0)
          ? chart(found.buckets, t("today.chart_label"))
          : empty("today", t("today.chart_empty"), t("today.chart_empty_text")),
    );

  const drawLatest = () =>
    load(
      latest,
      () => call("GET", "/device/decisions", { query: { limit: LATEST } }),
      (found) =>
        found.decisions.length
          ? el("ul", { class: "rows" }, found.decisions.map(line))
          : empty("list", t("decisions.empty"), t("decisions.empty_text")),
    );

  async function drawFirst() {
    const banner = await unfinished(session).catch((error) => {
      if (error.status === undefined) throw error; // else the view is whole without it
    });
    first.hidden = !banner;
    if (banner) put(first, banner);
  }

  async function drawHealth() {
    let counted;
    await load(
      standing,
      () => call("GET", "/device/health"),
      (health) => {
        put(more, figures(health));
        counted = drawTiles(health);
        watched.see(health);
        return states(health);
      },
      1,
    );
    await counted;
  }

  async function drawTiles(health) {
    const [counts, reviews] = await Promise.all([
      call("GET", "/device/statistics", { query: { hours: 24 } }).catch(() => null),
      call("GET", "/device/reviews", { query: { limit: 1 } }).catch(() => null),
    ]);
    const gallery = health.figures?.gallery ?? {};
    const outbox = health.figures?.outbox;
    const waiting = outbox && outbox.waiting + outbox.sending;
    const decided = counts && sum(counts.buckets);
    put(
      tiles,
      tile(
        t("tile.decided"),
        decided && number(decided.total),
        decided && t("tile.decided_text", decided),
        "#/decisions",
      ),
      tile(
        t("tile.reviews"),
        reviews && number(reviews.total),
        t("tile.reviews_text"),
        "#/reviews",
        reviews?.total ? "maybe" : "",
      ),
      tile(
        t("tile.people"),
        gallery.people !== undefined ? number(gallery.people) : null,
        gallery.fpir !== undefined
          ? t("tile.people_text", { share: share(gallery.fpir) })
          : t("tile.people_text_none"),
        "#/people",
      ),
      tile(t("tile.outbox"), waiting !== undefined ? number(waiting) : null, t("tile.outbox_text"), "#/cloud"),
    );
  }

  on("decision", () => {
    drawLatest();
    drawChart();
    drawHealth();
  });
  on("health", drawHealth);
  const timer = setInterval(() => document.hidden || drawHealth(), REFRESH_MS);
  atEnd(() => clearInterval(timer));
  await Promise.all([drawHealth(), drawChart(), drawLatest(), drawFirst()]);
}

function sum(buckets) {
  const total = { approved: 0, in_review: 0, declined: 0 };
  for (const one of buckets) for (const kind of Object.keys(total)) total[kind] += one[kind];
  return { ...total, total: total.approved + total.in_review + total.declined };
}

function tile(label, value, text, address, kind = "") {
  return el(
    "a",
    { class: `tile ${kind}`, href: address },
    el("span", { class: "tile-label" }, label),
    el("span", { class: "tile-value" }, value ?? "–"),
    el("span", { class: "tile-text" }, text ?? ""),
  );
}

function line(row) {
  return el(
    "li",
    {},
    el(
      "a",
      { class: "row", href: `#/decisions/${encodeURIComponent(row.request_id)}`, "data-request": row.request_id },
      el("span", { class: "chips" }, statusChip(row.status), unopenedChip(row)),
      el(
        "span",
        { class: "row-main" },
        el("span", { class: "row-title" }, whom(row)),
        el("span", { class: "soft" }, named("kind", row.kind)),
      ),
      scoreBar(row.score, row.status),
      el("time", { class: "soft row-end", datetime: String(row.at), title: time(row.at, "full") }, ago(row.at)),
    ),
  );
}
