/** A person's document in an enrolment: it fills the fields in, and its portrait is compared with the photographs. */

import { call } from "../../common/api.js";
import { chip } from "../decision-parts.js";
import { local } from "./details.js";
import { el, icon, put } from "../../common/dom.js";
import { fitting } from "./photograph.js";
import { band } from "../scale.js";
import { knows, moment, named, number, t, time } from "../../common/words.js";

const SIDES = ["front_image", "back_image"];
const LARGEST_BYTES = 10 * 1024 * 1024; // the device takes no more
const HIGH = 70; // from here on a score is called high
const FILLED = ["name", "document_type", "document_number", "valid_until"];

/**
 * Return {element, weigh(), hindrance(), clear()}: `weigh` is called when the photographs changed, and `hindrance` says
 * why nobody is to be enrolled with this document now, or null.
 */
export function documentOf({ fields, photographs }) {
  let sides = []; // the files chosen, front first
  let told = null; // what the device read, or the error
  let compared = []; // the photographs its portrait was compared with
  let isReading = false;
  let turn = 0; // an answer to an earlier question is dropped
  const wrote = {}; // what the document filled in, by field
  const input = el("input", {
    type: "file",
    id: "document",
    accept: "image/jpeg,image/png,image/webp,image/tiff",
    multiple: true,
    class: "unseen",
  });
  const found = el("div", { role: "status" });
  const element = el(
    "div",
    { class: "stack document" },
    el(
      "div",
      { class: "actions" },
      el("label", { for: "document", class: "button" }, icon("upload"), t("enrol.document")),
      input,
    ),
    el("p", { class: "hint" }, t("enrol.document_hint")),
    found,
  );

  input.addEventListener("change", async () => {
    const chosen = [...input.files].slice(0, SIDES.length);
    input.value = "";
    if (!chosen.length) return;
    sides = await Promise.all(chosen.map((file) => fitting(file, LARGEST_BYTES)));
    read();
  });

  async function read() {
    const mine = (turn += 1);
    compared = photographs();
    isReading = true;
    const form = new FormData();
    for (const [at, side] of sides.entries()) form.append(SIDES[at], side, SIDES[at]);
    for (const one of compared) form.append("user_image", one, "photograph");
    put(found, el("p", { class: "soft" }, t("enrol.document_reading")));
    let answer;
    try {
      answer = await call("POST", "/device/documents", { form });
    } catch (error) {
      if (error.status === undefined) throw error;
      answer = error;
    }
    if (mine !== turn) return;
    isReading = false;
    told = answer;
    if (told.is_accepted) fill();
    put(found, says());
  }

  // What somebody typed stays.
  function fill() {
    for (const name of FILLED) {
      const { control } = fields[name];
      if (control.value && control.value !== wrote[name]) continue;
      const text = name === "valid_until" ? local(told.valid_until) : (told[name] ?? "");
      control.value = wrote[name] = text;
    }
    const folded = fields.document_number.closest("details");
    if (folded) folded.open = true;
  }

  function says() {
    const why = objection();
    return el(
      "div",
      { class: `banner ${why ? "bad" : "good"}` },
      icon(why ? "alert" : "check"),
      el(
        "div",
        { class: "banner-body" },
        el("p", { class: "banner-title" }, t(why ? "enrol.document_refused" : "enrol.document_read")),
        why
          ? el("p", {}, why)
          : el("p", {}, t("enrol.document_check", { until: lastDay() })),
        portrait(),
        el(
          "div",
          { class: "actions" },
          el("button", { type: "button", class: "button", onclick: remove }, t("enrol.document_remove")),
        ),
      ),
    );
  }

  // It ends with its last day, so a second before is still within it.
  function lastDay() {
    const end = moment(told.valid_until);
    return end ? time(new Date(end.getTime() - 1000), "day") : "–";
  }

  function portrait() {
    if (!told.is_recognised) return null;
    if (!told.has_portrait) return el("p", { class: "soft" }, t("enrol.portrait_none"));
    const score = told.portrait_score;
    if (score === null) return el("p", { class: "soft" }, t("enrol.portrait_waits"));
    const isOthers = !told.is_accepted && !told.declined_by.length;
    const kind = isOthers ? "bad" : score >= HIGH ? "good" : "maybe";
    const words = t("enrol.portrait", { score: number(score, 0), band: t(`band.${band(score)}`) });
    return el("div", {}, chip(kind, kind === "good" ? "check" : "alert", words));
  }

  function objection() {
    if (told === null || told.is_accepted) return null;
    if (told instanceof Error) return told.message;
    if (!told.is_recognised) return t("session_reason.COULD_NOT_RECOGNIZE_DOCUMENT");
    if (!told.declined_by.length) return t("enrol.portrait_other");
    return told.declined_by
      .map((risk) => (knows(`enrol_document.${risk}`) ? t(`enrol_document.${risk}`) : `${named("risk", risk)}.`))
      .join(" ");
  }

  // While it is read again, for another photograph, nobody knows yet whose portrait it is.
  function hindrance() {
    if (isReading) return t("enrol.document_reading");
    return objection() === null ? null : t("enrol.document_stands");
  }

  function remove() {
    for (const [name, text] of Object.entries(wrote))
      if (fields[name].control.value === text) fields[name].control.value = "";
    clear();
    input.focus();
  }

  function clear() {
    turn += 1;
    sides = [];
    compared = [];
    told = null;
    isReading = false;
    put(found);
  }

  function weigh() {
    if (!sides.length) return;
    const now = photographs();
    if (now.length !== compared.length || now.some((one, at) => one !== compared[at])) read();
  }

  return { element, weigh, hindrance, clear };
}
