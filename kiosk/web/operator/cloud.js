/** What waits to leave the device, what arrived, and what was refused. */

import { call } from "../common/api.js";
import { chip } from "./decision-parts.js";
import { el, icon, put } from "../common/dom.js";
import { empty, load } from "./notice.js";
import { table } from "./table.js";
import { ago, duration, named, number, size, t, time } from "../common/words.js";

const STATES = ["waiting", "sending", "sent", "rejected", "superseded"];
const LOOK = {
  waiting: ["plain", "clock"],
  sending: ["plain", "upload"],
  sent: ["good", "check"],
  rejected: ["bad", "alert"],
  superseded: ["plain", "cross"],
};
const REFRESH_MS = 15_000;

export async function cloud(place, { atEnd, session }) {
  const body = el("div", { class: "stack" });
  put(
    place,
    el("div", { class: "head" }, el("h1", {}, t("cloud.title"))),
    el("p", { class: "soft lead" }, t("cloud.text")),
    body,
  );
  const draw = () =>
    load(body, () => fetchCloud(session), (found) => (found ? show(found) : empty("cloud", t("cloud.off"), t("cloud.off_text"))));
  const timer = setInterval(() => document.hidden || draw(), REFRESH_MS);
  atEnd(() => clearInterval(timer));
  await draw();
}

async function fetchCloud(session) {
  if (session.has_cloud === false) return null;
  try {
    return await call("GET", "/device/cloud");
  } catch (error) {
    if (error.status === 404) return null; // this device has none
    throw error;
  }
}

function show(found) {
  const rows = found.rows ?? [];
  return [
    el(
      "section",
      { class: "tiles", "aria-label": t("cloud.states") },
      STATES.map((state) =>
        el(
          "div",
          { class: `tile ${state === "rejected" && found.counts[state] ? "bad" : ""}` },
          el("span", { class: "tile-label" }, t(`outbox.${state}`)),
          el("span", { class: "tile-value" }, number(found.counts[state] ?? 0)),
          el("span", { class: "tile-text" }, t(`outbox.${state}_text`)),
        ),
      ),
    ),
    facts(found),
    el(
      "section",
      { class: "card" },
      el("h2", {}, t("cloud.rows")),
      rows.length
        ? table(
            t("cloud.rows"),
            [
              { words: t("column.decision") },
              { words: t("column.state") },
              { words: t("cloud.policy") },
              { words: t("cloud.attempts"), kind: "number" },
              { words: t("cloud.next") },
              { words: t("cloud.error") },
            ],
            rows,
            {
              address: (row) => `#/decisions/${encodeURIComponent(row.request_id)}`,
              cells: (row) => [
                el("code", {}, String(row.request_id).slice(0, 8)),
                chip(...LOOK[row.state], t(`outbox.${row.state}`)),
                named("policy", row.policy),
                number(row.attempts),
                row.state === "waiting" ? time(row.next_attempt_at) : "–",
                row.last_error ?? "–",
              ],
            },
          )
        : empty("cloud", t("cloud.empty"), t("cloud.empty_text")),
    ),
  ];
}

const TIMES = new Set(["last_success", "complete_at"]);
const SPANS = new Set(["oldest_waiting_s", "clock_skew_s"]);
const TOLD = [
  "policy",
  "fallback",
  "second_opinion",
  "breaker",
  "last_success",
  "last_error",
  "oldest_waiting_s",
  "photograph_bytes",
  "clock_skew_s",
];

function facts(found) {
  const known = TOLD.filter((name) => found[name] !== null && found[name] !== undefined);
  const lists = Array.isArray(found.lists) ? found.lists : [];
  return [
    found.alarm &&
      el(
        "p",
        { class: "banner bad", role: "alert" },
        icon("alert"),
        el("span", {}, t("cloud.alarm"), " ", found.alarm),
      ),
    el(
      "section",
      { class: "card" },
      el("h2", {}, t("cloud.link")),
      el(
        "dl",
        { class: "facts" },
        known.map((name) => el("div", {}, el("dt", {}, t(`cloud.${name}`)), el("dd", {}, plain(name, found[name])))),
      ),
    ),
    lists.length > 0 &&
      el(
        "section",
        { class: "card" },
        el("h2", {}, t("cloud.lists")),
        table(
          t("cloud.lists"),
          [
            { words: t("cloud.list") },
            { words: t("cloud.complete_at") },
            { words: t("cloud.entries"), kind: "number" },
            { words: t("cloud.unusable"), kind: "number" },
          ],
          lists,
          {
            cells: (one) => [
              el("code", {}, one.list),
              plain("complete_at", one.complete_at),
              number(one.entries),
              number(one.unusable),
            ],
          },
        ),
      ),
  ];
}

function plain(name, value) {
  if (name === "policy" || name === "breaker") return named(name, value);
  if (TIMES.has(name)) return `${time(value)} (${ago(value)})`;
  if (SPANS.has(name)) return value < 0 ? `−${duration(-value)}` : duration(value);
  if (name === "photograph_bytes") return size(value);
  if (typeof value === "boolean") return t(value ? "word.yes" : "word.no");
  return typeof value === "number" ? number(value) : String(value);
}
