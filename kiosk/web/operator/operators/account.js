/** One's own account: the password, and the second factor with its QR code for a telephone. */

import { call } from "../../common/api.js";
import { el, icon, press, put } from "../../common/dom.js";
import { field } from "../../common/field.js";
import { t } from "../../common/words.js";
import { ask } from "../dialog.js";
import { say } from "../notice.js";

/** Return the card. Whoever came with a key has neither password nor second factor. */
export function account({ session, again }) {
  const step = el("div", { class: "stack", role: "status" });
  const isPerson = Boolean(session.csrf) && session.is_operator;
  const button = (symbol, words, onclick) =>
    el("button", { type: "button", class: "button", onclick }, icon(symbol), words);
  return el(
    "section",
    { class: "card stack" },
    el("h2", {}, t("account.title", { name: session.name })),
    !isPerson
      ? el("p", {}, t("account.key"))
      : [
          el("p", {}, t(session.has_second_factor ? "account.factor_on" : "account.factor_off")),
          el(
            "div",
            { class: "actions" },
            session.has_second_factor
              ? button("cross", t("account.factor_remove"), remove)
              : button("lock", t("account.factor_set"), begin),
            button("key", t("account.password"), password),
          ),
          step,
        ],
  );

  function own() {
    return field(t("account.now"), { name: "password", type: "password", required: true, autocomplete: "current-password" });
  }

  function telephone() {
    return field(t("sign_in.code"), {
      name: "code",
      inputmode: "numeric",
      autocomplete: "one-time-code",
      required: true,
      hint: t("account.code_hint"),
    });
  }

  async function begin() {
    const asked = await ask({
      title: t("account.factor_set"),
      text: t("account.factor_text"),
      content: own(),
      confirm: t("account.go_on"),
      act: (values) => call("POST", "/device/session/second-factor", { json: values }),
    });
    if (asked) confirm(asked.result);
  }

  function confirm({ secret, qr }) {
    const code = telephone();
    const url = URL.createObjectURL(new Blob([qr], { type: "image/svg+xml" }));
    const form = el(
      "form",
      { class: "factor", novalidate: true },
      el("img", { src: url, alt: t("account.qr"), width: 220, height: 220, onload: () => URL.revokeObjectURL(url) }),
      el(
        "div",
        { class: "stack" },
        el("p", {}, t("account.scan")),
        el("p", { class: "soft small" }, t("account.by_hand"), " ", el("code", { class: "long" }, secret)),
        code,
        el("div", { class: "actions" }, el("button", { type: "submit", class: "button primary" }, t("account.confirm"))),
      ),
    );
    press(form, "submit", async (event) => {
      event.preventDefault();
      try {
        await call("PUT", "/device/session/second-factor", { json: { code: code.control.value } });
      } catch (error) {
        if (error.status === undefined) throw error;
        code.fault(error.fields.code ?? error.message);
        return;
      }
      session.has_second_factor = true;
      say(t("account.factor_done"));
      await again();
    });
    put(step, form);
    code.control.focus();
  }

  async function remove() {
    const asked = await ask({
      title: t("account.factor_remove"),
      text: t("account.factor_remove_text"),
      content: [own(), telephone()],
      confirm: t("account.factor_remove"),
      isDanger: true,
      act: (values) => call("POST", "/device/session/second-factor/remove", { json: values }),
    });
    if (!asked) return;
    session.has_second_factor = false;
    say(t("account.factor_gone"));
    await again();
  }

  async function password() {
    await ask({
      title: t("account.password"),
      text: t("account.password_text"),
      content: [
        own(),
        field(t("operators.new_password"), {
          name: "new_password",
          type: "password",
          required: true,
          minlength: 10,
          autocomplete: "new-password",
          hint: t("setup.password_hint"),
        }),
      ],
      confirm: t("action.save"),
      act: async (values) => {
        await call("POST", "/device/session/password", { json: values });
        window.dispatchEvent(new Event("signed-out"));
        say(t("account.password_done"));
      },
    });
  }
}
