/** The door: how it stands, its release and its lockdown by an operator, which the log names. */

import { call } from "../../common/api.js";
import { el, icon, put } from "../../common/dom.js";
import { t, time } from "../../common/words.js";
import { doer } from "../decision-parts.js";
import { ask } from "../dialog.js";
import { say } from "../notice.js";

const LOOK = {
  closed: ["good", "check"],
  open: ["maybe", "door"],
  forced_open: ["bad", "alert"],
  door_open_too_long: ["bad", "alert"],
  unknown: ["plain", "info"],
};

/** Ask, then open the door once. */
export async function release(session) {
  const asked = await ask({
    title: t("door.open_title"),
    text: t("door.open_text", { name: session.name }),
    confirm: t("door.open"),
    act: () => call("POST", "/device/door/release"),
  });
  if (asked) say(t("door.opened"));
}

/** The button that does so. */
export function releaseButton(session) {
  return el("button", { type: "button", class: "button", onclick: () => release(session) }, icon("door"), t("door.open"));
}

/** Ask, then lock the door down; `hasFleet`: every door may be meant. */
async function lockDown(session, hasFleet) {
  const all = el("input", { type: "checkbox", name: "is_fleet_wide", value: "yes" });
  const asked = await ask({
    title: t("door.lockdown_title"),
    text: t("door.lockdown_text", { name: session.name }),
    content: el(
      "div",
      { class: "stack" },
      el("label", { class: "field" }, t("door.lockdown_reason"), el("input", { name: "reason", maxlength: 200 })),
      hasFleet && el("label", { class: "check" }, all, t("door.lockdown_fleet")),
    ),
    confirm: t("door.lockdown"),
    isDanger: true,
    act: ({ reason, is_fleet_wide }) =>
      call("POST", "/device/door/lockdown", { json: { reason: reason.trim(), is_fleet_wide: is_fleet_wide === "yes" } }),
  });
  if (asked) say(t("door.lockdown_done"));
}

/** Ask, then lift it. */
async function lift(session) {
  const asked = await ask({
    title: t("door.lift_title"),
    text: t("door.lift_text", { name: session.name }),
    confirm: t("door.lift"),
    act: () => call("DELETE", "/device/door/lockdown"),
  });
  if (asked) say(t("door.lift_done"));
}

const toldOf = ({ at, by, by_name, kiosk, reason }) => ({
  time: time(at),
  by: [doer(by, by_name), kiosk].filter(Boolean).join(", "),
  reason,
});

/** Return {element, see}: whether the door is locked down, who did it, and the button for or against it. */
function lockdown(session) {
  const place = el("div", { class: "stack door-lockdown" });
  let shown = "";

  return {
    element: place,
    async see(health) {
      const held = health.states.find((one) => one.condition === "lockdown");
      const now = `${held?.since} ${Boolean(health.figures?.fleet)}`;
      if (now === shown) return;
      shown = now;
      if (!held) {
        const act = () => lockDown(session, Boolean(health.figures?.fleet));
        put(place, el("button", { type: "button", class: "button danger", onclick: act }, icon("lock"), t("door.lockdown")));
        return;
      }
      const { acts } = await call("GET", "/device/door/lockdown");
      put(
        place,
        el("p", { class: "door-state bad", role: "status" }, icon("lock"), t("condition.lockdown")),
        acts.map((one) =>
          el("p", { class: "soft" }, t(one.reason ? "door.locked_down_why" : "door.locked_down", toldOf(one))),
        ),
        el("button", { type: "button", class: "button", onclick: () => lift(session) }, icon("check"), t("door.lift")),
      );
    },
  };
}

/** Return the door's card; `see` takes a new health, `hear` the door's news. */
export function door({ session }) {
  const word = el("p", { class: "door-word", role: "status" }, t("state.loading"));
  let shown = "";

  function draw(state, isUnlocked) {
    const now = `${state} ${isUnlocked}`;
    if (now === shown) return; // said again, a screen reader would repeat it
    shown = now;
    const [tone, symbol] = LOOK[state] ?? LOOK.unknown;
    put(
      word,
      el("span", { class: `door-state ${tone}` }, icon(symbol), t(`door_state.${state in LOOK ? state : "unknown"}`)),
      el("span", { class: "soft" }, t(isUnlocked ? "door_state.unlocked" : "door_state.locked")),
    );
  }

  const act = releaseButton(session);
  const lock = lockdown(session);
  return {
    card: el("section", { class: "card stack door-card" }, el("h2", {}, t("door_state.title")), word, act, lock.element),
    see(health) {
      lock.see(health);
      const found = health.figures?.door;
      if (found) draw(found.state, found.is_unlocked);
      else put(word, el("span", { class: "soft" }, t("door_state.none")));
      act.hidden = !found;
    },
  };
}
