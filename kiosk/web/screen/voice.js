/**
 * Challenges said aloud, where the device wants it: by the browser's own voice or by an audio file of each language.
 * Each is said once, as it is asked, and ends with it.
 */

import { current, t } from "../common/words.js";
import { nameOf } from "./challenge.js";

const SPOKEN = { en: "en-GB", de: "de-DE" };

/**
 * Return {follow(asked, how), ask(text, how)}: `asked` is the challenge of now or null, `text` what is asked beside the
 * face, `how` is "off", "speech" or "files"; a text is spoken by the browser either way, as no file has it.
 */
export function voice() {
  let said = null; // what was said last of the challenge of now
  let sound = null;

  function follow(asked, how) {
    const name = asked && (asked.is_wrong_way ? "wrong_way" : nameOf(asked));
    const key = asked ? `${asked.attempt} ${name}` : null;
    if (key === said) return;
    said = key;
    end();
    if (name && how === "speech") speak(t(`challenge.${name}`));
    else if (name && how === "files") play(name);
  }

  let asked = null; // what was asked last beside the face

  function ask(text, how) {
    if (text === asked) return;
    asked = text;
    if (text && how !== "off") speak(text);
  }

  function speak(text) {
    if (!window.speechSynthesis) return;
    const words = new SpeechSynthesisUtterance(text);
    words.lang = SPOKEN[current()];
    speechSynthesis.speak(words);
  }

  function play(name) {
    sound = new Audio(`/device/screen/spoken/${current()}/${name}`);
    sound.play().catch(() => {}); // ended by what is asked next, not there, or a browser that wants a touch first
  }

  function end() {
    window.speechSynthesis?.cancel();
    sound?.pause();
    sound = null;
  }

  return { ask, follow };
}
