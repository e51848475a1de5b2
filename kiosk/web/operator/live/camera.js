/** The camera's picture, once in two seconds while somebody looks; it is never kept. */

import { call } from "../../common/api.js";
import { el, icon, put } from "../../common/dom.js";
import { regions } from "./regions.js";
import { t } from "../../common/words.js";

const EVERY_MS = 2_000;

/** Return the card with the picture (`card`), and `see`, which takes a new health; `release` opens the door. */
export function camera({ atEnd, release, session }) {
  let isOn = true;
  let url = null;
  const picture = el("img", { class: "camera-picture", alt: t("camera.alt"), onload: fit });
  const over = regions({ session });
  const view = el("div", { class: "camera-view", hidden: true }, picture, over.layer);
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

  /** Make the layer over the picture just as large as the picture. */
  function fit() {
    view.style.setProperty("aspect-ratio", `${picture.naturalWidth} / ${picture.naturalHeight}`);
    view.classList.toggle("is-tall", picture.naturalWidth * 3 < picture.naturalHeight * 4);
  }

  function drop() {
    view.hidden = true;
    picture.removeAttribute("src");
    word.hidden = false;
    if (url) URL.revokeObjectURL(url);
    url = null;
  }

  async function look() {
    try {
      const blob = await call("GET", "/device/camera/still.jpg", { as: "blob" });
      if (!isOn || !picture.isConnected) return;
      const next = URL.createObjectURL(blob);
      picture.src = next;
      if (url) URL.revokeObjectURL(url);
      url = next;
      view.hidden = false;
      word.hidden = true;
    } catch (error) {
      if (error.status === undefined) throw error;
      drop();
      if (error.status === 409) {
        isOn = false; // no camera is served here, and none will be
        toggle.hidden = true;
        door.hidden = true;
        over.panel.hidden = true;
      }
      word.textContent =
        error.status === 409 ? t("camera.not_here") : error.status === 503 ? t("camera.none") : error.message;
    }
  }

  const door = el(
    "div",
    { class: "actions" },
    el("button", { type: "button", class: "button", onclick: release }, icon("door"), t("door.open")),
  );
  draw();
  look();
  const timer = setInterval(() => isOn && !document.hidden && look(), EVERY_MS);
  atEnd(() => {
    clearInterval(timer);
    isOn = false;
    drop();
  });
  const card = el(
    "section",
    { class: "card camera" },
    el("div", { class: "card-head" }, el("h2", {}, t("camera.title")), toggle),
    el("div", { class: "camera-frame" }, view, word),
    over.panel,
    door,
  );
  return { card, see: over.see };
}
