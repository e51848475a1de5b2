/** A person's card, PIN and suspension. A PIN goes in and is never shown; whether there is one for duress nobody sees. */

import { call } from "../../common/api.js";
import { el, icon, press, put } from "../../common/dom.js";
import { field, showFaults } from "../../common/field.js";
import { load, say } from "../notice.js";
import { duration, t, time } from "../../common/words.js";

const locked = (found) => t("factors.pin_locked", { n: found.wrong_pins, time: duration(found.pin_locked_s) });

export function factors(address) {
  const place = el("div", {});
  const draw = () => load(place, () => call("GET", `${address}/factors`), form, 2);
  draw();
  return el("details", { class: "card" }, el("summary", {}, icon("key"), t("factors.title")), place);

  function form(found) {
    const fields = {
      card: field(t("factors.card"), {
        name: "card",
        value: found.card ?? "",
        maxlength: 60,
        autocomplete: "off",
        hint: t("factors.card_hint"),
      }),
      pin: secret("pin", found.has_pin ? t("factors.pin_is_set") : t("factors.pin_hint")),
      duress_pin: secret("duress_pin", t("factors.duress_hint")),
      suspended_until: field(t("factors.suspended"), {
        name: "suspended_until",
        type: "date",
        value: found.suspended_until?.slice(0, 10) ?? "",
        hint: found.suspended_until ? t("factors.suspended_until", { day: time(found.suspended_until, "day") }) : "",
      }),
    };
    const trouble = el("p", { class: "field-error", role: "alert" });
    const made = el(
      "form",
      { class: "stack", "data-one-act": true },
      found.pin_locked_s > 0
        ? el("p", { class: "field-error", role: "status" }, locked(found))
        : found.wrong_pins > 0 && el("p", { class: "soft" }, t("factors.pin_wrong", { n: found.wrong_pins })),
      Object.values(fields),
      trouble,
      el(
        "div",
        { class: "actions" },
        el("button", { type: "submit", class: "button primary" }, t("action.save")),
        found.has_pin &&
          el("button", { type: "button", class: "button", onclick: () => send({ pin: null }) }, t("factors.pin_take")),
      ),
    );
    press(made, "submit", async (event) => {
      event.preventDefault();
      await send(changed(Object.fromEntries(new FormData(made)), found));
    });

    async function send(json) {
      trouble.textContent = "";
      try {
        await call("PATCH", `${address}/factors`, { json });
        say(t("factors.saved"));
        await draw();
      } catch (error) {
        if (error.status === undefined) throw error;
        if (!showFaults(fields, error)) trouble.textContent = error.message;
      }
    }
    return made;
  }
}

function secret(name, hint) {
  return field(t(`factors.${name}`), {
    name,
    type: "password",
    inputmode: "numeric",
    maxlength: 12,
    autocomplete: "new-password",
    hint,
  });
}

/** Return what to send: a field that did not change is left out, an empty one takes back what was there. */
function changed(said, found) {
  const json = {};
  if (said.card.trim() !== (found.card ?? "")) json.card = said.card.trim() || null;
  if (said.pin) json.pin = said.pin;
  if (said.duress_pin) json.duress_pin = said.duress_pin;
  const day = found.suspended_until?.slice(0, 10) ?? "";
  if (said.suspended_until !== day) json.suspended_until = said.suspended_until ? `${said.suspended_until}T00:00:00Z` : null;
  return json;
}
