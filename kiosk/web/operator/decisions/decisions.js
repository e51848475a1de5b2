/** The decisions, newest first, with filters that live in the address: a filtered list can be kept as a bookmark. */

import { call, path } from "../../common/api.js";
import { scoreBar, statusChip, unopenedChip, whom } from "../decision-parts.js";
import { el, icon, put } from "../../common/dom.js";
import { field } from "../../common/field.js";
import { empty, load } from "../notice.js";
import { filterBox, pager, table } from "../table.js";
import { named, t, time } from "../../common/words.js";
import { personField } from "../people/pick.js";
import { heat } from "./heat.js";
import { savedFilters } from "./saved.js";

const LIMIT = 25;
const CALLS = ["FACE_MATCH", "FACE_SEARCH", "PASSIVE_LIVENESS", "AGE_ESTIMATION", "ID_VERIFICATION", "SESSION"];
const KINDS = ["IDENTIFY", "VERIFY", ...CALLS, "REVISION"];
const STATUSES = ["Approved", "In Review", "Declined"];
// Reasons and warnings that people look for.
const WHYS = [
  ["FACE_IN_BLOCKLIST", "risk"],
  ["LOW_FACE_MATCH_SIMILARITY", "risk"],
  ["NO_FACE_DETECTED", "risk"],
  ["MULTIPLE_FACES_DETECTED", "risk"],
  ["unknown", "why"],
  ["borderline", "why"],
  ["outside_hours", "why"],
  ["attack_suspected", "why"],
];
const FILTERS = ["status", "kind", "date_from", "date_to", "vendor_data", "session_number", "why"];

export async function decisions(place, { query, on }) {
  const wanted = Object.fromEntries(FILTERS.map((name) => [name, query.get(name) ?? ""]));
  const offset = Number(query.get("offset")) || 0;
  const isFiltered = FILTERS.some((name) => wanted[name]);
  const list = el("div", { "aria-live": "off" });

  // A day is chosen as people say it, up to and with the last; the device counts to before a moment.
  const asked = {
    ...wanted,
    date_from: wanted.date_from && new Date(`${wanted.date_from}T00:00`).toISOString(),
    date_to: wanted.date_to && dayAfter(wanted.date_to).toISOString(),
  };

  const form = el(
    "form",
    {
      class: "filters",
      "aria-label": t("decisions.filters"),
      onsubmit: (event) => event.preventDefault(),
      onchange: apply,
    },
    field(t("column.status"), {
      name: "status",
      value: wanted.status,
      choices: [["", t("filter.all")], ...STATUSES.map((one) => [one, named("status", one)])],
    }),
    field(t("column.kind"), {
      name: "kind",
      value: wanted.kind,
      choices: [["", t("filter.all")], ...KINDS.map((one) => [one, named("kind", one)])],
    }),
    field(t("filter.from"), { name: "date_from", type: "date", value: wanted.date_from }),
    field(t("filter.to"), { name: "date_to", type: "date", value: wanted.date_to }),
    personField(t("filter.person"), { name: "session_number", value: wanted.session_number }),
    field(t("filter.vendor_data"), { name: "vendor_data", value: wanted.vendor_data, spellcheck: "false" }),
    field(t("filter.why"), {
      name: "why",
      value: wanted.why,
      choices: [["", t("filter.all")], ...WHYS.map(([code, prefix]) => [code, named(prefix, code)])],
    }),
    isFiltered && el("a", { class: "button quiet", href: "#/decisions" }, icon("cross"), t("filter.clear")),
  );

  function apply() {
    location.hash = path("/decisions", Object.fromEntries(new FormData(form)));
  }

  put(
    place,
    el(
      "div",
      { class: "head" },
      el("h1", {}, t("decisions.title")),
      el(
        "a",
        { class: "button", href: path("/device/decisions", { ...asked, format: "csv" }), download: "decisions.csv" },
        icon("download"),
        t("decisions.csv"),
      ),
    ),
    el("section", { class: "card" }, savedFilters(isFiltered ? path("/decisions", wanted) : ""), filterBox(form, isFiltered), list),
    el("section", { class: "card" }, heat()),
  );

  const draw = () =>
    load(
      list,
      () => call("GET", "/device/decisions", { query: { ...asked, limit: LIMIT, offset } }),
      (found) => {
        if (!found.decisions.length)
          return empty(
            "list",
            t(isFiltered ? "decisions.none" : "decisions.empty"),
            t(isFiltered ? "decisions.none_text" : "decisions.empty_text"),
          );
        return [
          table(t("decisions.title"), columns(), found.decisions, {
            cells,
            address: (row) => `#/decisions/${encodeURIComponent(row.request_id)}`,
          }),
          pager({
            offset,
            limit: LIMIT,
            total: found.total,
            go: (next) => (location.hash = path("/decisions", { ...wanted, offset: next || "" })),
          }),
        ];
      },
      8,
    );

  on("decision", () => offset === 0 && draw());
  await draw();
}

function dayAfter(day) {
  const date = new Date(`${day}T00:00`);
  date.setDate(date.getDate() + 1);
  return date;
}

function columns() {
  return [
    { words: t("column.time") },
    { words: t("column.status") },
    { words: t("column.person") },
    { words: t("column.kind") },
    { words: t("column.score") },
    { words: t("column.warnings") },
  ];
}

function cells(row) {
  return [
    el("time", { datetime: String(row.at) }, time(row.at, "full")),
    el("span", { class: "chips" }, statusChip(row.status), unopenedChip(row)),
    row.session_number && row.name
      ? el("a", { href: `#/people/${row.session_number}`, title: t("decisions.jump") }, whom(row))
      : el("span", { class: "soft" }, whom(row)),
    named("kind", row.kind),
    scoreBar(row.score, row.status),
    row.warnings?.length
      ? row.warnings.map((one) => named("risk", one)).join(", ")
      : el("span", { class: "soft" }, "–"),
  ];
}
