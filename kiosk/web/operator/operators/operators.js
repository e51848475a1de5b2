/** Who may operate this kiosk: roles, second factor, when they used it last, where they are signed in. */

import { call } from "../../common/api.js";
import { el, icon, press, put } from "../../common/dom.js";
import { field, showFaults } from "../../common/field.js";
import { ago, t, time } from "../../common/words.js";
import { chip } from "../decision-parts.js";
import { ask } from "../dialog.js";
import { load, say } from "../notice.js";
import { account } from "./account.js";
import { proof, proofFields, proven } from "./proof.js";

const ROLES = ["operator", "admin"];

export async function operators(place, { session, again }) {
  const isAdmin = session.role === "admin";
  const list = el("div", { class: "stack" });
  put(
    place,
    el("div", { class: "head" }, el("h1", {}, t("operators.title"))),
    account({ session, again }),
    isAdmin && el("section", { class: "card stack" }, el("h2", {}, t("operators.list")), list),
    isAdmin && el("section", { class: "card stack" }, el("h2", {}, t("operators.new")), form(session, () => draw())),
  );
  const draw = () =>
    load(
      list,
      () => call("GET", "/device/operators"),
      (found) => el("ul", { class: "operators" }, found.operators.map((one) => row(one, session, draw))),
      4,
    );
  if (isAdmin) await draw();
}

function row(one, session, draw) {
  const isOwn = one.id === session.id;
  const address = `/device/operators/${one.id}`;
  const act = async (asked, words) => {
    if (!(await ask(asked))) return;
    say(words);
    await draw();
  };
  const role = () =>
    act(
      {
        title: t("operators.role_title", { name: one.name }),
        content: [
          field(t("keys.role"), {
            name: "role",
            value: one.role,
            choices: ROLES.map((name) => [name, t(`role.${name}`)]),
            hint: t("operators.role_hint"),
          }),
          proof(session),
        ],
        confirm: t("action.save"),
        act: (values) => call("PATCH", address, { json: { role: values.role, ...proven(values) } }),
      },
      t("person.saved"),
    );
  const password = () =>
    act(
      {
        title: t("operators.password_title", { name: one.name }),
        text: t("operators.password_text"),
        content: [
          field(t("operators.new_password"), {
            name: "password",
            type: "password",
            required: true,
            minlength: 10,
            autocomplete: "new-password",
            hint: t("setup.password_hint"),
          }),
          proof(session),
        ],
        confirm: t("action.save"),
        act: (values) => call("PATCH", address, { json: { password: values.password, ...proven(values) } }),
      },
      t("operators.password_done", { name: one.name }),
    );
  const factor = () =>
    act(
      {
        title: t("operators.factor_title", { name: one.name }),
        text: t("operators.factor_text", { name: one.name }),
        content: proof(session),
        confirm: t("operators.factor_remove"),
        isDanger: true,
        act: (values) => call("DELETE", `${address}/second-factor`, { json: proven(values) }),
      },
      t("operators.factor_done", { name: one.name }),
    );
  const sessions = () =>
    act(
      {
        title: t("operators.end_title", { name: one.name }),
        text: t(isOwn ? "operators.end_own" : "operators.end_text", { name: one.name }),
        confirm: t("operators.end"),
        act: () => call("DELETE", `${address}/sessions`),
      },
      t("operators.end_done"),
    );
  const remove = () =>
    act(
      {
        title: t("operators.remove_title", { name: one.name }),
        text: t("operators.remove_text", { name: one.name }),
        content: proof(session),
        confirm: t("operators.remove"),
        isDanger: true,
        act: (values) => call("DELETE", address, { json: proven(values) }),
      },
      t("operators.remove_done", { name: one.name }),
    );
  const button = (words, onclick, kind = "quiet") =>
    el("button", { type: "button", class: `button ${kind}`, onclick, "aria-label": `${words}: ${one.name}` }, words);
  return el(
    "li",
    {},
    el(
      "div",
      { class: "operator-who" },
      el(
        "p",
        {},
        el("b", {}, one.name),
        isOwn && el("span", { class: "soft" }, ` ${t("operators.you")}`),
      ),
      el(
        "span",
        { class: "chips" },
        chip("plain", one.role === "admin" ? "shield" : "person", t(`role.${one.role}`)),
        one.has_second_factor
          ? chip("good", "lock", t("operators.factor_on"))
          : chip("maybe", "alert", t("operators.factor_off")),
      ),
      el(
        "p",
        { class: "soft small" },
        one.last_used_at ? t("operators.used", { when: ago(one.last_used_at) }) : t("operators.never_used"),
      ),
      one.sessions.length > 0 &&
        el(
          "ul",
          { class: "small operator-sessions" },
          one.sessions.map((each) =>
            el(
              "li",
              {},
              t("operators.session", {
                address: each.address || "?",
                since: time(each.opened_at, "short"),
                used: ago(each.used_at),
              }),
            ),
          ),
        ),
    ),
    el(
      "div",
      { class: "actions" },
      !isOwn && button(t("operators.role"), role),
      !isOwn && button(t("operators.password"), password),
      !isOwn && one.has_second_factor && button(t("operators.factor_remove"), factor),
      one.sessions.length > (isOwn ? 1 : 0) && button(t("operators.end"), sessions),
      !isOwn && button(t("operators.remove"), remove, "quiet danger-quiet"),
    ),
  );
}

function form(session, done) {
  const trouble = el("p", { class: "field-error", role: "alert" });
  const fields = {
    name: field(t("sign_in.name"), { name: "name", required: true, maxlength: 100, autocomplete: "off", hint: t("operators.name_hint") }),
    role: field(t("keys.role"), {
      name: "role",
      value: "operator",
      choices: ROLES.map((name) => [name, t(`role.${name}`)]),
      hint: t("operators.role_hint"),
    }),
    password: field(t("operators.first_password"), {
      name: "password",
      type: "password",
      required: true,
      minlength: 10,
      autocomplete: "new-password",
      hint: t("operators.first_password_hint"),
    }),
    ...proofFields(session),
  };
  const made = el(
    "form",
    { class: "stack", novalidate: true },
    el("div", { class: "field-grid" }, Object.values(fields)),
    trouble,
    el("div", { class: "actions" }, el("button", { type: "submit", class: "button primary" }, icon("plus"), t("operators.create"))),
  );
  press(made, "submit", async (event) => {
    event.preventDefault();
    trouble.textContent = "";
    const said = Object.fromEntries(new FormData(made));
    try {
      await call("POST", "/device/operators", { json: said });
      for (const one of Object.values(fields)) one.fault("");
      made.reset();
      say(t("operators.created", { name: said.name }));
      await done();
    } catch (error) {
      if (error.status === undefined) throw error;
      if (!showFaults(fields, error)) trouble.textContent = error.message;
    }
  });
  return made;
}
