/** The keys of machines and people that may call the device. A key is shown once; the device itself keeps only its hash. */

import { call } from "../common/api.js";
import { chip } from "./decision-parts.js";
import { ask } from "./dialog.js";
import { el, icon, press, put } from "../common/dom.js";
import { field, showFaults } from "../common/field.js";
import { proof, proofFields, proven } from "./operators/proof.js";
import { empty, load, say } from "./notice.js";
import { table } from "./table.js";
import { moment, t, time } from "../common/words.js";

const ROLES = ["device", "operator", "admin"];
const DAYS = 365;

export async function keys(place, { session }) {
  const list = el("div", {});
  const made = el("div", { role: "status" });
  const fields = {
    name: field(t("keys.name"), {
      name: "name",
      required: true,
      maxlength: 60,
      autocomplete: "off",
      hint: t("keys.name_hint"),
    }),
    role: field(t("keys.role"), {
      name: "role",
      value: "device",
      choices: ROLES.map((role) => [role, t(`role.${role}`)]),
      hint: t("keys.role_hint"),
    }),
    expires_days: field(t("keys.expires_days"), {
      name: "expires_days",
      type: "number",
      min: 1,
      max: 3650,
      value: DAYS,
      required: true,
      unit: t("unit.days"),
    }),
    ...proofFields(session),
  };
  const trouble = el("p", { class: "field-error", role: "alert" });
  const form = el(
    "form",
    { class: "stack" },
    el("div", { class: "field-grid" }, Object.values(fields)),
    trouble,
    el(
      "div",
      { class: "actions" },
      el("button", { type: "submit", class: "button primary" }, icon("plus"), t("keys.create")),
    ),
  );
  press(form, "submit", async (event) => {
    event.preventDefault();
    trouble.textContent = "";
    const said = Object.fromEntries(new FormData(form));
    const { name, role, expires_days: days } = said;
    try {
      const json = { name, role, expires_days: Number(days), ...proven(said) };
      const answer = await call("POST", "/device/keys", { json });
      for (const one of Object.values(fields)) one.fault("");
      form.reset();
      put(
        made,
        secret(answer.key, () => put(made)),
      );
      made.querySelector("button").focus();
      await draw();
    } catch (error) {
      if (error.status === undefined) throw error;
      if (!showFaults(fields, error)) trouble.textContent = error.message;
    }
  });

  const draw = () =>
    load(
      list,
      () => call("GET", "/device/keys"),
      (found) =>
        found.keys.length
          ? table(
              t("keys.title"),
              [
                { words: t("column.name") },
                { words: t("keys.role") },
                { words: t("column.state") },
                { words: t("keys.expires") },
                { words: t("keys.created") },
                { words: t("keys.revoke_column") },
              ],
              found.keys,
              { cells: (one) => cells(one, session, draw) },
            )
          : empty("key", t("keys.empty"), t("keys.empty_text")),
    );

  put(
    place,
    el("div", { class: "head" }, el("h1", {}, t("keys.title"))),
    el("p", { class: "soft lead" }, t("keys.text")),
    made,
    el("section", { class: "card" }, list),
    el("section", { class: "card stack" }, el("h2", {}, t("keys.new")), form),
  );
  await draw();
}

function secret(key, done) {
  const copy = async () => {
    await navigator.clipboard.writeText(key);
    say(t("keys.copied"));
  };
  return el(
    "section",
    { class: "card stack secret" },
    el("h2", {}, icon("key"), t("keys.made")),
    el("p", {}, t("keys.made_text")),
    el("pre", { class: "code key", tabindex: "0" }, key),
    el(
      "div",
      { class: "actions" },
      navigator.clipboard
        ? el("button", { type: "button", class: "button primary", onclick: copy }, icon("copy"), t("keys.copy"))
        : null,
      el("button", { type: "button", class: "button", onclick: done }, t("keys.noted")),
    ),
  );
}

function cells(one, session, draw) {
  const isOver = moment(one.expires_at) && moment(one.expires_at) < new Date();
  const state = one.is_revoked
    ? chip("bad", "block", t("keys.revoked"))
    : isOver
      ? chip("plain", "clock", t("keys.expired"))
      : chip("good", "check", t("keys.active"));
  const revoke = async () => {
    const asked = await ask({
      title: t("keys.revoke_title"),
      text: t("keys.revoke_text", { name: one.name }),
      content: proof(session),
      confirm: t("keys.revoke"),
      isDanger: true,
      act: (values) => call("DELETE", `/device/keys/${encodeURIComponent(one.id)}`, { json: proven(values) }),
    });
    if (!asked) return;
    say(t("keys.revoke_done"));
    await draw();
  };
  return [
    one.name,
    t(`role.${one.role}`),
    state,
    one.expires_at ? time(one.expires_at, "day") : t("keys.never"),
    time(one.created_at, "day"),
    one.is_revoked
      ? "–"
      : el(
          "button",
          {
            type: "button",
            class: "button quiet",
            onclick: revoke,
            "aria-label": t("keys.revoke_one", { name: one.name }),
          },
          t("keys.revoke"),
        ),
  ];
}
