/**
 * Alarms over every view of the page: somebody blocked, a forced door. They stay until an operator has seen them.
 *
 * The kiosk's own screen hears nothing of it: whoever is blocked is told there what a stranger is told. Sound is off
 * until the operator allows it in this browser, as it may stand where the visitor hears it.
 */

import { call } from "../../common/api.js";
import { el, icon, put } from "../../common/dom.js";
import { isAwake, sound, wake } from "../../common/tones.js";
import { moment, named, t, time } from "../../common/words.js";
import { isBlocked } from "./strip.js";

const NOTES = [
  [880, 0, 0.18],
  [660, 0.2, 0.18],
  [880, 0.4, 0.18],
  [660, 0.6, 0.3],
];
const LOUDNESS = 0.4;
const AGAIN_MS = 4_000;
const SOUND = "kiosk.alarm_sound";
const SEEN = "kiosk.alarm_seen"; // until when this browser's operator has seen all alarms, s UTC
const LONGEST_S = 12 * 3600; // older ones are no alarm any more; they stand in the decisions
const MOST = 3;
const SMALL = "(max-width: 40rem), (max-height: 32rem)"; // one alarm there: the bar stays over the work of a page
const BLOCKED = "FACE_IN_BLOCKLIST";
const DOOR = new Set(["forced_open", "door_open_too_long"]);

/** Return {bar, draw, decision, door, catchUp, soundSwitch, close}. */
export function alarms() {
  let waiting = []; // newest first: {key, at, title, text, address}
  let ringing = null;
  const bar = el("div", { class: "alarm-bar", role: "alert", hidden: true });
  const switches = new Set();
  const small = matchMedia(SMALL);

  function raise(found) {
    const seen = Number(localStorage.getItem(SEEN)) || 0;
    const known = new Set(waiting.map((one) => one.key));
    const fresh = found.filter((one) => one.at > seen && !known.has(one.key));
    if (!fresh.length) return;
    waiting = [...fresh, ...waiting].sort((one, other) => other.at - one.at);
    draw();
    ring();
  }

  function seenAll() {
    const newest = Math.max(Number(localStorage.getItem(SEEN)) || 0, ...waiting.map((one) => one.at));
    localStorage.setItem(SEEN, String(newest));
    waiting = [];
    draw();
    hush();
    document.getElementById("main")?.focus();
  }

  function draw() {
    const most = small.matches ? 1 : MOST;
    bar.hidden = !waiting.length;
    document.documentElement.classList.toggle("has-alarm", waiting.length > 0);
    put(
      bar,
      waiting.length > 0 && [
        el(
          "ul",
          {},
          waiting.slice(0, most).map((one) =>
            el(
              "li",
              {},
              icon(one.symbol),
              el(
                "div",
                {},
                el("p", { class: "alarm-title" }, one.title),
                el("p", {}, `${one.text} · ${time(one.at, "time")}`),
              ),
              one.address && el("a", { class: "button", href: one.address }, t("alarm.look")),
            ),
          ),
        ),
        el(
          "div",
          { class: "actions" },
          waiting.length > most && el("p", {}, t("alarm.more", { n: waiting.length - most })),
          soundSwitch(),
          el("button", { type: "button", class: "button alarm-seen", onclick: seenAll }, icon("check"), t("alarm.seen")),
        ),
      ],
    );
  }

  // ---- sound

  const isAllowed = () => localStorage.getItem(SOUND) === "1";

  function ring() {
    hush();
    if (!isAllowed()) return;
    sound(NOTES, LOUDNESS);
    ringing = setInterval(() => sound(NOTES, LOUDNESS), AGAIN_MS);
  }

  function hush() {
    clearInterval(ringing);
    ringing = null;
  }

  function turn() {
    if (isAllowed()) {
      localStorage.removeItem(SOUND);
      hush();
    } else {
      localStorage.setItem(SOUND, "1");
      if (wake()) sound(NOTES.slice(0, 1), LOUDNESS); // so that the operator knows how loud it is
      if (waiting.length) ring();
    }
    for (const one of switches) one.isConnected ? label(one) : switches.delete(one);
  }

  function soundSwitch() {
    const made = el("button", { type: "button", class: "button quiet alarm-sound", onclick: turn });
    switches.add(made);
    label(made);
    return made;
  }

  function label(made) {
    made.setAttribute("aria-pressed", String(isAllowed()));
    put(made, icon(isAllowed() ? "bell" : "bell-off"), t(isAllowed() ? "alarm.sound_on" : "alarm.sound_off"));
  }

  // A browser grants sound only after something was pressed on this page.
  const first = () => isAllowed() && !isAwake() && wake();
  document.addEventListener("pointerdown", first);
  small.addEventListener("change", draw);

  return {
    bar,
    draw, // anew, in another language
    soundSwitch,
    decision: (news) => news.is_alarm && raise([ofDecision(news)]),
    door: (news) => DOOR.has(news.what) && raise([ofDoor(news.what, news.at)]),
    /** Fetch what came while this page did not listen. */
    async catchUp() {
      const seen = Number(localStorage.getItem(SEEN)) || 0;
      const since = new Date(Math.max(seen * 1000 + 1, Date.now() - LONGEST_S * 1000)).toISOString();
      const query = { why: BLOCKED, date_from: since, limit: 20 };
      try {
        const { decisions } = await call("GET", "/device/decisions", { query });
        raise(decisions.filter(isBlocked).map((one) => ofDecision({ ...one, at: moment(one.at).getTime() / 1000 })));
      } catch (error) {
        if (error.status === undefined) throw error; // else the view itself says what is wrong
      }
    },
    close() {
      hush();
      document.removeEventListener("pointerdown", first);
      small.removeEventListener("change", draw);
      document.documentElement.classList.remove("has-alarm");
    },
  };
}

function ofDecision(news) {
  const who = news.name ?? (news.session_number ? t("person.number", { number: String(news.session_number) }) : null);
  return {
    key: news.request_id,
    at: news.at,
    symbol: "block",
    title: who ? t("alarm.blocked", { who }) : t("alarm.blocked_unknown"),
    text: named("kind", news.kind),
    address: `#/decisions/${encodeURIComponent(news.request_id)}`,
  };
}

function ofDoor(what, at) {
  return { key: `${what} ${at}`, at, symbol: "door", title: t(`alarm.${what}`), text: t("alarm.at_door"), address: "#/live" };
}
