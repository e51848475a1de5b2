/** A guard's telephone: what just happened, who waits, one button that lets one person in, and who is inside. */

import { call } from "../../common/api.js";
import { el, icon, put } from "../../common/dom.js";
import { t } from "../../common/words.js";
import { states } from "../health.js";
import { load, loading } from "../notice.js";
import { release } from "./door.js";
import { AT_DOOR } from "./faces.js";
import { strip } from "./strip.js";

const REFRESH_MS = 15_000; // of what no news tell
const WAITS_MS = 60_000; // for which somebody who was sent to staff is thought to stand there

export async function guard(place, { on, every, atEnd, session }) {
  const standing = el("section", { class: "banner-place", "aria-label": t("today.standing") });
  const waits = el("p", { class: "guard-waits", role: "status", hidden: true });
  const events = strip();
  const inside = el("div", { class: "guard-inside" });
  let timer = null;
  put(events.element, el("li", {}, loading(4)));
  put(
    place,
    el("div", { class: "guard" },
      el("h1", { class: "unseen" }, t("guard.title")),
      standing,
      waits,
      el(
        "button",
        { type: "button", class: "button primary guard-open", onclick: () => release(session) },
        icon("door"),
        t("guard.let_in"),
      ),
      inside,
      el("section", { class: "card strip-card" }, el("h2", {}, t("guard.passed")), events.element),
      el("a", { class: "button", href: "#/live" }, t("guard.wide")),
    ),
  );

  const drawHealth = () => load(standing, () => call("GET", "/device/health"), (health) => states(health), 1);
  const drawInside = () =>
    load(
      inside,
      () => call("GET", "/device/passages/inside"),
      ({ people }) => [
        el("span", {}, icon("people"), " ", t("guard.inside", { count: people.length })),
        el("a", { class: "button", href: "#/people/inside" }, t("guard.roll_call")),
      ],
      1,
    );

  function tell(words) {
    clearTimeout(timer);
    waits.hidden = !words;
    put(waits, words ? [icon("alert"), words] : []);
    if (words) timer = setTimeout(() => tell(""), WAITS_MS);
  }

  every("decision", (news) => {
    events.decision(news);
    if (news.status === "In Review" && AT_DOOR.has(news.kind)) tell(t("guard.waits"));
    drawInside();
  });
  every("door", (news) => {
    events.door(news);
    if (news.what === "pass_waits" && news.why === "staff") tell(t("guard.waits_pass"));
    if (news.what === "relay_on" || news.what === "opened") tell("");
    drawHealth();
  });
  on("health", drawHealth);
  const refresh = setInterval(() => document.hidden || drawHealth(), REFRESH_MS);
  atEnd(() => {
    clearInterval(refresh);
    clearTimeout(timer);
  });
  await Promise.all([drawHealth(), drawInside(), events.load()]);
}
