/**
 * What the screen asks so that a person is told from a picture: an arrow or a mouth with a bar that follows the head,
 * or full-screen colours. Which cue failed is never told here.
 */

import { call } from "../common/api.js";
import { el, icon, put } from "../common/dom.js";
import { t } from "../common/words.js";

const FIRST_COLOUR_MS = 100; // as the device expects the first; it is told the true moment
const SIGNS = { turn_left: "turn_left", turn_right: "turn_right", mouth: "mouth", flash: "screen" };

/** Return which words and sign a challenge has: "turn_left", "turn_right", "mouth" or "flash". */
export function nameOf(asked) {
  return asked.side ? `${asked.kind}_${asked.side}` : asked.kind;
}

export function signOf(asked) {
  return SIGNS[nameOf(asked)];
}

/** Return {over, colours, draw(asked)}: `over` lies on the picture, `colours` on the whole screen. */
export function challenge() {
  const sign = el("div", { class: "challenge-sign", "aria-hidden": "true" });
  const fill = el("div", { class: "challenge-fill" });
  const bar = el("div", { class: "challenge-bar", role: "progressbar", "aria-valuemin": 0, "aria-valuemax": 100 }, fill);
  const over = el("div", { class: "challenge", hidden: true }, sign, bar);
  const caption = el("p", { class: "colours-word" });
  const colours = el("div", { class: "colours", hidden: true, role: "presentation" }, caption);
  let playing = null; // the attempt whose colours are shown
  let timers = [];

  function draw(asked) {
    const isMovement = Boolean(asked) && asked.kind !== "flash";
    over.hidden = !isMovement;
    if (isMovement) {
      const name = nameOf(asked);
      if (over.dataset.name !== name) {
        over.dataset.name = name;
        put(sign, icon(SIGNS[name]));
      }
      over.dataset.wrong = String(asked.is_wrong_way);
      const percent = Math.round(asked.progress * 100);
      fill.style.setProperty("--share", String(asked.progress));
      bar.setAttribute("aria-valuenow", String(percent));
      bar.setAttribute("aria-label", t(`challenge.${name}`));
    }
    if (asked?.kind === "flash") {
      if (playing !== asked.attempt) show(asked);
    } else if (playing !== null) {
      end();
    }
  }

  function show(asked) {
    end();
    playing = asked.attempt;
    caption.textContent = t("challenge.flash");
    asked.colours.forEach((colour, place) => {
      timers.push(setTimeout(() => paint(asked, colour, place), FIRST_COLOUR_MS + place * asked.each_s * 1000));
    });
    timers.push(setTimeout(hide, FIRST_COLOUR_MS + asked.colours.length * asked.each_s * 1000));
  }

  function paint(asked, colour, place) {
    colours.hidden = false;
    colours.style.setProperty("--colour", colour);
    if (place === 0) requestAnimationFrame(() => tell(asked.attempt));
  }

  async function tell(attempt) {
    try {
      await call("POST", "/device/screen/colours", { json: { attempt } });
    } catch (error) {
      if (error.status === undefined) throw error; // else the device goes by the moment it asked
    }
  }

  function hide() {
    colours.hidden = true;
  }

  function end() {
    for (const timer of timers) clearTimeout(timer);
    timers = [];
    playing = null;
    hide();
  }

  return { over, colours, draw };
}
