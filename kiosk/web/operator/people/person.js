/** One person: what is known, what they may, and how they are forgotten. */

import { call, path } from "../../common/api.js";
import { ask } from "../dialog.js";
import { factors } from "./factors.js";
import { el, icon, press, put } from "../../common/dom.js";
import { details, filled } from "./details.js";
import { field, showFaults } from "../../common/field.js";
import { countdown } from "../fleet.js";
import { load, say } from "../notice.js";
import { groupsOf } from "./groups.js";
import { flags } from "./people.js";
import { LANGUAGES, named, t, time } from "../../common/words.js";

export async function person(place, { parameter, again, session }) {
  const address = `/device/subjects/${parameter}`;
  await load(
    place,
    () => call("GET", address),
    (one) => {
      const change = async (method, what, json, words) => {
        await call(method, `${address}/${what}`, { json });
        say(words);
        await again();
      };
      return [
        el("a", { class: "back", href: "#/people" }, icon("left"), t("people.title")),
        el(
          "div",
          { class: "head" },
          el("h1", {}, one.name ?? t("person.number", { number: String(one.session_number) })),
          flags(one),
        ),
        one.is_blocklisted &&
          el(
            "p",
            { class: "banner bad" },
            icon("block"),
            el(
              "span",
              {},
              t("person.blocked_text"),
              one.block_reason ? ` ${t("person.block_reason", { reason: one.block_reason })}` : "",
            ),
          ),
        el(
          "div",
          { class: "split" },
          el("div", { class: "stack" }, known(one), editing(one, address, again), factors(address)),
          el(
            "div",
            { class: "stack" },
            one.source !== "list_entry" && // each kiosk pulls the lists of a cloud itself
              countdown({ session, sessionId: one.session_id, kind: one.is_blocklisted ? "blocked" : "known" }),
            acts(one, address, change, session),
            groupsOf(one, { address, again, session }),
            photographs(one, address, again),
          ),
        ),
      ];
    },
    8,
  );
}

function known(one) {
  const facts = [
    ["column.number", String(one.session_number)],
    ["column.document", [one.document_type, one.document_number].filter(Boolean).join(" ")],
    ["column.vendor_data", one.vendor_data],
    ["person.plan", one.plan],
    ["person.valid", validity(one)],
    ["column.enrolled", time(one.verification_date, "full")],
    ["column.last_seen", one.last_seen_at ? time(one.last_seen_at, "full") : t("people.never_seen")],
    ["person.retention", time(one.retention_until, "day")],
    ["person.source", named("source", one.source)],
    ["person.consent", one.consent_version &&
        [one.consent_version, LANGUAGES[one.consent_language] ?? one.consent_language, time(one.consent_at, "full")].filter(Boolean).join(" · ")],
    ["person.session_id", el("code", { class: "long" }, one.session_id)],
  ];
  return el(
    "section",
    { class: "card" },
    el(
      "div",
      { class: "card-head" },
      el("h2", {}, t("person.known_title")),
      el("a", { href: path("#/decisions", { session_number: one.session_number }) }, t("person.decisions")),
    ),
    el(
      "dl",
      { class: "facts" },
      facts
        .filter(([, value]) => value)
        .map(([name, value]) => el("div", {}, el("dt", {}, t(name)), el("dd", {}, value))),
    ),
  );
}

function validity({ valid_from: from, valid_until: until }) {
  if (!from) return until && t("person.ends", { when: time(until, "day") });
  return [time(from, "day"), until ? time(until, "day") : "…"].join(" – ");
}

function editing(one, address, again) {
  const { element, fields } = details(one);
  const trouble = el("p", { class: "field-error", role: "alert" });
  const form = el(
    "form",
    { class: "stack" },
    element,
    trouble,
    el("div", { class: "actions" }, el("button", { type: "submit", class: "button primary" }, t("action.save"))),
  );
  press(form, "submit", async (event) => {
    event.preventDefault();
    trouble.textContent = "";
    try {
      await call("PATCH", address, { json: filled(fields, one) });
      say(t("person.saved"));
      await again();
    } catch (error) {
      if (error.status === undefined) throw error;
      if (!showFaults(fields, error)) trouble.textContent = error.message;
    }
  });
  return el("details", { class: "card" }, el("summary", {}, icon("edit"), t("person.edit")), form);
}

function acts(one, address, change, session) {
  const block = () =>
    ask({
      title: t("person.block_title"),
      text: t("person.block_text"),
      content: field(t("person.reason"), { name: "reason", maxlength: 500, autocomplete: "off" }),
      confirm: t("person.block"),
      isDanger: true,
      act: ({ reason }) => change("POST", "block", { reason }, t("person.block_done")),
    });
  const unblock = () =>
    ask({
      title: t("person.unblock_title"),
      text: t("person.unblock_text"),
      confirm: t("person.unblock"),
      act: () => change("DELETE", "block", undefined, t("person.unblock_done")),
    });
  const button = (symbol, words, act, kind = "") =>
    el("button", { type: "button", class: `button wide ${kind}`, onclick: act }, icon(symbol), words);
  return el(
    "section",
    { class: "card stack", "data-one-act": true },
    el("h2", {}, t("person.acts")),
    one.is_blocklisted ? button("check", t("person.unblock"), unblock) : button("block", t("person.block"), block),
    one.is_allowlisted
      ? button("allow", t("person.disallow"), () => change("DELETE", "allow", undefined, t("person.disallow_done")))
      : !one.is_blocklisted &&
          button("allow", t("person.allow"), () => change("POST", "allow", undefined, t("person.allow_done"))),
    button("forget", t("person.forget"), () => forget(one, address, session), "danger-quiet"),
    el("p", { class: "hint" }, t("person.forget_hint")),
  );
}

async function forget(one, address, session) {
  const asked = await ask({
    title: t("forget.title"),
    text: t("forget.text", { name: one.name ?? t("person.number", { number: String(one.session_number) }) }),
    confirm: t("forget.confirm"),
    isDanger: true,
    act: () => call("DELETE", address, { as: "text" }),
  });
  if (!asked) return;
  const page = document.getElementById("page");
  const url = URL.createObjectURL(new Blob([asked.result], { type: "application/json" }));
  const heading = el("h1", { tabindex: "-1" }, t("forget.done"));
  put(
    page,
    el(
      "div",
      { class: "view" },
      countdown({ session, sessionId: one.session_id, kind: "forgotten" }),
      el(
        "section",
        { class: "card stack receipt" },
        el("div", { class: "receipt-mark" }, icon("check")),
        heading,
        el("p", {}, t("forget.done_text", { number: String(one.session_number) })),
        el("p", { class: "soft" }, t("forget.receipt_text")),
        el(
          "div",
          { class: "actions" },
          el(
            "a",
            { class: "button primary", href: url, download: `receipt-${one.session_number}.json` },
            icon("download"),
            t("forget.download"),
          ),
          el("a", { class: "button", href: "#/people" }, t("people.title")),
        ),
        el(
          "details",
          {},
          el("summary", {}, t("forget.show")),
          el("pre", { class: "code", tabindex: "0" }, asked.result),
        ),
      ),
    ),
  );
  heading.focus();
  window.addEventListener("hashchange", () => URL.revokeObjectURL(url), { once: true });
}

function photographs(one, address, again) {
  const trouble = el("p", { class: "field-error", role: "alert" });
  const input = field(t("person.add_reference"), {
    name: "image",
    type: "file",
    accept: "image/jpeg,image/png,image/webp,image/tiff",
    hint: t("person.add_reference_hint"),
  });
  input.control.addEventListener("change", async () => {
    const [file] = input.control.files;
    if (!file) return;
    trouble.textContent = "";
    const form = new FormData();
    form.append("image", file);
    input.control.disabled = true; // until this one is stored, or is not
    try {
      await call("POST", `${address}/references`, { form });
      say(t("person.reference_added"));
      await again();
    } catch (error) {
      if (error.status === undefined) throw error;
      trouble.textContent = error.message;
      input.control.value = "";
    } finally {
      input.control.disabled = false;
    }
  });
  return el(
    "section",
    { class: "card stack" },
    el("h2", {}, t("person.references")),
    el(
      "p",
      {},
      t("person.references_text", { n: one.references }),
      " ",
      el("span", { class: "soft" }, one.images ? t("person.images_text", { n: one.images }) : t("person.images_none")),
    ),
    input,
    trouble,
  );
}
