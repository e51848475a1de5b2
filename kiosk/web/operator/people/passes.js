/** Visitor passes: issued, listed, withdrawn; and the sheet of one, which prints alone on its page. */

import { call } from "../../common/api.js";
import { el, icon, press, put } from "../../common/dom.js";
import { field, showFaults } from "../../common/field.js";
import { t, time } from "../../common/words.js";
import { ask } from "../dialog.js";
import { empty, load, say } from "../notice.js";
import { table } from "../table.js";
import { saveAs } from "./people.js";

const HERE = "this door"; // what a kiosk by itself calls its door
const EVERY = "*";
const PNG_PX = 800;

export async function passes(place) {
  const sheet = el("section", { class: "pass-sheet", "aria-live": "polite" });
  const list = el("div", {});
  const form = el("details", { class: "card" });
  put(
    place,
    el("a", { class: "back", href: "#/people" }, icon("left"), t("people.title")),
    el("div", { class: "head" }, el("h1", {}, t("passes.title"))),
    el("p", { class: "soft lead" }, t("passes.text")),
    sheet,
    form,
    el("section", { class: "card" }, list),
  );
  let isDrawn = false;
  const draw = () =>
    load(list, () => call("GET", "/device/passes"), (found) => {
      if (!isDrawn) put(form, el("summary", {}, icon("plus"), t("passes.new")), maker(found, issued));
      isDrawn = true;
      return [
        el("p", { class: "soft" }, t(found.is_enabled ? `passes.ask_${found.ask}` : "passes.off")),
        found.passes.length ? rows(found.passes) : empty("key", t("passes.none"), t("passes.none_text")),
      ];
    });

  async function issued(made) {
    say(t("passes.issued"));
    form.open = false;
    show(made);
    await draw();
  }

  function show(one) {
    put(sheet, sheetOf(one, () => put(sheet)));
    sheet.scrollIntoView({ block: "nearest" });
  }

  function rows(found) {
    const columns = ["label", "state", "until", "used", "doors"].map((name) => ({ name, words: t(`passes.${name}`) }));
    return table(t("passes.title"), [...columns, { name: "act", words: "" }], found, {
      cells: (one) => [
        [one.label, one.visitor].filter(Boolean).join(" · ") || one.pass,
        t(`pass_state.${one.state}`),
        time(one.valid_until),
        one.uses ? t("passes.used_of", one) : t("passes.used_any", one),
        one.doors.map(doorName).join(", "),
        el(
          "span",
          { class: "actions" },
          el("button", { type: "button", class: "button", onclick: () => again(one) }, t("passes.show")),
          one.state !== "revoked" &&
            el("button", { type: "button", class: "button", onclick: () => withdraw(one) }, t("passes.revoke")),
        ),
      ],
    });
  }

  async function again(one) {
    try {
      show(await call("GET", `/device/passes/${one.pass}`));
    } catch (error) {
      if (error.status === undefined) throw error;
      say(error.message, "bad");
    }
  }

  async function withdraw(one) {
    const asked = await ask({
      title: t("passes.revoke_title"),
      text: t("passes.revoke_text"),
      confirm: t("passes.revoke"),
      isDanger: true,
      act: () => call("POST", `/device/passes/${one.pass}/revoke`),
    });
    if (!asked) return;
    put(sheet);
    say(t("passes.revoked"));
    await draw();
  }

  await draw();
}

function doorName(name) {
  return name === HERE ? t("passes.this_door") : name === EVERY ? t("passes.every_door") : name;
}

function maker({ ask: asks, doors }, issued) {
  const fields = {
    label: field(t("passes.label"), { name: "label", maxlength: 80, hint: t("passes.label_hint") }),
    valid_from: field(t("passes.from"), { name: "valid_from", type: "datetime-local", hint: t("passes.from_hint") }),
    valid_until: field(t("passes.until"), { name: "valid_until", type: "datetime-local", required: true }),
    uses: field(t("passes.uses"), { name: "uses", type: "number", min: 0, max: 65535, value: 1, hint: t("passes.uses_hint") }),
    session_number: field(t("passes.visitor"), {
      name: "session_number",
      type: "number",
      min: 1,
      required: asks === "face",
      hint: t("passes.visitor_hint"),
    }),
  };
  if (doors.length > 1)
    fields.doors = field(t("passes.doors"), {
      name: "doors",
      choices: [["", t("passes.this_door")], [EVERY, t("passes.every_door")], ...doors.map((name) => [name, name])],
    });
  const trouble = el("p", { class: "field-error", role: "alert" });
  const form = el(
    "form",
    { class: "stack", novalidate: true },
    el("div", { class: "field-grid" }, Object.values(fields)),
    trouble,
    el("div", { class: "actions" }, el("button", { type: "submit", class: "button primary" }, t("passes.new"))),
  );
  press(form, "submit", async (event) => {
    event.preventDefault();
    trouble.textContent = "";
    for (const one of Object.values(fields)) one.fault("");
    try {
      await issued(await call("POST", "/device/passes", { json: wanted(Object.fromEntries(new FormData(form))) }));
      form.reset();
    } catch (error) {
      if (error.status === undefined) throw error;
      if (!showFaults(fields, error)) trouble.textContent = error.message;
    }
  });
  return form;
}

function wanted(said) {
  const json = { uses: Number(said.uses || 0) };
  if (said.label.trim()) json.label = said.label.trim();
  for (const name of ["valid_from", "valid_until"]) if (said[name]) json[name] = new Date(said[name]).toISOString();
  if (said.session_number) json.session_number = Number(said.session_number);
  if (said.doors) json.doors = [said.doors];
  return json;
}

/** The sheet: everything that is printed. */
function sheetOf(one, close) {
  const url = URL.createObjectURL(new Blob([one.svg], { type: "image/svg+xml" }));
  const code = el("img", { class: "pass-code", src: url, alt: t("passes.code") });
  const lines = [
    one.visitor ?? one.label,
    t("passes.span", { from: time(one.valid_from), to: time(one.valid_until), until: time(one.valid_until) }),
    one.doors.map(doorName).join(", "),
  ];
  return el(
    "div",
    { class: "card pass-card" },
    el("h2", {}, t("passes.sheet")),
    lines.filter(Boolean).map((line) => el("p", {}, line)),
    code,
    el("p", { class: "soft" }, t("passes.sheet_warning")),
    el(
      "div",
      { class: "actions" },
      el("button", { type: "button", class: "button primary", onclick: () => window.print() }, t("passes.print")),
      el(
        "button",
        { type: "button", class: "button", onclick: () => saveAs(new Blob([one.svg], { type: "image/svg+xml" }), `${one.pass}.svg`) },
        t("passes.svg"),
      ),
      el("button", { type: "button", class: "button", onclick: () => savePng(code, one.pass) }, t("passes.png")),
      el("button", { type: "button", class: "button quiet", onclick: close }, icon("cross"), t("action.close")),
    ),
  );
}

function savePng(code, name) {
  const canvas = el("canvas", { width: PNG_PX, height: PNG_PX });
  const context = canvas.getContext("2d");
  context.imageSmoothingEnabled = false;
  context.fillStyle = "#fff";
  context.fillRect(0, 0, PNG_PX, PNG_PX);
  context.drawImage(code, 0, 0, PNG_PX, PNG_PX);
  canvas.toBlob((blob) => saveAs(blob, `${name}.png`), "image/png");
}
