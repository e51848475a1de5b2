/** Enrolling somebody from photographs, with what speaks against it shown before anything is stored. */

import { call } from "../../common/api.js";
import { details, filled } from "./details.js";
import { documentOf } from "./document.js";
import { el, icon, put } from "../../common/dom.js";
import { field, showFaults } from "../../common/field.js";
import { say } from "../notice.js";
import { chooser } from "./photograph.js";
import { t } from "../../common/words.js";

export async function enrol(place, { atEnd, session }) {
  const outcome = el("div", { role: "alert" });
  const photographs = chooser({ changed: weigh, hasCamera: session.has_door });
  const { element, fields } = details();
  const paper = documentOf({ fields, photographs: () => photographs.photographs() });
  const consent = field(t("enrol.consent"), {
    name: "consent_version",
    maxlength: 60,
    autocomplete: "off",
    hint: t("enrol.consent_hint"),
  });
  const allow = field(t("person.allow"), { type: "checkbox", name: "allowlist", hint: t("enrol.allow_hint") });
  const rotate = field(t("enrol.rotate"), { type: "checkbox", name: "rotate" });
  const largest = field(t("enrol.largest"), { type: "checkbox", name: "largest", hint: t("enrol.largest_hint") });
  const double = field(t("enrol.duplicate"), {
    type: "checkbox",
    name: "allow_duplicate",
    hint: t("enrol.duplicate_hint"),
  });
  double.hidden = true;
  const block = field(t("enrol.block"), { type: "checkbox", name: "block", hint: t("enrol.block_hint") });
  const reason = field(t("person.reason"), { name: "reason", maxlength: 500, autocomplete: "off" });
  reason.hidden = true;
  const submit = el("button", { type: "submit", class: "button primary large" }, t("enrol.submit"));

  block.control.addEventListener("change", () => {
    const isBlocking = block.control.checked;
    reason.hidden = !isBlocking;
    paper.element.hidden = isBlocking;
    options.hidden = isBlocking;
    put(submit, t(isBlocking ? "enrol.submit_block" : "enrol.submit"));
  });

  function weigh() {
    paper.weigh();
    const isTyping = document.activeElement?.matches("input:not([type=file]), select, textarea");
    if (!isTyping && !fields.name.control.value) fields.name.control.focus({ preventScroll: true }); // what is typed next
    const alike = photographs.verdicts().flatMap((one) => one?.looks_like ?? []);
    if (alike.some((one) => !one.is_blocklisted)) double.hidden = false;
  }

  // What the device would refuse, as it said when it saw the photographs.
  function knownAlready() {
    const alike = photographs.verdicts().flatMap((one) => one?.looks_like ?? []);
    const blocked = alike.find((one) => one.is_blocklisted);
    const of = blocked ?? (double.control.checked ? null : alike[0]);
    if (!of) return null;
    const name = of.name ?? t("person.number", { number: String(of.session_number) });
    const outcome = blocked ? "blocklisted" : "duplicate";
    return { message: t(`enrol.is_${outcome}`, { name }), body: { outcome, of } };
  }

  const options = el(
    "div",
    { class: "stack" },
    double,
    el(
      "details",
      {},
      el("summary", {}, t("enrol.how")),
      el("div", { class: "stack" }, consent, allow, rotate, largest),
    ),
  );
  const form = el(
    "form",
    { class: "split", onsubmit: send, novalidate: true },
    el(
      "section",
      { class: "card stack" },
      el("h2", {}, t("enrol.photographs")),
      el("p", { class: "soft" }, t("enrol.photographs_text")),
      photographs.element,
    ),
    el(
      "section",
      { class: "card stack" },
      el("fieldset", { class: "stack" }, el("legend", {}, t("enrol.who")), paper.element, element),
      options,
      el("fieldset", { class: "stack" }, el("legend", { class: "unseen" }, t("enrol.block")), block, reason),
      outcome,
      el("div", { class: "actions" }, submit),
    ),
  );

  async function send(event) {
    event.preventDefault();
    put(outcome);
    const files = photographs.photographs();
    if (!files.length) {
      photographs.complain(t("enrol.no_photograph"));
      document.getElementById("photographs").focus();
      return;
    }
    const isBlocking = block.control.checked;
    const hindrance = isBlocking ? null : paper.hindrance();
    if (hindrance !== null) {
      put(outcome, refusal(new Error(hindrance)));
      return;
    }
    const known = isBlocking ? null : knownAlready();
    if (known) {
      put(outcome, refusal(known));
      return;
    }
    const body = new FormData();
    for (const [place, file] of files.entries()) body.append("image", file, `photograph-${place + 1}`);
    if (photographs.areOfNow() && !isBlocking) body.append("from_camera", "true");
    if (isBlocking) {
      if (fields.name.control.value) body.append("name", fields.name.control.value);
      body.append("reason", reason.control.value);
    } else {
      for (const [name, value] of Object.entries(filled(fields))) body.append(name, value);
      if (consent.control.value.trim()) body.append("consent_version", consent.control.value.trim());
      for (const one of [allow, rotate, largest, double])
        if (one.control.checked) body.append(one.control.name, "true");
    }
    submit.disabled = true;
    try {
      const answer = await call("POST", isBlocking ? "/device/blocklist" : "/device/subjects", { form: body });
      say(t(isBlocking ? "enrol.blocked" : "enrol.added"));
      location.hash = `#/people/${answer.subject.session_number}`;
    } catch (error) {
      if (error.status === undefined) throw error;
      if (!showFaults(fields, error)) put(outcome, refusal(error));
      if (error.body?.outcome === "duplicate") double.hidden = false;
    } finally {
      submit.disabled = false;
    }
  }

  put(
    place,
    el("a", { class: "back", href: "#/people" }, icon("left"), t("people.title")),
    el("div", { class: "head" }, el("h1", {}, t("enrol.title"))),
    form,
  );
  atEnd(() => {
    photographs.clear();
    paper.clear();
  });
}

function refusal(error) {
  const { outcome, of } = error.body ?? {};
  return el(
    "div",
    { class: "banner bad" },
    icon("alert"),
    el(
      "div",
      {},
      el("p", { class: "banner-title" }, t(outcome ? `outcome.${outcome}` : "error.title")),
      el("p", {}, error.message),
      of &&
        el(
          "a",
          { href: `#/people/${of.session_number}`, target: "_blank" },
          t("enrol.see", { number: String(of.session_number) }),
        ),
    ),
  );
}
