/** The newest of what happened: decisions, what the door did, who released it; live, newest first. */

import { call } from "../../common/api.js";
import { el, icon, put } from "../../common/dom.js";
import { moment, named, number, t, time } from "../../common/words.js";
import { empty } from "../notice.js";
import { saidOf } from "./faces.js";

const MOST = 14;
const SAME_DAY_S = 20 * 3600; // older ones are told with their day
const PASSES = ["pass_opened", "pass_waits", "pass_refused", "pass_used"];
const DOOR_WORTH = new Set([
  "exit_pressed",
  "opened",
  "forced_open",
  "door_open_too_long",
  "door_fault",
  "fault_over",
  "fire_release",
  "fire_over",
  "free",
  "free_over",
  "lockdown_switched",
  "inner_forced_open",
  "inner_open_too_long",
  "inner_kept_shut",
  ...PASSES,
]);
const DOOR_LOOK = {
  exit_pressed: ["plain", "door"],
  opened: ["plain", "door"],
  fault_over: ["good", "check"],
  forced_open: ["alarm", "alert"],
  door_open_too_long: ["bad", "alert"],
  door_fault: ["bad", "alert"],
  pass_opened: ["good", "key"],
  pass_used: ["good", "key"],
  pass_waits: ["maybe", "key"],
  pass_refused: ["bad", "key"],
  fire_release: ["alarm", "alert"],
  fire_over: ["good", "check"],
  free: ["plain", "door"],
  free_over: ["plain", "lock"],
  lockdown_switched: ["alarm", "lock"],
  inner_forced_open: ["alarm", "alert"],
  inner_open_too_long: ["bad", "alert"],
  inner_kept_shut: ["bad", "lock"],
};

/** Return {element, load, decision, door}: the strip, what fetches its past, and what takes its news. */
export function strip() {
  let rows = []; // {key, at s, ...how it looks}
  const list = el("ol", { class: "strip", "aria-live": "off" });

  function add(found) {
    const known = new Map(rows.map((one) => [one.key, one]));
    for (const one of found) known.set(one.key, one);
    rows = [...known.values()].sort((one, other) => other.at - one.at).slice(0, MOST);
    put(list, rows.length ? rows.map(line) : el("li", {}, empty("list", t("live.strip_empty"), t("live.strip_empty_text"))));
  }

  return {
    element: list,
    async load() {
      const [decided, door, released] = await Promise.all(
        [{}, { kind: "DOOR" }, { kind: "RELEASE" }].map((query) =>
          call("GET", "/device/decisions", { query: { ...query, limit: MOST } }),
        ),
      );
      add([
        ...decided.decisions.map(ofRow),
        ...door.decisions.filter((one) => DOOR_WORTH.has(one.details.what)).map((one) => ofDoor(one.details.what, one.at)),
        ...released.decisions.map((one) => ({
          key: one.request_id,
          at: seconds(one.at),
          words: one.actor_name ? t("live.released_by", { name: one.actor_name }) : t("live.released"),
          tone: "plain",
          symbol: "door",
        })),
      ]);
    },
    decision: (news) => add([ofNews(news)]),
    door: (news) => DOOR_WORTH.has(news.what) && add([ofDoor(news.what, news.at)]),
  };
}

function seconds(at) {
  return moment(at).getTime() / 1000;
}

function ofRow(row) {
  const isAlarm = isBlocked(row);
  return ofNews({ ...row, is_alarm: isAlarm, at: seconds(row.at), opened: row.status === "Approved" && !row.unopened });
}

/** Whether a record of the log is about somebody who is blocked. */
export function isBlocked(row) {
  return row.warnings.includes("FACE_IN_BLOCKLIST");
}

function ofNews(news) {
  const [words, tone, symbol] = saidOf(news);
  return {
    key: news.request_id,
    at: news.at,
    words,
    tone,
    symbol,
    score: news.score,
    note: [named("status", news.status), named("kind", news.kind)].join(" · "),
    address: `#/decisions/${encodeURIComponent(news.request_id)}`,
  };
}

function ofDoor(what, at) {
  const [tone, symbol] = DOOR_LOOK[what];
  const from = typeof at === "number" ? at : seconds(at);
  // The log's record and the news of one event differ by a moment.
  return { key: `door ${what} ${Math.round(from / 2)}`, at: from, words: t(`door_event.${what}`), tone, symbol };
}

function line(row) {
  const body = [
    el("span", { class: "strip-mark" }, icon(row.symbol)),
    el(
      "span",
      { class: "strip-main" },
      el("span", { class: "strip-words" }, row.words),
      row.note && el("span", { class: "soft" }, row.note),
    ),
    el(
      "span",
      { class: "strip-end" },
      el("time", { datetime: new Date(row.at * 1000).toISOString() }, time(row.at, Date.now() / 1000 - row.at < SAME_DAY_S ? "time" : "short")),
      typeof row.score === "number" && el("span", { class: "soft" }, number(row.score, 1)),
    ),
  ];
  return el(
    "li",
    { class: `strip-row ${row.tone}` },
    row.address ? el("a", { href: row.address }, body) : el("div", {}, body),
  );
}
