/** The owner's kiosks at a glance, and the countdown of those that know of a change to somebody. */

import { call } from "../common/api.js";
import { chip } from "./decision-parts.js";
import { coded, el, icon, put } from "../common/dom.js";
import { empty, load } from "./notice.js";
import { table } from "./table.js";
import { knows, named, number, t } from "../common/words.js";

const REFRESH_MS = 5_000;
const COUNT_MS = 1_000;
const EAGER = 30; // looks, before a kiosk that is away is only looked for now and then
const COLUMNS = ["kiosk", "state", "heard", "behind", "waiting", "version", "roster", "doors"];
const BAD = new Set(["gone_back", "failed", "stopped"]);
const NUMBERS = new Set(["behind", "waiting", "roster"]);

export async function fleet(place, { atEnd }) {
  const body = el("div", { class: "stack" });
  put(
    place,
    el(
      "div",
      { class: "head" },
      el("h1", {}, t("fleet.title")),
      el("a", { class: "button", href: "#/fleet/pairs" }, icon("alike"), t("pairs.title")),
    ),
    el("p", { class: "soft lead" }, t("fleet.text")),
    body,
  );
  const draw = () => load(body, seen, (found) => (found ? show(found) : empty("fleet", t("fleet.none"), coded(t("fleet.none_text")))));
  const timer = setInterval(() => document.hidden || draw(), REFRESH_MS);
  atEnd(() => clearInterval(timer));
  await draw();
}

/** Return what this kiosk sees of its fleet; null where it belongs to none. */
async function seen() {
  try {
    return await call("GET", "/device/fleet");
  } catch (error) {
    if (error.status === 404) return null;
    throw error;
  }
}

function show(found) {
  const others = found.kiosks.filter((row) => row.alarms.length > 0);
  const know = found.kiosks.filter((row) => row.roster !== null && row.roster >= found.roster);
  const versions = new Set(found.kiosks.map((row) => row.version).filter(Boolean));
  return [
    standing(found),
    el(
      "section",
      { class: "tiles", "aria-label": t("fleet.numbers") },
      tile("fleet.kiosks", number(found.kiosks.length)),
      tile("fleet.alarmed", number(others.length), others.length > 0),
      tile("fleet.people", number(found.people)),
      tile("fleet.roster_known", t("fleet.of", { n: know.length, of: found.kiosks.length })),
      tile("fleet.versions", number(versions.size)),
    ),
    found.update && update(found),
    el("section", { class: "card" }, el("h2", {}, t("fleet.kiosks")), kiosks(found)),
    el("section", { class: "card stack" }, el("h2", {}, t("fleet.hubs")), found.hubs.map(hub)),
    found.former.length > 0 &&
      el(
        "section",
        { class: "card" },
        el("h2", {}, t("fleet.former")),
        el(
          "ul",
          {},
          found.former.map((one) => el("li", {}, t("fleet.former_one", { name: one.name, n: one.until_roster }))),
        ),
      ),
    el("p", { class: "hint" }, coded(t("fleet.owner_hint"))),
  ];
}

function standing(found) {
  const state = found.is_taken_off ? "taken_off" : !found.is_let_in ? "not_let_in" : found.fault ? "fault" : null;
  return (
    state &&
    el(
      "p",
      { class: `banner ${state === "not_let_in" ? "maybe" : "bad"}`, role: "alert" },
      icon("alert"),
      el("span", {}, t(`fleet.${state}`)),
    )
  );
}

function tile(name, value, isBad = false) {
  return el(
    "div",
    { class: `tile ${isBad ? "bad" : ""}` },
    el("span", { class: "tile-label" }, t(name)),
    el("span", { class: "tile-value" }, value),
    knows(`${name}_text`) && el("span", { class: "tile-text" }, t(`${name}_text`)),
  );
}

/** Say in one place how far the release is that the owner ordered last. */
function update({ update: ordered, kiosks: rows, former }) {
  const count = (stages) => rows.filter((row) => stages.has(row.update?.stage)).length;
  const bad = count(BAD);
  const first = [...rows, ...former].find((row) => row.kiosk === ordered.first);
  const kind = ordered.is_stopped || bad ? "bad" : count(new Set(["runs"])) === rows.length ? "good" : "maybe";
  const words = ordered.is_stopped ? "fleet_update.stopped" : bad ? "fleet_update.bad" : `fleet_update.${kind}`;
  return el(
    "section",
    { class: "card stack" },
    el("h2", {}, t("fleet_update.title", { version: ordered.version })),
    el(
      "p",
      { class: "chips" },
      chip(kind, kind === "good" ? "check" : kind === "bad" ? "alert" : "clock", t(words)),
      el("span", {}, t("fleet_update.runs_on", { n: count(new Set(["runs"])), of: rows.length })),
    ),
    el("p", { class: "soft" }, t("fleet_update.first", { name: first?.name ?? t("pairs.unknown_kiosk") })),
    el(
      "ul",
      { class: "knowers stages" },
      rows.map((row) => el("li", {}, el("strong", {}, row.name), stage(row.update))),
    ),
  );
}

/** How far one kiosk is with it. */
function stage(told) {
  if (!told) return chip("", "clock", t("fleet_stage.unheard"));
  const isBad = BAD.has(told.stage);
  const kind = isBad ? "bad" : told.stage === "runs" ? "good" : told.stage === "unfit" ? "maybe" : "";
  const symbol = isBad ? "alert" : told.stage === "runs" ? "check" : told.stage === "unfit" ? "info" : "clock";
  const share = told.of ? ` ${t("fleet.of", { n: told.done ?? 0, of: told.of })}` : "";
  const why = told.why && (knows(`fleet_why.${told.why}`) ? t(`fleet_why.${told.why}`, { name: told.culprit ?? "" }) : told.why);
  return el(
    "span",
    { class: "chips" },
    chip(kind, symbol, `${t(`fleet_stage.${told.stage}`)}${share}`),
    why && el("span", { class: "soft small", lang: knows(`fleet_why.${told.why}`) ? null : "en" }, why),
  );
}

function kiosks(found) {
  return table(
    t("fleet.kiosks"),
    COLUMNS.map((name) => ({ words: t(`fleet.${name}`), kind: NUMBERS.has(name) ? "number" : undefined })),
    found.kiosks,
    {
      cells: (row) => [
        el(
          "span",
          {},
          el("strong", {}, row.name),
          row.is_me && el("span", { class: "soft" }, ` ${t("fleet.this_one")}`),
        ),
        state(row),
        row.is_me ? t("fleet.now") : row.heard_s === null ? t("fleet.never") : lasting(row.heard_s),
        row.behind === null ? "–" : number(row.behind),
        row.waiting === null ? "–" : number(row.waiting),
        row.version ?? "–",
        row.roster === null ? "–" : number(row.roster),
        row.doors === null ? t("fleet.everybody") : row.doors.join(", ") || t("fleet.nobody"),
      ],
    },
  );
}

function state(row) {
  const words = [
    ...row.alarms.map((name) => chip("bad", "alert", alarm(name, row))),
    ...row.states.map((name) => chip("maybe", "info", named("condition", name))),
    ...(row.duplicates > 0 ? [chip("maybe", "alike", t("fleet.duplicates", { n: row.duplicates }))] : []),
  ];
  if (words.length === 0) words.push(chip("good", "check", t("fleet.well")));
  return el("span", { class: "chips" }, words);
}

function alarm(name, row) {
  return t(`fleet_alarm.${name}`, { n: row.parked ?? 0, time: lasting(Math.abs(row.clock_off_s ?? 0)) });
}

/** Return a time in the largest unit that fits. */
function lasting(seconds) {
  const [unit, size] = [
    ["d", 86_400],
    ["h", 3_600],
    ["min", 60],
  ].find(([, each]) => seconds >= each) ?? ["s", 1];
  return t(`lasting.${unit}`, { n: Math.floor(seconds / size) });
}

function hub(one) {
  const is = one.is_connected ? (one.is_level ? "level" : "reading") : "away";
  return el(
    "div",
    { class: "hub" },
    el("p", {}, el("code", { class: "long" }, one.hub)),
    el(
      "p",
      { class: "chips" },
      chip(is === "level" ? "good" : is === "away" ? "bad" : "maybe", is === "level" ? "check" : "clock", t(`hub.${is}`)),
      el("span", { class: "soft" }, t("hub.since", { time: lasting(one.for_s) })),
      one.waiting > 0 && el("span", {}, t("hub.waiting", { n: one.waiting })),
    ),
    one.reason && el("p", { class: "soft small", lang: "en" }, one.reason),
  );
}

/**
 * Return a section that counts the kiosks which know of somebody's present state, until all do; null without a fleet.
 *
 * kind: "known" (of whoever is enrolled), "blocked", or "forgotten".
 */
export function countdown({ session, sessionId, kind }) {
  if (!session?.has_fleet) return null;
  const line = el("p", { class: "countdown", role: "status" });
  const list = el("ul", { class: "knowers" });
  const section = el(
    "section",
    { class: "card stack", "aria-label": t("fleet.title") },
    el("h2", {}, t(`countdown.${kind}_title`)),
    line,
    list,
  );
  let said = "";
  let looks = 0;
  const look = async () => {
    looks += 1;
    let next = looks < EAGER ? COUNT_MS : REFRESH_MS;
    try {
      const found = await call("GET", `/device/fleet/people/${encodeURIComponent(sessionId)}`);
      const isForgotten = kind === "forgotten";
      const n = isForgotten ? found.forgotten_on : found.known_by;
      const words = t(`countdown.${kind}`, { n, of: found.of });
      if (words !== said) put(line, icon(n >= found.of ? "check" : "clock"), el("span", {}, words)); // said aloud once
      said = words;
      put(
        list,
        found.kiosks.map((row) => knower(row, isForgotten ? row.has_forgotten : row.knows)),
      );
      section.hidden = found.of === 0; // not let in yet: nobody is to know
      if (n >= found.of && found.of > 0) next = null;
    } catch (error) {
      if (error.status === undefined) throw error;
      put(line, icon("offline"), el("span", {}, error.message));
      said = "";
      next = REFRESH_MS;
    }
    if (next !== null) setTimeout(() => section.isConnected && look(), next);
  };
  look();
  return section;
}

function knower(row, isSo) {
  return el(
    "li",
    { class: isSo ? "so" : "soft" },
    icon(isSo ? "check" : "clock"),
    el("span", {}, row.name, row.is_me && ` ${t("fleet.this_one")}`),
    row.goes_in === false && el("span", { class: "soft small" }, t("countdown.not_their_door")),
    el("span", { class: "unseen" }, t(isSo ? "countdown.does" : "countdown.not_yet")),
  );
}
