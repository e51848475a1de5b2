/** Everybody the device knows. */

import { call, path } from "../../common/api.js";
import { chip } from "../decision-parts.js";
import { el, icon, put } from "../../common/dom.js";
import { field } from "../../common/field.js";
import { empty, load } from "../notice.js";
import { filterBox, pager, table } from "../table.js";
import { named, t, time } from "../../common/words.js";

const LIMIT = 25;
const TYPING_MS = 350;

export async function people(place, { query, on }) {
  const wanted = { q: query.get("q") ?? "", is_blocklisted: query.get("is_blocklisted") ?? "" };
  const offset = Number(query.get("offset")) || 0;
  const isFiltered = Boolean(wanted.q || wanted.is_blocklisted);
  const list = el("div", {});
  let timer = null;

  const form = el(
    "form",
    { class: "filters", role: "search", onsubmit: apply, onchange: apply },
    field(t("people.search"), {
      name: "q",
      type: "search",
      value: wanted.q,
      hint: t("people.search_hint"),
      autocomplete: "off",
      spellcheck: "false",
    }),
    field(t("people.which"), {
      name: "is_blocklisted",
      value: wanted.is_blocklisted,
      choices: [
        ["", t("filter.all")],
        ["true", t("people.only_blocked")],
        ["false", t("people.not_blocked")],
      ],
    }),
    isFiltered && el("a", { class: "button quiet", href: "#/people" }, icon("cross"), t("filter.clear")),
  );

  function apply(event) {
    event.preventDefault();
    clearTimeout(timer);
    const address = path("/people", Object.fromEntries(new FormData(form)));
    if (location.hash !== `#${address}`) location.hash = address;
  }

  put(
    place,
    el(
      "div",
      { class: "head" },
      el("h1", {}, t("people.title")),
      el(
        "div",
        { class: "actions" },
        el("a", { class: "button", href: "#/people/inside" }, icon("door"), t("people.inside")),
        el("a", { class: "button", href: "#/people/import" }, icon("upload"), t("people.import")),
        el("a", { class: "button primary", href: "#/people/new" }, icon("plus"), t("people.enrol")),
      ),
    ),
    el("section", { class: "card" }, filterBox(form, isFiltered), list),
  );

  const draw = () =>
    load(
      list,
      () => call("GET", "/device/subjects", { query: { ...wanted, limit: LIMIT, offset } }),
      (found) => {
        if (!found.subjects.length) {
          return isFiltered
            ? empty("search", t("people.none"), t("people.none_text"))
            : empty(
                "people",
                t("people.empty"),
                t("people.empty_text"),
                el("a", { class: "button primary", href: "#/people/new" }, icon("plus"), t("people.enrol")),
              );
        }
        return [
          table(
            t("people.title"),
            [
              { words: t("column.name") },
              { words: t("column.number") },
              { words: t("column.state") },
              { words: t("column.vendor_data") },
              { words: t("column.document") },
              { words: t("column.enrolled") },
            ],
            found.subjects,
            { cells, address: (row) => `#/people/${row.session_number}` },
          ),
          pager({
            offset,
            limit: LIMIT,
            total: found.total,
            go: (next) => (location.hash = path("/people", { ...wanted, offset: next || "" })),
          }),
        ];
      },
      8,
    );

  form.addEventListener("input", (event) => {
    if (event.target.name !== "q") return;
    clearTimeout(timer);
    timer = setTimeout(() => {
      wanted.q = event.target.value; // found while typing; the address follows with Enter, so that the field keeps its place
      draw();
    }, TYPING_MS);
  });
  on("enrolment", (news) => news.state === "added" && draw());
  await draw();
}

function cells(row) {
  return [
    row.name ?? el("span", { class: "soft" }, t("person.unnamed")),
    String(row.session_number),
    flags(row),
    row.vendor_data ?? "–",
    [row.document_type, row.document_number].filter(Boolean).join(" ") || "–",
    time(row.verification_date, "day"),
  ];
}

/** What must be known of a person at a glance. */
export function flags(row) {
  return el(
    "span",
    { class: "chips" },
    row.is_blocklisted && chip("bad", "block", t("person.blocked")),
    row.is_allowlisted && chip("good", "allow", t("person.allowed")),
    !row.is_blocklisted && row.status !== "Approved" && chip("maybe", "eye", named("status", row.status)),
    row.valid_until && new Date(row.valid_until) < new Date() && chip("plain", "clock", t("person.expired")),
    !row.is_blocklisted &&
      !row.is_allowlisted &&
      row.status === "Approved" &&
      chip("plain", "person", t("person.known")),
  );
}
