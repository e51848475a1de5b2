/** The operator's page: who is signed in, where they are, and the news that come in meanwhile. */

import { call, carry } from "../common/api.js";
import { el, icon, put } from "../common/dom.js";
import { problem, say } from "./notice.js";
import { help, shortcuts } from "./shortcuts.js";
import { signIn } from "./sign-in.js";
import { listen } from "../common/stream.js";
import { LANGUAGES, current, preferred, setZone, speak, t } from "../common/words.js";
import { acceptance } from "./acceptance.js";
import { audit } from "./audit.js";
import { cloud } from "./cloud.js";
import { decision } from "./decisions/decision.js";
import { decisions } from "./decisions/decisions.js";
import { enrol } from "./people/enrol.js";
import { finder } from "./people/find.js";
import { fleet } from "./fleet.js";
import { groups } from "./people/groups.js";
import { importing } from "./people/importing.js";
import { inside } from "./inside.js";
import { keys } from "./keys.js";
import { alarms as alarmsOf } from "./live/alarm.js";
import { guard } from "./live/guard.js";
import { live } from "./live/live.js";
import { pairs } from "./reviews/pairs.js";
import { operators } from "./operators/operators.js";
import { passes } from "./people/passes.js";
import { people } from "./people/people.js";
import { person } from "./people/person.js";
import { reviews } from "./reviews/reviews.js";
import { settings } from "./settings/settings.js";
import { claim, codeOfAddress } from "./setup/claim.js";
import { setup } from "./setup/wizard.js";
import { today } from "./today.js";

// address, view, words of its title, section of the menu
const ROUTES = [
  [/^today$/, today, "today", "today"],
  [/^live$/, live, "live", "live"],
  [/^guard$/, guard, "guard", "guard"],
  [/^decisions$/, decisions, "decisions", "decisions"],
  [/^decisions\/([^/]+)$/, decision, "decision", "decisions"],
  [/^reviews$/, reviews, "reviews", "reviews"],
  [/^people$/, people, "people", "people"],
  [/^people\/new$/, enrol, "enrol", "people"],
  [/^people\/import$/, importing, "import", "people"],
  [/^people\/passes$/, passes, "passes", "people"],
  [/^people\/inside$/, inside, "inside", "people"],
  [/^people\/groups$/, groups, "groups", "people"],
  [/^people\/(\d+)$/, person, "person", "people"],
  [/^audit$/, audit, "audit", "audit"],
  [/^cloud$/, cloud, "cloud", "cloud"],
  [/^fleet$/, fleet, "fleet", "fleet"],
  [/^fleet\/pairs$/, pairs, "pairs", "fleet"],
  [/^settings$/, settings, "settings", "settings"],
  [/^keys$/, keys, "keys", "keys"],
  [/^operators$/, operators, "operators", "operators"],
  [/^acceptance$/, acceptance, "acceptance", "acceptance"],
  [/^setup$/, setup, "setup", null],
];
const MENU = [
  ["today", "today"],
  ["live", "live"],
  ["guard", "shield"],
  ["decisions", "list"],
  ["reviews", "review"],
  ["people", "people"],
  ["audit", "alike"],
  ["cloud", "cloud"],
  ["fleet", "fleet"],
  ["settings", "settings"],
  ["keys", "key"],
  ["operators", "lock"],
  ["acceptance", "shield"],
];
const ADMIN_ONLY = new Set(["keys"]);
const CALM_MS = 2_000;
const NEWS_MS = 2_000;
const SETTLING_MS = 1_000; // that a view may take before it is shown unfinished; until then nothing of it jumps about
const KEPT = "kiosk.signed_in"; // that this browser has a session, which its scripts cannot see; spares asking in vain

let session = null;
let line = null; // the event stream
let leave = []; // what ends the view of now
let listeners = new Map(); // topic -> functions of the view of now
let alarms = null; // over all views
let standing = "open"; // of the stream
let waiting = null; // decisions that wait for a review; null while nobody knows

async function start() {
  await speak(preferred());
  window.addEventListener("hashchange", () => {
    openMenu(false);
    show();
  });
  document.addEventListener("keydown", (event) => event.key === "Escape" && openMenu(false));
  shortcuts(() => session !== null);
  window.addEventListener("signed-out", () => session && signedOut());
  window.addEventListener("unhandledrejection", (event) => {
    if (event.reason?.status !== undefined) {
      event.preventDefault();
      say(event.reason.message, "bad");
    }
  });
  const code = codeOfAddress();
  if (code || !localStorage.getItem(KEPT)) {
    await welcome(code);
    return;
  }
  try {
    await signedIn(await call("GET", "/device/session"));
  } catch (error) {
    if (error.status === 401) signedOut();
    else
      put(
        document.body,
        el(
          "main",
          { class: "alone" },
          problem(error, () => location.reload()),
        ),
      );
  }
}

async function signedIn(found) {
  session = found;
  localStorage.setItem(KEPT, "1");
  carry(session);
  await speak(preferred(session.language));
  setZone(session.time_zone);
  alarms?.close();
  alarms = alarmsOf();
  frame();
  line?.close();
  // First the news, then the view: what happens between is told instead of missed.
  await new Promise((resolve) => {
    const late = setTimeout(() => {
      tell("lost"); // something between holds them back: once they come, what happened until then is fetched
      resolve();
    }, NEWS_MS);
    const first = (state) => {
      clearTimeout(late);
      tell(state);
      resolve();
    };
    if (session.has_door) line = listen("/device/events", { hear, tell: first });
    else first("none"); // the API alone has no news
  });
  alarms.catchUp();
  await show();
}

// Whoever comes without a session signs in; where nobody owns the kiosk yet, its first operator is made.
async function welcome(code) {
  let state = null;
  try {
    state = await call("GET", "/device/setup");
  } catch (error) {
    if (error.status === undefined) throw error; // else the sign-in says what is wrong, once it is tried
  }
  if (!state?.is_unclaimed) {
    signedOut();
    return;
  }
  const draw = () => {
    const done = (found) => {
      location.hash = "#/setup";
      return signedIn(found);
    };
    put(document.body, claim({ state, code, done, language: languageSwitch(draw) }));
    document.title = t("title", { page: t("setup.first_title") });
  };
  draw();
}

function signedOut() {
  session = null;
  localStorage.removeItem(KEPT);
  carry(null);
  line?.close();
  alarms?.close();
  alarms = null;
  end();
  openMenu(false);
  put(document.body, signIn({ done: signedIn, language: languageSwitch(signedOut) }));
  document.title = t("title", { page: t("sign_in.title") });
}

function hear(topic, data) {
  if (topic === "decision" && (data.status === "In Review" || data.kind === "REVIEW")) countReviews();
  alarms?.[topic]?.(data);
  for (const tellView of listeners.get(topic) ?? []) tellView(data);
}

function tell(state) {
  if (state === "none") {
    standing = state;
    showStanding();
    return;
  }
  if (state === "refused") {
    // Signed out elsewhere, or the session ran out: ask, so that a 401 leads to the sign-in.
    call("GET", "/device/session").catch((error) => error.status === 401 && session && signedOut());
    return;
  }
  const isBack = standing === "lost" && state === "open";
  standing = state;
  showStanding();
  if (!isBack) return;
  alarms?.catchUp();
  show(); // what happened meanwhile is fetched anew
}

function showStanding() {
  const place = document.getElementById("standing");
  if (!place) return;
  place.className = `standing ${standing}`;
  place.hidden = standing === "none";
  put(
    place,
    icon(standing === "open" ? "check" : "offline"),
    el("span", {}, t(standing === "open" ? "standing.live" : "standing.lost")),
  );
}

async function countReviews() {
  try {
    waiting = (await call("GET", "/device/reviews", { query: { limit: 1 } })).total;
  } catch {
    waiting = null; // the menu merely shows no number; the view itself says what is wrong
  }
  const badge = document.getElementById("review-count");
  if (!badge) return;
  badge.hidden = !waiting;
  put(
    badge,
    el("span", { "aria-hidden": "true" }, String(waiting)),
    el("span", { class: "unseen" }, t("menu.waiting", { n: waiting ?? 0 })),
  );
}

function frame() {
  const toggle = el(
    "button",
    {
      type: "button",
      class: "menu-toggle",
      "aria-expanded": "false",
      "aria-controls": "menu",
      onclick: () => openMenu(),
    },
    icon("menu"),
    el("span", { class: "unseen" }, t("menu.open")),
  );
  alarms.draw();
  const items = MENU.filter(
    ([name]) => (session.role === "admin" || !ADMIN_ONLY.has(name)) && (session.has_fleet || name !== "fleet"),
  );
  put(
    document.body,
    el("a", { class: "skip", href: "#main", onclick: skip }, t("menu.skip")),
    el(
      "header",
      { class: "top" },
      toggle,
      el(
        "a",
        { class: "brand", href: "#/today" },
        el("img", { src: "/web/common/icon.svg", alt: "", width: 28, height: 28 }),
        el("span", {}, t("brand")),
      ),
      finder(),
      el("p", { id: "standing", class: "standing", role: "status" }),
    ),
    el(
      "nav",
      { id: "menu", class: "menu", "aria-label": t("menu.label") },
      el(
        "ul",
        {},
        items.map(([name, symbol]) =>
          el(
            "li",
            {},
            el(
              "a",
              { href: `#/${name}`, "data-section": name },
              icon(symbol),
              el("span", {}, t(`menu.${name}`)),
              name === "reviews" && el("span", { id: "review-count", class: "count", hidden: true }),
            ),
          ),
        ),
      ),
      el(
        "div",
        { class: "menu-foot" },
        languageSwitch(async () => {
          frame();
          await show();
        }),
        el(
          "a",
          { class: "menu-link", href: "/kiosk", target: "_blank", rel: "noopener" },
          icon("screen"),
          t("menu.screen"),
        ),
        el(
          "button",
          { type: "button", class: "menu-link menu-keys", onclick: help },
          el("kbd", { "aria-hidden": "true" }, "?"),
          t("shortcut.title"),
        ),
        el(
          "div",
          { class: "who" },
          el("span", { class: "who-name" }, session.name),
          el("span", { class: "soft" }, t(`role.${session.role}`)),
          el(
            "button",
            { type: "button", class: "button quiet", onclick: signOut },
            icon("sign-out"),
            t("action.sign_out"),
          ),
        ),
      ),
    ),
    el("main", { id: "main", class: "main", tabindex: "-1" }, alarms.bar, el("div", { id: "page" })),
  );
  showStanding();
  countReviews();
}

function openMenu(open = !document.body.classList.contains("menu-open")) {
  document.querySelector(".menu-toggle")?.setAttribute("aria-expanded", String(open));
  document.body.classList.toggle("menu-open", open);
}

function skip(event) {
  event.preventDefault(); // the hash belongs to the views
  document.getElementById("main").focus();
}

async function signOut() {
  try {
    await call("DELETE", "/device/session");
  } catch (error) {
    if (error.status !== 401) {
      say(error.message, "bad");
      return;
    }
  }
  location.hash = "#/today";
  signedOut();
}

function languageSwitch(after) {
  const id = "language";
  const choice = el(
    "select",
    { id },
    Object.entries(LANGUAGES).map(([key, name]) =>
      el("option", { value: key, lang: key, selected: key === current() }, name),
    ),
  );
  choice.addEventListener("change", async () => {
    await speak(choice.value, { keep: true });
    await after();
    document.getElementById(id)?.focus();
  });
  return el(
    "div",
    { class: "language" },
    icon("language"),
    el("label", { for: id, class: "unseen" }, t("language.label")),
    choice,
  );
}

function end() {
  for (const stop of leave.splice(0)) stop();
  listeners = new Map();
}

async function show() {
  const page = document.getElementById("page");
  if (!session || !page) return;
  end();
  const [address, search] = location.hash.replace(/^#\//, "").split("?");
  const found = ROUTES.map(([pattern, ...rest]) => [pattern.exec(address || "today"), ...rest]).find(
    ([match]) => match,
  );
  const [match, view, title, section] = found ?? [[], missing, "missing", null];
  for (const link of document.querySelectorAll("[data-section]")) {
    if (link.dataset.section === section) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = t("title", { page: t(`${title}.title`) });
  const place = el("div", { class: `view view-${title} settling`, "aria-busy": "true" });
  const settle = () => {
    place.classList.remove("settling");
    place.removeAttribute("aria-busy");
  };
  const late = setTimeout(settle, SETTLING_MS);
  const isMoving = page.hasChildNodes(); // not on the first: the browser's own focus order counts then
  put(page, place);
  const context = {
    session,
    parameter: match[1] && decodeURIComponent(match[1]),
    query: new URLSearchParams(search ?? ""),
    alarms,
    on: (topic, tellView) => follow(topic, calm(tellView)),
    every: follow, // each piece of news, for what must miss none
    atEnd: (stop) => leave.push(stop),
    again: show,
    countReviews,
  };
  try {
    await view(place, context);
  } finally {
    clearTimeout(late);
    settle();
  }
  const heading = (matchMedia("(pointer: fine)").matches && place.querySelector("[data-first]")) || place.querySelector("h1");
  if (isMoving && heading && place.isConnected && !place.contains(document.activeElement)) {
    if (heading.tagName === "H1") heading.tabIndex = -1;
    heading.focus({ preventScroll: true });
    window.scrollTo(0, 0);
  }
}

function follow(topic, tellView) {
  listeners.set(topic, [...(listeners.get(topic) ?? []), tellView]);
}

// On a busy day news come faster than anybody reads: at once, then at most once in a while, and never none at the end.
function calm(tellView) {
  let timer = null;
  let next = null;
  leave.push(() => clearTimeout(timer));
  const pass = () => {
    timer = null;
    if (next === null) return;
    const data = next;
    next = null;
    timer = setTimeout(pass, CALM_MS);
    tellView(data);
  };
  return (data) => {
    next = data;
    if (timer === null) pass();
  };
}

function missing(place) {
  put(
    place,
    el("h1", {}, t("missing.title")),
    el("p", {}, t("missing.text")),
    el("a", { class: "button", href: "#/today" }, t("menu.today")),
  );
}

start();
