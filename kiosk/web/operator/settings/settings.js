/** The settings: all can be read, the safe ones changed; nothing is put into force unless all of a change is right. */

import { call } from "../../common/api.js";
import { el, icon, put } from "../../common/dom.js";
import { field, showFaults } from "../../common/field.js";
import { named, t } from "../../common/words.js";
import { empty, load, say } from "../notice.js";
import { control, label, row, sentence } from "./controls.js";
import { preview } from "./preview.js";

export async function settings(place, { session }) {
  const body = el("div", {});
  put(
    place,
    el("div", { class: "head" }, el("h1", {}, t("settings.title"))),
    el("p", { class: "soft lead" }, t(session.role === "admin" ? "settings.text" : "settings.text_read")),
    body,
  );
  await load(
    body,
    () => call("GET", "/device/settings"),
    ({ settings: all }) => page(all, session.role === "admin"),
    10,
  );
}

function page(all, mayChange) {
  const fields = {};
  const known = Object.fromEntries(all.map((one) => [one.name, one]));
  const names = [...new Set(all.map(sectionOf))];
  const sections = names.map((name) =>
    section(
      name,
      all.filter((one) => sectionOf(one) === name),
      mayChange,
      fields,
    ),
  );
  // What can be changed comes first.
  sections.sort((one, other) => Boolean(other.open.length) - Boolean(one.open.length));
  const trouble = el("p", { class: "field-error", role: "alert" });
  const views = preview({ known, fields });
  for (const one of sections) one.element.append(...views.of(one.name));

  async function send(event) {
    event.preventDefault();
    trouble.textContent = "";
    const changed = Object.fromEntries(
      Object.entries(fields)
        .map(([name, one]) => [name, one.value()])
        .filter(([name, value]) => JSON.stringify(value) !== JSON.stringify(known[name].value)),
    );
    if (!Object.keys(changed).length) {
      say(t("settings.nothing"));
      return;
    }
    try {
      const answer = await call("PATCH", "/device/settings", { json: changed });
      for (const one of answer?.settings ?? []) {
        known[one.name] = one;
        fields[one.name]?.take(one);
      }
      for (const one of Object.values(fields)) one.fault("");
      views.draw();
      say(t("settings.saved"));
    } catch (error) {
      if (error.status === undefined) throw error;
      finder.clear(); // what is wrong must be in sight
      if (!showFaults(fields, error)) trouble.textContent = error.message;
    }
  }

  const finder = search(sections);
  const form = el(
    "form",
    { class: "stack", onsubmit: send, novalidate: true },
    sections.map((one) => one.element),
    finder.nothing,
    trouble,
    Object.keys(fields).length > 0 &&
      el(
        "div",
        { class: "save-bar" },
        el("button", { type: "submit", class: "button primary" }, icon("check"), t("settings.save")),
      ),
  );
  return el("div", { class: "settings" }, finder.element, form);
}

function sectionOf(one) {
  return one.name.split(".")[0];
}

// {name, element, open, folded, parts: [[setting, element]]}
function section(name, members, mayChange, fields) {
  const open = members.filter((one) => one.is_changeable && mayChange);
  const shut = members.filter((one) => !one.is_changeable || !mayChange);
  for (const one of open) fields[one.name] = control(one);
  const rows = shut.map((one) => [one, row(one)]);
  const folded =
    shut.length > 0 &&
    el(
      "details",
      {},
      el("summary", {}, t(open.length ? "settings.fixed" : "settings.fixed_alone", { n: shut.length })),
      el("dl", { class: "facts" }, rows.map(([, element]) => element)),
    );
  const element = el(
    "section",
    { class: "card stack", id: `section-${name}`, tabindex: "-1" },
    el("h2", {}, named("section", name), " ", el("code", { class: "section-key" }, `[${name}]`)),
    open.length > 0 &&
      el(
        "div",
        { class: "field-grid" },
        open.map((one) => fields[one.name]),
      ),
    folded,
  );
  return { name, element, open, folded, parts: [...open.map((one) => [one, fields[one.name]]), ...rows] };
}

/** Return {element, nothing, clear}: the list of sections with the search that hides what was not asked for. */
function search(sections) {
  const wanted = field(t("settings.search"), { type: "search", name: "find", autocomplete: "off", spellcheck: "false", "data-first": true });
  const only = field(t("settings.only_changed"), { type: "checkbox", name: "only" });
  const found = el("p", { class: "soft small", role: "status" });
  const nothing = el("div", { class: "card", hidden: true }, empty("search", t("settings.none"), t("settings.none_text")));
  const links = sections.map((one) => {
    const go = () => {
      one.element.scrollIntoView({ block: "start" });
      one.element.focus({ preventScroll: true });
    };
    return [one, el("li", {}, el("button", { type: "button", class: "section-link", onclick: go }, named("section", one.name)))];
  });
  const plain = (text) => text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();
  const words = new Map(
    sections.flatMap(({ name, parts }) =>
      parts.map(([one]) => [one, plain([label(one), sentence(one), one.name, named("section", name)].join(" "))]),
    ),
  );

  function apply() {
    const asked = plain(wanted.control.value).split(/\s+/).filter(Boolean);
    const isAsked = asked.length > 0 || only.control.checked;
    let count = 0;
    for (const [one, link] of links) {
      let here = 0;
      for (const [setting, element] of one.parts) {
        const fits =
          asked.every((word) => words.get(setting).includes(word)) &&
          (!only.control.checked || element.classList.contains("is-changed"));
        element.hidden = !fits;
        here += fits;
      }
      one.element.hidden = link.hidden = !here;
      if (one.folded) {
        const isWithin = one.parts.some(([setting, element]) => !one.open.includes(setting) && !element.hidden);
        one.folded.hidden = !isWithin;
        one.folded.open = isAsked && isWithin;
      }
      count += here;
    }
    nothing.hidden = count > 0;
    found.textContent = isAsked ? t("settings.found", { n: count }) : "";
  }

  wanted.addEventListener("input", apply);
  only.addEventListener("change", apply);
  return {
    element: el(
      "div",
      { class: "settings-side" },
      el("div", { class: "stack", role: "search" }, wanted, only, found),
      el("nav", { "aria-label": t("settings.sections") }, el("ul", {}, links.map(([, link]) => link))),
    ),
    nothing,
    clear() {
      wanted.control.value = "";
      only.control.checked = false;
      apply();
    },
  };
}
