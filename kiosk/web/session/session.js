/** A session's page: agree, photograph yourself and what is asked for, and see how it ended. */

import { call } from "/web/common/api.js";
import { el, icon, put } from "/web/common/dom.js";
import { LANGUAGES, current, knows, preferred, speak, t } from "/web/common/words.js";
import { openCamera, shoot } from "/web/session/camera.js";

const TOKEN = location.pathname.split("/").filter(Boolean)[1] ?? "";
const BASE = `/session/${encodeURIComponent(TOKEN)}`;
const IS_TELEPHONE = new URLSearchParams(location.search).has("continued");
const EVERY_MS = 2000;
const REDIRECT_MS = 2500;
const RESULTS = {
  Approved: ["good", "check"],
  "In Review": ["maybe", "clock"],
  Declined: ["bad", "cross"],
  Expired: ["bad", "clock"],
};

const main = el("main", { tabindex: "-1" });
const footer = el("footer");
let state = null; // as the device told it last
let shown = ""; // what of it is on the page
let camera = null;
let isBusy = false;
let acts = 0; // begun and ended; what was asked before one of them is old
let front = null; // of the document, while its back is asked for
let hasLeft = false;

/** Show what the device says is next; the same thing is not drawn again under the person's fingers. */
function show(next) {
  state = next;
  const view = front ? "back" : `${state.status} ${state.next} ${state.attempts_left}`;
  if (view === shown) return;
  shown = view;
  stopCamera();
  if (state.status === "Not Started") welcome();
  else if (state.next) picture(state.next);
  else ended();
  document.title = main.querySelector("h1")?.textContent ?? t("session.title");
  main.focus({ preventScroll: true });
}

function steps() {
  if (state.pictures.length < 2) return null;
  const now = state.pictures.indexOf(state.next);
  return el(
    "ol",
    { class: "steps" },
    state.pictures.map((one, place) =>
      el(
        "li",
        { class: place < now ? "done" : null, "aria-current": place === now ? "step" : null },
        t(`session.step_${one}`),
      ),
    ),
  );
}

function welcome() {
  const begin = el("button", { type: "button", class: "button primary" }, t("session.begin"));
  begin.addEventListener("click", () => act(begin, () => call("POST", `${BASE}/begin/`)));
  put(
    main,
    el("h1", {}, t("session.title")),
    el("p", {}, t("session.what")),
    el(
      "ul",
      {},
      state.pictures.map((one) => el("li", {}, `• ${t(`session.will_${one}`)}`)),
    ),
    el("p", { class: "soft" }, t(state.keeps_face ? "session.privacy_kept" : "session.privacy")),
    begin,
    handOver(),
  );
}

/** The address as a code, for a telephone that goes on; not on that telephone itself. */
function handOver() {
  if (IS_TELEPHONE) return null;
  return el(
    "div",
    { class: "code" },
    el("img", { src: `${BASE}/code.svg`, alt: t("session.code_alt"), width: 120, height: 120 }),
    el("p", { class: "soft" }, t("session.code")),
  );
}

function picture(kind) {
  const isBack = kind === "document" && front !== null;
  const name = isBack ? "back" : kind;
  const notice = state.reason && !isBack ? el("p", { class: "notice", role: "alert" }, reason(state.reason)) : null;
  const box = el("div", { class: `picture ${kind}`, hidden: true });
  const take = el(
    "button",
    { type: "button", class: "button primary", disabled: true },
    icon("camera"),
    t("session.take"),
  );
  const file = el("input", {
    type: "file",
    class: "unseen",
    accept: "image/jpeg,image/png,image/webp",
    capture: kind === "selfie" ? "user" : "environment",
  });
  const upload = el("label", { class: "button" }, file, t("session.choose"));
  const word = el("p", { class: "soft", role: "status" });
  const send = (blob) => sent(kind, blob, [take, file], word);
  take.addEventListener("click", async () => {
    take.disabled = true; // of a second tap the picture would be taken for the document's back
    const blob = await shoot(camera);
    take.disabled = false;
    send(blob);
  });
  file.addEventListener("change", () => file.files[0] && send(file.files[0]));
  const parts = [steps(), box, el("h1", {}, t(`session.ask_${name}`)), notice, el("p", {}, t(`session.how_${name}`))];
  put(main, parts, word, take, upload, isBack ? noBack(word) : null);
  openCamera(kind).then(
    (opened) => {
      if (!box.isConnected) return opened.stop();
      camera = opened;
      box.append(opened.video);
      box.hidden = false;
      take.disabled = false;
      return undefined;
    },
    () => {
      take.hidden = true;
      word.textContent = t("session.no_camera");
      const code = box.isConnected ? handOver() : null;
      if (code) main.append(code);
    },
  );
}

function noBack(word) {
  const skip = el("button", { type: "button", class: "button" }, t("session.no_back"));
  skip.addEventListener("click", () => sent("document", null, [skip], word));
  return skip;
}

function reason(risk) {
  return knows(`session_reason.${risk}`) ? t(`session_reason.${risk}`) : t("session_reason.other");
}

/** Send a photograph; of a document its front waits for its back. */
async function sent(kind, blob, buttons, word) {
  if (isBusy) return;
  if (kind === "document" && front === null) {
    front = blob;
    show(state);
    return;
  }
  const form = new FormData();
  if (kind === "selfie") form.append("user_image", blob, "selfie.jpg");
  else {
    form.append("front_image", front, "front.jpg");
    if (blob) form.append("back_image", blob, "back.jpg");
  }
  for (const one of buttons) one.disabled = true;
  word.textContent = t("session.judging");
  isBusy = true;
  acts += 1;
  try {
    const next = await call("POST", `${BASE}/${kind}/`, { form });
    acts += 1;
    front = null;
    shown = "";
    show(next);
  } catch (error) {
    front = null;
    await again(error);
  } finally {
    isBusy = false;
  }
}

async function act(button, work) {
  button.disabled = true;
  acts += 1;
  try {
    const next = await work();
    acts += 1;
    show(next);
  } catch (error) {
    await again(error);
  }
}

/** Ask the device what is next after something failed, and say what did. */
async function again(error) {
  acts += 1;
  shown = "";
  await look();
  const sentence = error.status === 400 ? t("session.no_picture") : error.message;
  if (state && main.isConnected && RESULTS[state.status] === undefined) {
    main.prepend(el("p", { class: "notice", role: "alert" }, sentence));
  }
}

function ended() {
  const [tone, sign] = RESULTS[state.status] ?? RESULTS.Declined;
  const key = state.status.toLowerCase().replace(" ", "_");
  const result = el(
    "div",
    { class: `result ${tone}`, role: "status" },
    icon(sign),
    el("h1", {}, t(`session.end_${key}`)),
    el("p", {}, t(`session.end_text_${key}`)),
  );
  const isAlone = !IS_TELEPHONE && !hasLeft;
  const isOurs = isAlone || ["both", IS_TELEPHONE ? "completer" : "initiator"].includes(state.callback_method);
  const goes =
    state.callback && isOurs ? el("a", { class: "button primary", href: state.callback }, t("session.back")) : null;
  put(main, result, goes);
  if (goes) setTimeout(() => location.assign(state.callback), REDIRECT_MS);
}

function lost() {
  stopCamera();
  put(
    main,
    el(
      "div",
      { class: "result bad" },
      icon("cross"),
      el("h1", {}, t("session.no_link")),
      el("p", {}, t("session.no_link_text")),
    ),
  );
}

function stopCamera() {
  camera?.stop();
  camera = null;
}

/** Ask the device; true while there is something to wait for. */
async function look() {
  if (isBusy && shown) return true;
  const before = acts;
  try {
    const next = await call("GET", `${BASE}/state/`);
    if (acts !== before) return true;
    if (state && state.status === "Not Started" && next.status !== "Not Started") hasLeft = true;
    show(next);
    return RESULTS[next.status] === undefined;
  } catch (error) {
    if (error.status === 404) lost();
    return error.status !== 404;
  }
}

function languages() {
  put(
    footer,
    Object.entries(LANGUAGES).map(([code, name]) =>
      el(
        "button",
        {
          type: "button",
          lang: code,
          "aria-pressed": String(code === current()),
          onclick: async () => {
            await speak(code, { keep: true });
            languages();
            shown = "";
            if (state) show(state);
          },
        },
        name,
      ),
    ),
  );
}

async function start() {
  await speak(preferred());
  document.body.append(main, footer);
  languages();
  let isWaiting = await look();
  if (state?.language in LANGUAGES && state.language !== current()) {
    await speak(state.language);
    languages();
    shown = "";
    show(state);
  }
  while (isWaiting) {
    await new Promise((done) => setTimeout(done, EVERY_MS));
    if (!isBusy) isWaiting = await look();
  }
}

start();
