/** The fields by which whoever is signed in proves once more who they are, for what a page left open must not be enough. */

import { field } from "../../common/field.js";
import { t } from "../../common/words.js";

const NAMES = ["own_password", "own_code"];

/** Return the fields: the own password, or the key that opened the session, and the code of a second factor. */
export function proof(session) {
  const secret = field(t(session.is_operator ? "proof.password" : "proof.key"), {
    name: NAMES[0],
    type: "password",
    required: true,
    autocomplete: session.is_operator ? "current-password" : "off",
    hint: t("proof.why"),
  });
  if (!session.has_second_factor) return [secret];
  const code = field(t("sign_in.code"), {
    name: NAMES[1],
    inputmode: "numeric",
    autocomplete: "one-time-code",
    required: true,
    hint: t("account.code_hint"),
  });
  return [secret, code];
}

/** Return what of a form's values proves who sends them. */
export function proven(values) {
  return Object.fromEntries(NAMES.filter((name) => values[name]).map((name) => [name, values[name]]));
}

/** Return the fields by their names, for a form that holds its fields so. */
export function proofFields(session) {
  return Object.fromEntries(proof(session).map((one) => [one.control.name, one]));
}
