/**
 * The kiosk's own screen: what a person in front of it sees. It shows what the news say and knows nobody: results
 * carry no name, and once nobody is there neither picture nor result stays.
 */

import { call } from "../common/api.js";
import { el, icon, put } from "../common/dom.js";
import { challenge, nameOf, signOf } from "./challenge.js";
import { enrolment } from "./enrolment.js";
import { keypad } from "./keypad.js";
import { ring } from "./ring.js";
import { play } from "./sound.js";
import { voice } from "./voice.js";
import { listen } from "../common/stream.js";
import { LANGUAGES, current, knows, named, preferred, setZone, speak, t, time } from "../common/words.js";

const RESULT_MS = 10_000; // a result nobody took back in this time is taken back here
const LANGUAGE_MS = 60_000; // a language one person chose is not the next one's
const ASK_MS = 3_000;
const SETUP_MS = 5_000;

const RESULTS = {
  welcome: ["good", "check"],
  enrolled: ["good", "check"],
  checked: ["good", "check"],
  review: ["maybe", "eye"],
  declined: ["bad", "cross"],
  not_enrolled: ["bad", "cross"],
  unclear: ["maybe", "again"],
  again: ["maybe", "again"],
  not_opened: ["maybe", "other_way"],
  full: ["maybe", "people"],
  second: ["maybe", "people"],
  pass_look: ["good", "face"],
};
const PASS = "pass_"; // begins what is said of a visitor pass that was refused
const IDLE = { state: "idle", guidance: null, result: null, other_way: false, held_s: 0, face: null, reasons: [], challenge: null, factor: null, is_locked_down: false };

let about = null; // what GET /device/screen says
let news = IDLE;
let heardAt = 0; // performance.now() of the news, for the countdown
let isLost = false;
let flow = null; // a guided enrolment under way
let parts = null;
const aloud = voice();
let resultTimer = null;
let languageTimer = null;

async function start() {
  await speak(preferred());
  build();
  await learn();
  setInterval(tick, 1000);
  addEventListener("resize", drawRing);
  parts.picture.addEventListener("load", drawRing);
}

async function learn() {
  try {
    about = await call("GET", "/device/screen");
  } catch (error) {
    if (error.status === undefined) throw error;
    isLost = true;
    parts.lost.textContent = error.status === 401 || error.status === 403 ? t("kiosk.refused") : t("kiosk.lost");
    draw();
    setTimeout(learn, ASK_MS);
    return;
  }
  setZone(about.time_zone);
  await choose(about.language);
  if (about.setup) setTimeout(learnSetup, SETUP_MS);
  listen("/device/screen/events", { hear, tell });
}

// A kiosk that nobody owns yet: a code may be asked for on the device, and somebody may have used it.
async function learnSetup() {
  try {
    about.setup = (await call("GET", "/device/screen")).setup;
  } catch (error) {
    if (error.status === undefined) throw error; // else the line says that it is lost
  }
  draw();
  if (about.setup) setTimeout(learnSetup, SETUP_MS);
}

async function choose(language, { isAsked = false } = {}) {
  if (language in LANGUAGES && language !== current()) {
    await speak(language);
    build();
  } else if (isAsked) parts.main.querySelector(".languages").open = false;
  clearTimeout(languageTimer);
  if (isAsked && language !== about?.language) languageTimer = setTimeout(giveBack, LANGUAGE_MS);
  draw();
}

function giveBack() {
  if (flow)
    languageTimer = setTimeout(giveBack, LANGUAGE_MS); // somebody is still reading
  else choose(about.language);
}

function hear(topic, data) {
  if (topic === "enrolment") {
    flow?.hear(data);
  } else if (topic === "screen") {
    const isNew = data.state === "result" && (news.state !== "result" || news.result !== data.result);
    news = { ...IDLE, ...data };
    heardAt = performance.now();
    if (about && data.mode && data.mode !== about.mode) about.mode = data.mode;
    clearTimeout(resultTimer);
    if (news.state === "result") resultTimer = setTimeout(forget, RESULT_MS);
    if (isNew) play(news.result);
    draw();
  }
}

function lookOf(result) {
  return RESULTS[result] ?? (result?.startsWith(PASS) ? ["bad", "key"] : ["plain", "info"]);
}

function forget() {
  news = { ...IDLE, mode: news.mode, is_locked_down: news.is_locked_down };
  draw();
}

function tell(state) {
  isLost = state !== "open";
  parts.lost.textContent = state === "refused" ? t("kiosk.refused") : t("kiosk.lost");
  if (isLost) forget(); // a welcome of before says nothing about now
  if (isLost) flow?.lose();
  if (state === "refused") {
    isLost = true;
    setTimeout(learn, ASK_MS);
  }
  draw();
}

// ---- what is on the screen

function build() {
  const picture = parts?.picture ?? el("img", { class: "preview", alt: "" });
  parts = {
    picture,
    ring: ring(picture),
    challenge: challenge(),
    keypad: keypad(),
    clock: el("time", { class: "clock" }),
    day: el("p", { class: "day" }),
    invite: el("div", { class: "invite" }),
    privacy: el("p", { class: "privacy" }),
    sign: el("div", { class: "sign", "aria-hidden": "true" }),
    word: el("p", { class: "word" }),
    more: el("p", { class: "more" }),
    reasons: el("ul", { class: "reasons" }),
    other: el("p", { class: "other" }, icon("other_way"), el("span", {}, t("kiosk.other_way"))),
    cancel: el(
      "button",
      { type: "button", class: "touch", hidden: true, onclick: () => flow?.cancel() },
      icon("cross"),
      t("action.cancel"),
    ),
    lost: el("p", {}, t("kiosk.lost")),
    lockdown: el("p", { class: "lockdown", role: "alert", hidden: true }, icon("lock"), el("span", {}, t("kiosk.locked_down"))),
    form: parts?.form ?? el("section", { class: "flow", hidden: true }),
  };
  parts.main = el(
    "main",
    { class: "kiosk" },
    el("h1", { class: "unseen" }, t("kiosk.title")),
    parts.lockdown,
    el(
      "section",
      { class: "idle", "aria-label": t("kiosk.idle") },
      el("div", { class: "idle-time" }, parts.clock, parts.day),
      el("div", { class: "idle-sign", "aria-hidden": "true" }, icon("face")),
      parts.invite,
      el("div", { class: "notice" }, icon("camera"), parts.privacy),
    ),
    el(
      "section",
      { class: "live", "aria-label": t("kiosk.live") },
      el("div", { class: "view" }, picture, parts.ring.element, parts.challenge.over),
      el(
        "div",
        { class: "panel" },
        parts.sign,
        el("div", { role: "status" }, parts.word, parts.more),
        parts.reasons,
        parts.other,
        parts.cancel,
      ),
    ),
    parts.keypad.element,
    parts.form,
    parts.challenge.colours,
    el("div", { class: "lost", role: "alert" }, icon("offline"), parts.lost),
    el(
      "details",
      { class: "languages" },
      el("summary", {}, icon("language"), el("span", { class: "unseen" }, t("language.label")), LANGUAGES[current()]),
      el(
        "div",
        { role: "group", "aria-label": t("language.label") },
        Object.entries(LANGUAGES).map(([key, name]) =>
          el(
            "button",
            {
              type: "button",
              lang: key,
              "aria-pressed": String(key === current()),
              onclick: () => choose(key, { isAsked: true }),
            },
            name,
          ),
        ),
      ),
    ),
  );
  put(document.body, parts.main);
  document.title = t("kiosk.title");
  flow?.draw();
  draw();
}

function draw() {
  if (!parts) return;
  const isForm = flow !== null && flow.step !== "look";
  const wantsEnrolment = about?.mode === "enrol" && !flow && news.state !== "closed";
  const shown = isLost
    ? "lost"
    : isForm
      ? "form"
      : wantsEnrolment || about?.setup?.code
        ? "idle"
        : flow && news.state === "idle"
          ? "guide"
          : news.state;
  const [kind, symbol] = news.state === "result" ? lookOf(news.result) : [];
  parts.main.dataset.state = shown;
  parts.main.dataset.kind = shown === "result" ? kind : "";
  parts.form.hidden = shown !== "form";
  parts.lockdown.hidden = !news.is_locked_down || isLost;
  parts.other.hidden = !news.other_way || shown === "idle";
  parts.cancel.hidden = !flow || shown === "lost";
  const asked = shown === "guide" ? news.challenge : null;
  parts.challenge.draw(asked);
  aloud.follow(asked, about?.spoken);
  const factor = shown === "factor" ? news.factor : null;
  parts.keypad.draw(factor);
  aloud.ask(factor && t(`keypad.wants_${factor.wants}`), about?.spoken);
  watch(["guide", "busy", "result"].includes(shown));
  if (shown === "idle") drawIdle(wantsEnrolment);
  else say(shown, symbol);
  drawRing();
}

function drawIdle(wantsEnrolment) {
  const mode = about?.mode ?? "identify";
  if (about?.setup) {
    drawSetup(about.setup);
    return;
  }
  if (parts.invite.dataset.drawn !== `${mode} ${wantsEnrolment} ${current()}`) {
    parts.invite.dataset.drawn = `${mode} ${wantsEnrolment} ${current()}`;
    const canEnrol = wantsEnrolment && about.consent?.version;
    put(
      parts.invite,
      el("p", { class: "invite-word" }, t(wantsEnrolment && !canEnrol ? "kiosk.no_consent" : `kiosk.invite_${mode}`)),
      canEnrol &&
        el("button", { type: "button", class: "touch primary", onclick: begin }, icon("plus"), t("kiosk.enrol")),
    );
  }
  parts.privacy.textContent = about?.privacy || notice();
  tick();
}

// Instead of an invitation: nobody can be let in yet.
function drawSetup({ code, address, qr }) {
  const drawn = `setup ${code} ${current()}`;
  tick();
  if (parts.invite.dataset.drawn === drawn) return;
  parts.invite.dataset.drawn = drawn;
  const url = qr && URL.createObjectURL(new Blob([qr], { type: "image/svg+xml" }));
  put(
    parts.invite,
    el("p", { class: "invite-word" }, t("setup.first_title")),
    code
      ? el(
          "div",
          { class: "first-run" },
          el("img", { src: url, alt: t("kiosk.setup_qr"), onload: () => URL.revokeObjectURL(url) }),
          el("div", {}, el("p", {}, t("kiosk.setup_open", { address })), el("p", { class: "first-code" }, code)),
        )
      : el("p", {}, t("kiosk.setup_how")),
  );
  parts.privacy.textContent = about.privacy || notice();
}

function notice() {
  const kept = about?.keeps_probes ? (about.keeps_images ? "kept_probe" : "probe") : about?.keeps_images ? "kept" : "not_kept";
  const sentences = [t("kiosk.privacy"), t(`kiosk.privacy_${kept}`)];
  if (about?.leaves_device === "replay") sentences.push(t("kiosk.privacy_replay"));
  return sentences.join(" ");
}

function say(shown, symbol) {
  const name = {
    guide: news.guidance ?? "look",
    busy: news.guidance ?? "busy",
    result: news.result,
    locked: "locked",
    closed: "closed",
  }[shown];
  if (!name) return;
  if (shown === "guide" && news.challenge) {
    sayChallenge(news.challenge);
    return;
  }
  const sign = {
    guide: news.guidance ?? "face",
    busy: news.guidance ?? "wait",
    result: symbol,
    locked: "lock",
    closed: "block",
  }[shown];
  put(parts.sign, icon(sign));
  const word = named("screen", name);
  if (parts.word.textContent !== word) parts.word.textContent = word; // said aloud once, not with each frame's ring
  const key = `screen_more.${name}`;
  const more = shown === "locked" ? t("kiosk.wait", { time: left() }) : knows(key) ? t(key) : "";
  if (parts.more.textContent !== more) parts.more.textContent = more;
  put(parts.reasons, shown === "closed" ? (news.reasons ?? []).map((one) => el("li", {}, named("closed", one))) : []);
}

function sayChallenge(asked) {
  put(parts.sign, icon(signOf(asked)));
  const word = t(asked.is_wrong_way ? "challenge.wrong_way" : `challenge.${nameOf(asked)}`);
  if (parts.word.textContent !== word) parts.word.textContent = word;
  const step = asked.count > 1 ? `${t("challenge.step", { step: asked.number, of: asked.count })}. ` : "";
  const more = step + t(`challenge_more.${asked.kind}`);
  if (parts.more.textContent !== more) parts.more.textContent = more;
  put(parts.reasons);
}

function drawRing() {
  const look =
    news.state === "result"
      ? lookOf(news.result)[0]
      : news.state === "busy"
        ? "busy"
        : news.guidance === "hold_still" || news.guidance === "wait"
          ? "hold"
          : news.face
            ? "guide"
            : "seek";
  parts.ring.draw(look, news.face);
}

// The picture runs only while somebody is there; taken away, nothing of it stays in the page.
function watch(isOn) {
  const { picture } = parts;
  if (isOn && !picture.hasAttribute("src")) picture.src = `/device/screen/preview.mjpg?${Date.now()}`;
  else if (!isOn && picture.hasAttribute("src")) picture.removeAttribute("src");
}

function left() {
  const seconds = Math.max(0, Math.ceil(news.held_s - (performance.now() - heardAt) / 1000));
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}

function tick() {
  const now = Date.now() / 1000;
  parts.clock.textContent = time(now, "hour");
  parts.day.textContent = time(now, "weekday");
  if (news.state === "locked" && !isLost) parts.more.textContent = t("kiosk.wait", { time: left() });
}

// ---- enrolment

function begin() {
  flow = enrolment({
    place: parts.form,
    consent: about.consent,
    changed: draw,
    over: () => {
      flow = null;
      draw();
    },
  });
  draw();
}

start();
