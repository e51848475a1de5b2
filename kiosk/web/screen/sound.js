/** Short sounds for results; each kind differs in melody, not in loudness alone. */

import { sound } from "../common/tones.js";

const NOTES = {
  // [Hz, start s, length s]
  welcome: [
    [523, 0, 0.14],
    [784, 0.13, 0.28],
  ],
  enrolled: [
    [523, 0, 0.12],
    [659, 0.11, 0.12],
    [784, 0.22, 0.3],
  ],
  checked: [[659, 0, 0.2]],
  review: [
    [440, 0, 0.16],
    [440, 0.24, 0.16],
  ],
  key: [[880, 0, 0.05]],
  key_clear: [[440, 0, 0.08]],
  wrong: [
    [311, 0, 0.12],
    [311, 0.18, 0.12],
  ],
  declined: [
    [311, 0, 0.2],
    [208, 0.19, 0.36],
  ],
};
const LOUDNESS = 0.25;

/** Play the sound of a result. */
export function play(result) {
  const notes = NOTES[{ not_enrolled: "declined", unclear: "review", again: "review", not_opened: "review", full: "review", second: "review" }[result] ?? result];
  if (notes) sound(notes, LOUDNESS);
}
