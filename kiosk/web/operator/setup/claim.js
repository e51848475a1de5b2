/** A kiosk that nobody owns yet: the one-time code of the device makes its first operator. */

import { call } from "../../common/api.js";
import { el, icon, press } from "../../common/dom.js";
import { field, showFaults } from "../../common/field.js";
import { t } from "../../common/words.js";

/** Return the code of an address such as #/setup?code=…, and take it out of the address bar and its history. */
export function codeOfAddress() {
  const [where, search] = location.hash.replace(/^#\//, "").split("?");
  if (where !== "setup") return "";
  const code = new URLSearchParams(search ?? "").get("code") ?? "";
  if (code) history.replaceState(null, "", "#/setup");
  return code;
}

/** Return the page; `done` is called with the session of the new operator. */
export function claim({ state, code, done, language }) {
  return el(
    "main",
    { class: "alone" },
    el(
      "div",
      { class: "sign-in-head" },
      el("img", { src: "/web/common/icon.svg", alt: "", width: 48, height: 48 }),
      el("h1", {}, t("setup.first_title")),
      el("p", { class: "soft" }, t("setup.first_text")),
    ),
    state.has_code || code ? form({ code, done }) : howTo(),
    language,
  );
}

function howTo() {
  return el(
    "section",
    { class: "card stack sign-in" },
    el("h2", {}, icon("lock"), " ", t("setup.no_code_title")),
    el("p", {}, t("setup.no_code_text")),
    el("pre", { class: "code", tabindex: "0" }, "sudo kiosk setup"),
    el("button", { type: "button", class: "button wide", onclick: () => location.reload() }, icon("again"), t("action.again")),
  );
}

function form({ code, done }) {
  const trouble = el("p", { class: "field-error", role: "alert" });
  const fields = {
    code: field(t("setup.code"), {
      name: "code",
      value: code,
      required: true,
      autocomplete: "one-time-code",
      autocapitalize: "characters",
      spellcheck: "false",
      hint: t("setup.code_hint"),
    }),
    name: field(t("setup.name"), {
      name: "name",
      required: true,
      maxlength: 100,
      autocomplete: "username",
      autocapitalize: "none",
      spellcheck: "false",
      hint: t("setup.name_hint"),
    }),
    password: field(t("sign_in.password"), {
      name: "password",
      type: "password",
      required: true,
      minlength: 10,
      autocomplete: "new-password",
      hint: t("setup.password_hint"),
    }),
    again: field(t("setup.again"), { name: "again", type: "password", required: true, autocomplete: "new-password" }),
  };
  const submit = el("button", { type: "submit", class: "button primary wide" }, t("setup.claim"));
  const made = el("form", { class: "card stack sign-in", novalidate: true }, Object.values(fields), trouble, submit);
  press(made, "submit", async (event) => {
    event.preventDefault();
    trouble.textContent = "";
    const { again, ...said } = Object.fromEntries(new FormData(made));
    if (again !== said.password) {
      showFaults(fields, { fields: { again: t("setup.differ") } });
      return;
    }
    submit.disabled = true;
    try {
      await done(await call("POST", "/device/setup/claim", { json: said }));
    } catch (error) {
      if (error.status === undefined) throw error;
      if (!showFaults(fields, error)) trouble.textContent = error.message;
    } finally {
      submit.disabled = false;
    }
  });
  queueMicrotask(() => (code ? fields.name : fields.code).control.focus());
  return made;
}
