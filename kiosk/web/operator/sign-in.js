/** The way in: a name and a password, or a key. */

import { call, carry } from "../common/api.js";
import { el, icon, put } from "../common/dom.js";
import { field } from "../common/field.js";
import { t } from "../common/words.js";

/** Return the page; `done` is called with the session. */
export function signIn({ done, language }) {
  let isByKey = false;
  const code = field(t("sign_in.code"), {
    name: "code",
    inputmode: "numeric",
    autocomplete: "one-time-code",
    hint: t("sign_in.code_hint"),
  });
  const trouble = el("p", { class: "field-error", role: "alert" });
  const fields = el("div", { class: "stack" });
  const other = el("button", { type: "button", class: "button quiet wide", onclick: () => turn(!isByKey) });
  const submit = el("button", { type: "submit", class: "button primary wide" }, t("sign_in.submit"));

  function turn(toKey) {
    isByKey = toKey;
    trouble.textContent = "";
    put(other, icon(toKey ? "person" : "key"), t(toKey ? "sign_in.by_password" : "sign_in.by_key"));
    put(
      fields,
      toKey
        ? field(t("sign_in.key"), {
            name: "key",
            type: "password",
            autocomplete: "off",
            required: true,
            spellcheck: "false",
            hint: t("sign_in.key_hint"),
          })
        : [
            field(t("sign_in.name"), {
              name: "name",
              autocomplete: "username",
              required: true,
              autocapitalize: "none",
              spellcheck: "false",
            }),
            field(t("sign_in.password"), {
              name: "password",
              type: "password",
              autocomplete: "current-password",
              required: true,
            }),
          ],
    );
    fields.querySelector("input").focus();
  }

  // The password was right: name and password stay as they are, and the code is asked for.
  function wantCode({ retryAfter }) {
    if (retryAfter) trouble.textContent = t("sign_in.code_soon", { n: retryAfter });
    else if (code.isConnected) trouble.textContent = t("sign_in.code_wrong");
    else fields.append(code);
    code.control.required = true;
    code.control.select();
    code.control.focus();
  }

  async function send(event) {
    event.preventDefault();
    trouble.textContent = "";
    submit.disabled = true;
    try {
      const session = await call("POST", "/device/session", { json: Object.fromEntries(new FormData(form)) });
      if (session.role === "device") {
        carry(session);
        await call("DELETE", "/device/session").catch(() => {}); // it holds no right here; it runs out by itself too
        trouble.textContent = t("sign_in.device_key");
        return;
      }
      await done(session);
    } catch (error) {
      if (error.status === undefined) throw error;
      if (error.body?.wants_code) {
        wantCode(error);
        return;
      }
      trouble.textContent = error.status === 401 ? t("sign_in.wrong") : error.message;
      if (error.retryAfter) trouble.textContent += ` ${t("error.retry_after", { n: error.retryAfter })}`;
      fields.querySelector("input[type=password]").select();
    } finally {
      submit.disabled = false;
    }
  }

  const form = el("form", { class: "card sign-in", onsubmit: send }, fields, trouble, submit, other);
  queueMicrotask(() => turn(false));
  return el(
    "main",
    { class: "alone" },
    el(
      "div",
      { class: "sign-in-head" },
      el("img", { src: "/web/common/icon.svg", alt: "", width: 48, height: 48 }),
      el("h1", {}, t("sign_in.title")),
      el("p", { class: "soft" }, t("sign_in.text")),
    ),
    form,
    language,
  );
}
