/** The door: how it stands, and its release by an operator, which the log names. */

import { call } from "../../common/api.js";
import { el, icon, put } from "../../common/dom.js";
import { t } from "../../common/words.js";
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
  return {
    card: el("section", { class: "card stack door-card" }, el("h2", {}, t("door_state.title")), word, act),
    see(health) {
      const found = health.figures?.door;
      if (found) draw(found.state, found.is_unlocked);
      else put(word, el("span", { class: "soft" }, t("door_state.none")));
      act.hidden = !found;
    },
  };
}
