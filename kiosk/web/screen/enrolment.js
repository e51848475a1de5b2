/**
 * A guided enrolment at the kiosk: consent, details, the look into the camera, the result. Details may be filled from a
 * document that is shown to the camera. What was typed or read lives in the form alone and goes with it; nobody who
 * comes next finds anything.
 */

import { call, carry } from "../common/api.js";
import { el, icon, press, put } from "../common/dom.js";
import { field, showFaults } from "../common/field.js";
import { play } from "./sound.js";
import { current, directionOf, t } from "../common/words.js";

const QUIET_MS = 90_000; // nobody touched anything: whoever began has left
const READ_MS = 600; // between two looks at a document
const LOOKS = 50; // at a document that is shown: a minute, and more on a machine that takes long for each
const SHOWN_MS = 12_000; // how long the result stays
const GOOD = "added";
const OVER = new Set(["added", "duplicate", "blocklisted", "poor", "mixed", "not_live", "document", "cancelled", "failed"]);

/**
 * Begin.
 *
 * place: an element of its own; changed: called when the step changes; over: when all is done. The returned `step` is
 * "consent", "details", "document", "look" (the kiosk's own live view is shown) or "result".
 */
export function enrolment({ place, consent, changed, over }) {
  const flow = { step: "consent", hear, cancel, lose, draw };
  let agreed = null; // version and language of the text that was shown last
  let id = null;
  let early = []; // news that came before the call's own answer
  let outcome = null; // {state, number, score}
  let timer = null;
  let read = null; // what a document said, until the details are sent
  let showing = 0; // counts the times a document is asked for; an answer to an earlier one is dropped

  function turn(step) {
    flow.step = step;
    draw();
    changed();
    place.querySelector("h2")?.focus();
  }

  function stay(quiet = QUIET_MS) {
    clearTimeout(timer);
    timer = setTimeout(end, quiet);
  }

  function end() {
    clearTimeout(timer);
    read = null;
    showing += 1;
    removeEventListener("pointerdown", touched);
    removeEventListener("keydown", touched);
    put(place);
    over();
  }

  function touched() {
    if (flow.step === "consent" || flow.step === "details") stay();
  }

  function draw() {
    // Another language in the midst of it: what was typed stays, a text that was agreed to is read anew.
    const typed = flow.step === "details" ? [...place.querySelectorAll("input[name]")].map((one) => [one.name, one.value]) : [];
    put(place, { consent: drawConsent, details: drawDetails, document: drawDocument, look: () => [], result: drawResult }[flow.step]());
    for (const [name, value] of typed) {
      const field = flow.step === "details" && place.querySelector(`input[name="${name}"]`);
      if (field && field.type !== "checkbox" && value) field.value = value;
    }
  }

  function drawConsent() {
    const agree = field(t("flow.agree", { version: consent.version }), { type: "checkbox", name: "agree" });
    const on = el("button", { type: "submit", class: "touch primary", disabled: true }, t("flow.next"), icon("right"));
    agree.control.addEventListener("change", () => {
      on.disabled = !agree.control.checked;
    });
    return el(
      "form",
      {
        class: "flow-card",
        onsubmit: (event) => {
          event.preventDefault();
          if (agree.control.checked) turn("details");
        },
      },
      head(1, t("flow.consent")),
      el(
        "div",
        { class: "consent", tabindex: "0", role: "region", "aria-label": t("flow.consent") },
        consentText(),
        el("p", { class: "version" }, t("flow.version", { version: consent.version })),
      ),
      agree,
      el("div", { class: "touches" }, el("button", { type: "button", class: "touch", onclick: end }, t("flow.no")), on),
    );
  }

  /** The consent text in the language of now where there is one; else as it was written first. */
  function consentText() {
    agreed = { version: consent.version, ...(consent.texts?.[current()] ? { language: current() } : {}) };
    const own = consent.texts?.[current()];
    return el("p", own ? { lang: current(), dir: directionOf(current()) } : { dir: "auto" }, own ?? consent.text);
  }

  function drawDocument() {
    const picture = el("img", { class: "document-picture", alt: "", src: `/device/screen/preview.mjpg?${Date.now()}` });
    const word = el("p", { class: "document-word", role: "status" }, t("flow.document_wait"));
    lookAtDocument((showing += 1), word);
    return el(
      "div",
      { class: "flow-card document" },
      head(2, t("flow.document")),
      el("div", { class: "document-view" }, picture, el("p", {}, t("flow.document_how"))),
      word,
      el(
        "div",
        { class: "touches" },
        el("button", { type: "button", class: "touch", onclick: () => turn("details") }, t("flow.document_type")),
      ),
    );
  }

  async function lookAtDocument(turnNumber, word) {
    const isAwaited = () => flow.step === "document" && showing === turnNumber;
    for (let look = 0; look < LOOKS && isAwaited(); look += 1) {
      stay();
      try {
        const answer = await ask("/device/documents/shown");
        if (!isAwaited()) return;
        if (answer.is_accepted) {
          read = answer;
          turn("details");
          stay();
          return;
        }
        const isExpired = answer.risks.includes("DOCUMENT_EXPIRED");
        word.textContent = t(isExpired ? "flow.document_expired" : `flow.document_${answer.is_recognised ? "hold" : "wait"}`);
      } catch (error) {
        if (error.status === undefined) throw error;
        if (error.status !== 503) {
          word.textContent = t("flow.document_none");
          return;
        }
      }
      await new Promise((done) => setTimeout(done, READ_MS));
    }
    if (isAwaited()) word.textContent = t("flow.document_unread");
  }

  function drawDetails() {
    const fields = {
      name: field(t("person.name"), { name: "name", required: true, maxlength: 200, autocomplete: "off", value: read?.name }),
      document_type: field(t("person.document_type"), {
        name: "document_type",
        maxlength: 60,
        autocomplete: "off",
        value: read?.document_type,
      }),
      document_number: field(t("person.document_number"), {
        name: "document_number",
        maxlength: 60,
        autocomplete: "off",
        spellcheck: "false",
        value: read?.document_number,
      }),
      vendor_data: field(t("person.vendor_data"), {
        name: "vendor_data",
        maxlength: 200,
        autocomplete: "off",
        spellcheck: "false",
      }),
    };
    const trouble = el("p", { class: "field-error", role: "alert" });
    const on = el("button", { type: "submit", class: "touch primary" }, t("flow.look"), icon("camera"));
    const form = el(
      "form",
      { class: "flow-card", autocomplete: "off" },
      head(2, t("flow.details")),
      el(
        "div",
        { class: "flow-fields" },
        read
          ? [
              el("p", { class: "document-read" }, icon("check"), t("flow.document_read")),
              el("p", {}, t(read.has_portrait ? "flow.document_portrait" : "flow.document_no_portrait")),
            ]
          : el(
              "button",
              { type: "button", class: "touch", onclick: () => turn("document") },
              icon("camera"),
              t("flow.document_show"),
            ),
        Object.values(fields),
      ),
      trouble,
      el(
        "div",
        { class: "touches" },
        el("button", { type: "button", class: "touch", onclick: end }, t("action.cancel")),
        on,
      ),
    );
    press(form, "submit", async (event) => {
      event.preventDefault();
      trouble.textContent = "";
      on.disabled = true;
      const said = Object.fromEntries(
        [...new FormData(form)].map(([name, value]) => [name, value.trim()]).filter(([, value]) => value),
      );
      try {
        const answer = await ask("/device/enrolments", { ...said, ...shown(read), consent: agreed });
        read = null;
        id = answer.id;
        clearTimeout(timer); // from here on the device knows when it is over
        turn("look");
        for (const one of early.splice(0)) hear(one);
      } catch (error) {
        if (error.status === undefined) throw error;
        if (error.fields?.portrait_id) {
          read = null; // its portrait is held no more
          turn("document");
          return;
        }
        if (!showFaults(fields, error)) trouble.textContent = error.message;
        on.disabled = false;
      }
    });
    return form;
  }

  function drawResult() {
    const isGood = outcome.state === GOOD;
    return el(
      "div",
      { class: `flow-card outcome ${isGood ? "good" : "bad"}` },
      el("div", { class: "sign", "aria-hidden": "true" }, icon(isGood ? "check" : "cross")),
      el("h2", { class: "word", tabindex: "-1" }, t(`enrolled.${outcome.state}`)),
      // Never whose twin somebody is, nor that a face is blocked: that is another person's, or the operator's.
      el("p", { class: "more" }, t(`enrolled_more.${outcome.state}`)),
      isGood && outcome.number && el("p", { class: "number" }, t("flow.number"), el("b", {}, String(outcome.number))),
      outcome.score !== null && el("p", { class: "more" }, t("flow.portrait", { score: outcome.score })),
      el(
        "div",
        { class: "touches" },
        el("button", { type: "button", class: "touch primary", onclick: end }, t("flow.done")),
      ),
    );
  }

  function head(step, words) {
    return el(
      "div",
      { class: "flow-head" },
      el("p", { class: "flow-step" }, t("flow.step", { step, of: 3 })),
      el("h2", { tabindex: "-1" }, words),
    );
  }

  function hear(data) {
    if (id === null) {
      early = [...early, data].slice(-20);
      return;
    }
    if (data.id !== id || !OVER.has(data.state) || flow.step === "result") return;
    finish({ state: data.state, number: data.session_number, score: data.portrait_score ?? null });
  }

  function finish(found) {
    outcome = found;
    play(found.state === GOOD ? "enrolled" : "declined");
    turn("result");
    stay(SHOWN_MS);
  }

  async function cancel() {
    if (id === null) {
      end();
      return;
    }
    try {
      await call("DELETE", `/device/enrolments/${encodeURIComponent(id)}`);
    } catch (error) {
      if (error.status === 409) return; // it is being stored: what came of it is about to be told
      if (error.status === undefined) throw error; // else the device ends it by itself, as nobody stands there
    }
    end();
  }

  function lose() {
    if (flow.step === "look") finish({ state: "failed", score: null });
  }

  addEventListener("pointerdown", touched);
  addEventListener("keydown", touched);
  stay();
  queueMicrotask(() => turn("consent"));
  return flow;
}

// What a document says that no field shows: until when it is valid, and by which name its portrait is held.
function shown(read) {
  return Object.fromEntries(["valid_until", "portrait_id"].filter((name) => read?.[name]).map((name) => [name, read[name]]));
}

// At the kiosk itself no key is asked for. Somebody signed in elsewhere has a session, which wants its token sent.
async function ask(path, json) {
  try {
    return await call("POST", path, { json });
  } catch (error) {
    if (error.status !== 403) throw error;
    carry(await call("GET", "/device/session"));
    return call("POST", path, { json });
  }
}
