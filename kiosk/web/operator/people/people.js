/** Everybody the device knows. */

import { call, path } from "../../common/api.js";
import { chip } from "../decision-parts.js";
import { el, icon, put } from "../../common/dom.js";
import { field } from "../../common/field.js";
import { ask } from "../dialog.js";
import { empty, load } from "../notice.js";
import { proof, proven } from "../operators/proof.js";
import { filterBox, pager, table } from "../table.js";
import { bulk } from "./bulk.js";
import { groupField } from "./groups.js";
import { ago, moment, named, t, time } from "../../common/words.js";

const LIMIT = 25;
const FILTERS = ["q", "is_blocklisted", "ends_within_days", "group"];
const SOON_DAYS = [7, 30, 90];
const DAY_MS = 86_400_000;
const TYPING_MS = 350;

export async function people(place, { query, on, session }) {
  const wanted = Object.fromEntries(FILTERS.map((name) => [name, query.get(name) ?? ""]));
  const offset = Number(query.get("offset")) || 0;
  const isFiltered = FILTERS.some((name) => wanted[name]);
  const list = el("div", {});
  const chosen = bulk({ done: () => draw() });
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
    field(t("people.ends"), {
      name: "ends_within_days",
      value: wanted.ends_within_days,
      choices: [
        ["", t("filter.all")],
        ["0", t("people.ended")],
        ...SOON_DAYS.map((days) => [String(days), t("people.ends_within", { n: days })]),
      ],
    }),
    groupField(t("groups.one"), "group", { value: wanted.group, type: "search" }),
    isFiltered && el("a", { class: "button quiet", href: "#/people" }, icon("cross"), t("filter.clear")),
  );

  function apply(event) {
    event.preventDefault();
    if (event.type === "change" && event.target.name === "q") return; // found already: a new page would swallow the click
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
        el("a", { class: "button", href: "#/people/passes" }, icon("key"), t("people.passes")),
        el("a", { class: "button", href: "#/people/inside" }, icon("door"), t("people.inside")),
        el("a", { class: "button", href: "#/people/groups" }, icon("people"), t("groups.title")),
        el("a", { class: "button", href: "#/people/import" }, icon("upload"), t("people.import")),
        el("a", { class: "button primary", href: "#/people/new" }, icon("plus"), t("people.enrol")),
      ),
    ),
    el("section", { class: "card" }, filterBox(form, isFiltered), chosen.bar, list, session.role === "admin" && takenAway()),
  );

  function takenAway() {
    return el(
      "div",
      { class: "actions taken-away" },
      el("button", { type: "button", class: "button quiet", onclick: take }, icon("download"), t("people.csv")),
      el("button", { type: "button", class: "button quiet", onclick: seal }, icon("lock"), t("people.archive")),
    );
  }

  async function take() {
    const asked = await ask({
      title: t("people.csv_title"),
      text: t(isFiltered ? "people.csv_filtered" : "people.csv_text"),
      content: proof(session),
      confirm: t("people.csv"),
      act: (values) => call("POST", "/device/people.csv", { query: wanted, json: proven(values), as: "blob" }),
    });
    if (asked) saveAs(asked.result, "people.csv");
  }

  async function seal() {
    const asked = await ask({
      title: t("people.archive_title"),
      text: t(isFiltered ? "people.archive_filtered" : "people.archive_text"),
      content: [
        field(t("people.passphrase"), {
          name: "passphrase",
          type: "password",
          required: true,
          minlength: 10,
          autocomplete: "new-password",
          hint: t("people.passphrase_hint"),
        }),
        proof(session),
      ],
      confirm: t("people.archive"),
      act: (json) => call("POST", "/device/people/archive", { query: wanted, json, as: "blob" }),
    });
    if (asked) saveAs(asked.result, "people.kiosk");
  }

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
              { words: chosen.all(), label: "", kind: "choose-cell" },
              { words: t("column.name") },
              { words: t("column.number") },
              { words: t("column.state") },
              { words: t("column.vendor_data") },
              { words: t("column.document") },
              { words: t("column.last_seen") },
            ],
            found.subjects,
            { cells: (row) => [chosen.box(row), ...cells(row)], lead: 1, address: (row) => `#/people/${row.session_number}` },
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
    [flags(row), row.groups.length > 0 && el("span", { class: "soft small groups-of" }, row.groups.join(", "))],
    row.vendor_data ?? "–",
    [row.document_type, row.document_number].filter(Boolean).join(" ") || "–",
    row.last_seen_at ? el("span", { title: time(row.last_seen_at, "full") }, ago(row.last_seen_at)) : el("span", { class: "soft" }, t("people.never_seen")),
  ];
}

/** The mark of somebody who may not enter any more, or soon not. */
function ending(row) {
  const until = moment(row.valid_until);
  const left = until && until - Date.now();
  if (until && left <= 0) return chip("plain", "clock", t("person.expired"));
  if (until && left < SOON_DAYS[1] * DAY_MS) return chip("maybe", "clock", t("person.ends", { when: time(until / 1000, "day") }));
  const kept = moment(row.retention_until);
  if (kept && kept - Date.now() < SOON_DAYS[1] * DAY_MS)
    return chip("maybe", "forget", t("person.forgotten_on", { when: time(kept / 1000, "day") }));
  return null;
}

export function saveAs(blob, name) {
  const url = URL.createObjectURL(blob);
  el("a", { href: url, download: name }).click();
  URL.revokeObjectURL(url);
}

/** What must be known of a person at a glance. */
export function flags(row) {
  return el(
    "span",
    { class: "chips" },
    row.is_blocklisted && chip("bad", "block", t("person.blocked")),
    row.is_allowlisted && chip("good", "allow", t("person.allowed")),
    !row.is_blocklisted && row.status !== "Approved" && chip("maybe", "eye", named("status", row.status)),
    ending(row),
    !row.is_blocklisted &&
      !row.is_allowlisted &&
      row.status === "Approved" &&
      chip("plain", "person", t("person.known")),
  );
}
