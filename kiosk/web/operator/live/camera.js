/** The camera's picture while somebody looks, with the faces the device found in it; it is never kept. */

import { call } from "../../common/api.js";
import { coded, el, icon, put } from "../../common/dom.js";
import { t } from "../../common/words.js";
import { faces } from "./faces.js";
import { regions } from "./regions.js";

const EVERY_MS = 2_000;
const FACES = "X-Kiosk-Faces"; // the places of the very picture that comes with it

/**
 * Return the card with the picture (`card`), and `see`, which takes a new health.
 *
 * `foot` stands below the picture; `everyMs` is the least time between two pictures; `on` and `every` of the view
 * bring the news by which the judged face is named.
 */
export function camera({ atEnd, every, foot, session, everyMs = EVERY_MS }) {
  let isOn = session.has_door; // else no camera is served here, and none will be
  let url = null;
  let timer = null;
  const picture = el("img", { class: "camera-picture", alt: t("camera.alt"), onload: fit });
  const seen = faces();
  const over = regions({ session });
  const view = el("div", { class: "camera-view", hidden: true }, picture, seen.layer, over.layer);
  const word = el("p", { class: "camera-word" }, t("camera.waiting"));
  const toggle = el("button", { type: "button", class: "button quiet", onclick: turn });

  function turn() {
    isOn = !isOn;
    draw();
    if (isOn) look();
    else drop();
  }

  function draw() {
    put(toggle, icon(isOn ? "pause" : "play"), t(isOn ? "camera.pause" : "camera.show"));
    if (!isOn) word.textContent = t("camera.paused");
  }

  /** Make the layers over the picture just as large as the picture. */
  function fit() {
    view.style.setProperty("aspect-ratio", `${picture.naturalWidth} / ${picture.naturalHeight}`);
    view.classList.toggle("is-tall", picture.naturalWidth * 3 < picture.naturalHeight * 4);
  }

  function drop() {
    clearTimeout(timer);
    view.hidden = true;
    seen.see([]);
    picture.removeAttribute("src");
    word.hidden = false;
    if (url) URL.revokeObjectURL(url);
    url = null;
  }

  // One after the other: a slow line gets fewer pictures, never a queue of old ones.
  async function look() {
    clearTimeout(timer);
    if (!document.hidden) await fetchOne();
    if (isOn) timer = setTimeout(look, everyMs);
  }

  async function fetchOne() {
    try {
      const answer = await call("GET", "/device/camera/still.jpg", { as: "response" });
      const next = URL.createObjectURL(await answer.blob());
      if (!isOn || !picture.isConnected) {
        URL.revokeObjectURL(next);
        return;
      }
      picture.src = next;
      seen.see(JSON.parse(answer.headers.get(FACES) ?? "[]"));
      if (url) URL.revokeObjectURL(url);
      url = next;
      view.hidden = false;
      word.hidden = true;
    } catch (error) {
      if (error.status === undefined) throw error;
      drop();
      word.textContent = error.status === 503 ? t("camera.none") : error.message;
    }
  }

  every("decision", seen.decision);
  every("screen", seen.screen);
  draw();
  if (isOn) look();
  else {
    put(word, coded(t("camera.not_here")));
    toggle.hidden = true;
    if (foot) foot.hidden = true;
    over.panel.hidden = true;
  }
  atEnd(() => {
    isOn = false;
    drop();
  });
  const card = el(
    "section",
    { class: "card camera" },
    el("div", { class: "card-head" }, el("h2", {}, t("camera.title")), toggle),
    el("div", { class: "camera-frame" }, view, word),
    over.panel,
    foot,
  );
  return { card, see: over.see };
}
