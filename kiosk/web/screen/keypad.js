/**
 * A keypad for a PIN, and the word to hold a card to the reader. Digits stay in this page until they are sent, are never
 * shown, and every digit sounds alike: whoever listens counts them at most.
 */

import { call } from "../common/api.js";
import { el, icon, put } from "../common/dom.js";
import { t } from "../common/words.js";
import { play } from "./sound.js";

const LONGEST = 12;
const KEYS = ["1", "2", "3", "4", "5", "6", "7", "8", "9", "clear", "0", "enter"];

/** Return {element, draw(factor)}: `factor` is what the news say is asked for, or null. */
export function keypad() {
  let digits = "";
  let asked = null;
  let isSending = false;

  const dots = el("p", { class: "dots", "aria-hidden": "true" });
  const count = el("p", { class: "unseen", role: "status" });
  const word = el("p", { class: "word" });
  const more = el("p", { class: "more", role: "alert" });
  const sign = el("div", { class: "sign", "aria-hidden": "true" });
  const keys = el(
    "div",
    { class: "keys", role: "group", "aria-label": t("keypad.label") },
    KEYS.map((key) => {
      const act = key === "clear" || key === "enter";
      return el(
        "button",
        {
          type: "button",
          class: key === "enter" ? "key primary" : "key",
          "data-key": key,
          ...(act ? { "aria-label": t(`keypad.${key}`) } : {}),
          onclick: () => press(key),
        },
        act ? icon(key === "enter" ? "check" : "cross") : key,
      );
    }),
  );
  const element = el("section", { class: "keypad", "aria-label": t("keypad.title") }, el("div", { class: "keypad-said" }, sign, el("div", { role: "status" }, word), dots, count, more), keys);
  addEventListener("keydown", typed);

  function typed(event) {
    if (!element.isConnected) {
      removeEventListener("keydown", typed); // the page was built anew, in another language
      return;
    }
    if (asked?.wants !== "pin" || event.ctrlKey || event.altKey || event.metaKey) return;
    const key = /^[0-9]$/.test(event.key) ? event.key : { Backspace: "clear", Escape: "clear" }[event.key];
    const isButton = document.activeElement?.classList.contains("key");
    if (key) press(key);
    else if (event.key === "Enter" && !isButton) press("enter");
  }

  function press(key) {
    if (asked?.wants !== "pin" || isSending) return;
    if (key === "enter") {
      if (digits) send();
      return;
    }
    play(key === "clear" ? "key_clear" : "key");
    digits = key === "clear" ? "" : (digits + key).slice(0, LONGEST);
    drawDots();
  }

  async function send() {
    const entered = digits;
    digits = "";
    isSending = true;
    drawDots();
    try {
      await call("POST", "/device/screen/pin", { json: { digits: entered } });
    } catch (error) {
      if (error.status === undefined) throw error;
      if (error.status !== 409) more.textContent = error.message; // 409: nobody is asked any more, and the news say so
    } finally {
      isSending = false;
    }
  }

  function drawDots() {
    put(dots, Array.from(digits, () => el("span", { class: "dot" })));
    count.textContent = digits ? t("keypad.count", { count: digits.length }) : "";
  }

  /** Draw what is asked for; a new person, or another try, begins without digits. */
  function draw(factor) {
    const isNew = factor?.wants !== asked?.wants || factor?.wrong !== asked?.wrong;
    if (isNew) digits = "";
    if (isNew && factor?.wrong > 0) play("wrong");
    asked = factor;
    element.dataset.wants = factor?.wants ?? "";
    if (!isNew) return;
    drawDots();
    if (!factor) return;
    put(sign, icon(factor.wants === "pin" ? "lock" : "key"));
    word.textContent = t(`keypad.wants_${factor.wants}`);
    more.textContent = factor.wrong > 0 ? t(`keypad.wrong_${factor.wants}`, { left: factor.tries_left }) : "";
  }

  return { element, draw };
}
