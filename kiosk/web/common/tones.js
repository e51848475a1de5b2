/** Notes from oscillators: no file to load, and a browser that wants a touch first stays silent until it had one. */

const EDGE_S = 0.015; // a tone that begins or ends at once clicks

let speaker = null;

/** Play notes, each [pitch Hz, start s, length s], at a loudness from 0 to 1. */
export function sound(notes, loudness) {
  if (!wake()) return;
  for (const [pitch, start, length] of notes) {
    const from = speaker.currentTime + start;
    const tone = speaker.createOscillator();
    const level = speaker.createGain();
    tone.type = "triangle";
    tone.frequency.value = pitch;
    level.gain.setValueAtTime(0, from);
    level.gain.linearRampToValueAtTime(loudness, from + EDGE_S);
    level.gain.setValueAtTime(loudness, from + length - EDGE_S);
    level.gain.linearRampToValueAtTime(0, from + length);
    tone.connect(level).connect(speaker.destination);
    tone.start(from);
    tone.stop(from + length);
  }
}

/** Ask the browser for sound; false where it has none. Called while something is being pressed, it is granted. */
export function wake() {
  if (!window.AudioContext) return false;
  speaker ??= new AudioContext();
  if (speaker.state === "suspended") speaker.resume();
  return true;
}

/** Whether a tone of now would be heard. */
export function isAwake() {
  return speaker?.state === "running";
}
