/** What happens now: the camera with its faces, the door, and the newest events beside it. */

import { call } from "../../common/api.js";
import { el, put } from "../../common/dom.js";
import { t } from "../../common/words.js";
import { states } from "../health.js";
import { load, loading } from "../notice.js";
import { camera } from "./camera.js";
import { door } from "./door.js";
import { strip } from "./strip.js";

const PICTURE_MS = 500;
const REFRESH_MS = 15_000; // of what no news tell

export async function live(place, { on, every, atEnd, session, alarms }) {
  const standing = el("section", { class: "banner-place", "aria-label": t("today.standing") });
  const watched = camera({ atEnd, every, session, everyMs: PICTURE_MS });
  const lock = door({ session });
  const events = strip();
  put(events.element, el("li", {}, loading(6)));
  put(
    place,
    el("div", { class: "head" }, el("h1", {}, t("live.title")), alarms.soundSwitch()),
    standing,
    el(
      "div",
      { class: "live" },
      watched.card,
      el(
        "div",
        { class: "stack" },
        lock.card,
        el("section", { class: "card strip-card" }, el("h2", {}, t("live.strip")), events.element),
      ),
    ),
  );

  const drawHealth = () =>
    load(
      standing,
      () => call("GET", "/device/health"),
      (health) => {
        watched.see(health);
        lock.see(health);
        return states(health);
      },
      1,
    );

  every("decision", events.decision);
  every("door", (news) => {
    events.door(news);
    drawHealth();
  });
  on("health", drawHealth);
  const timer = setInterval(() => document.hidden || drawHealth(), REFRESH_MS);
  atEnd(() => clearInterval(timer));
  await Promise.all([drawHealth(), events.load()]);
}
