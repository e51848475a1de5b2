/** Short sounds for results, from oscillators; each kind differs in melody, not in loudness alone. */

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
const EDGE_S = 0.015; // a tone that begins or ends at once clicks

let speaker = null;

/** Play the sound of a result. A browser that wants a touch first stays silent until it had one. */
export function play(result) {
  const notes = NOTES[{ not_enrolled: "declined", unclear: "review", again: "review", not_opened: "review", full: "review", second: "review" }[result] ?? result];
  if (!notes || !window.AudioContext) return;
  speaker ??= new AudioContext();
  if (speaker.state === "suspended") speaker.resume();
  for (const [pitch, start, length] of notes) {
    const from = speaker.currentTime + start;
    const tone = speaker.createOscillator();
    const level = speaker.createGain();
    tone.type = "triangle";
    tone.frequency.value = pitch;
    level.gain.setValueAtTime(0, from);
    level.gain.linearRampToValueAtTime(LOUDNESS, from + EDGE_S);
    level.gain.setValueAtTime(LOUDNESS, from + length - EDGE_S);
    level.gain.linearRampToValueAtTime(0, from + length);
    tone.connect(level).connect(speaker.destination);
    tone.start(from);
    tone.stop(from + length);
  }
}
