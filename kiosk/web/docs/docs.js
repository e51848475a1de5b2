/** The OpenAPI document as a page: groups of calls, each with its fields, answers and examples. */

import { call } from "/web/common/api.js";
import { el, put } from "/web/common/dom.js";
import { LANGUAGES, current, preferred, speak, t } from "/web/common/words.js";

const FIRST = ["didit", "workflow_sessions", "sessions", "blocklist"]; // Didit's calls come before the device's own
const SHAPE = "#/components/schemas/";

let document_ = null;
let examples = {};

/** Return what a schema is, in a word or two; named shapes as links to where they stand. */
function kind(schema) {
  if (!schema || Object.keys(schema).length === 0) return [t("docs.any")];
  if (schema.$ref) {
    const name = schema.$ref.slice(SHAPE.length);
    return [el("a", { href: `#shape-${name}` }, name)];
  }
  if (schema.anyOf) return schema.anyOf.flatMap((one, place) => (place ? [" | ", ...kind(one)] : kind(one)));
  if (schema.enum) return [schema.enum.map((one) => JSON.stringify(one)).join(" | ")];
  if (schema.type === "array") return ["[ ", ...kind(schema.items), " ]"];
  const range = [
    ["minimum", "≥"],
    ["maximum", "≤"],
    ["maxLength", "≤ "],
  ]
    .filter(([name]) => schema[name] !== undefined)
    .map(([name, sign]) => `${sign}${schema[name]}`);
  return [[schema.format ?? schema.type ?? t("docs.any"), ...range].join(" ")];
}

function fields(rows) {
  if (!rows.length) return null;
  return el(
    "dl",
    { class: "fields" },
    rows.map(([name, schema, sentence, isRequired]) =>
      el(
        "div",
        {},
        el("dt", {}, el("code", {}, name), isRequired ? el("span", { class: "required" }, t("docs.required")) : null),
        el("dd", {}, el("span", { class: "kind" }, kind(schema)), sentence ? el("p", {}, sentence) : null),
      ),
    ),
  );
}

function properties(schema) {
  return Object.entries(schema?.properties ?? {}).map(([name, one]) => [
    name,
    one,
    one.description,
    (schema.required ?? []).includes(name),
  ]);
}

function part(heading, content) {
  return content ? [el("h3", {}, heading), content] : [];
}

function answers(responses) {
  return fields(
    Object.entries(responses).map(([status, one]) => [
      status,
      Object.values(one.content ?? {})[0]?.schema ?? { type: "–" },
      one.description,
      false,
    ]),
  );
}

function samples(id) {
  const known = examples[id];
  if (!known) return null;
  return el(
    "div",
    { class: "samples" },
    Object.entries(known).map(([language, text]) =>
      el("details", {}, el("summary", {}, language), el("pre", { tabindex: "0" }, el("code", {}, text))),
    ),
  );
}

function operation(path, method, one) {
  const body = Object.values(one.requestBody?.content ?? {})[0]?.schema;
  const asked = (one.parameters ?? []).map((it) => [it.name, it.schema, it.description, it.required]);
  return el(
    "details",
    { class: "operation", id: one.operationId },
    el(
      "summary",
      {},
      el("span", { class: `method ${method}` }, method.toUpperCase()),
      el("code", {}, path),
      el("span", { class: "summary" }, one.summary),
    ),
    el(
      "div",
      { class: "inside" },
      one.description ? el("p", {}, one.description) : null,
      part(t("docs.parameters"), fields(asked)),
      part(t("docs.body"), fields(properties(body))),
      part(t("docs.answers"), answers(one.responses)),
      part(t("docs.examples"), samples(one.operationId)),
    ),
  );
}

function groups() {
  const byTag = new Map();
  for (const [path, methods] of Object.entries(document_.paths))
    for (const [method, one] of Object.entries(methods)) {
      const tag = one.tags?.[0] ?? "";
      byTag.set(tag, [...(byTag.get(tag) ?? []), operation(path, method, one)]);
    }
  const order = [...byTag.keys()].sort((a, b) => rank(a) - rank(b) || a.localeCompare(b));
  return order.map((tag) =>
    el("section", { class: "group", id: `group-${tag}` }, el("h2", {}, tag.replaceAll("_", " ")), byTag.get(tag)),
  );
}

function rank(tag) {
  const place = FIRST.indexOf(tag);
  return place < 0 ? FIRST.length : place;
}

function shapes() {
  return el(
    "section",
    { class: "group" },
    el("h2", {}, t("docs.shapes")),
    Object.entries(document_.components.schemas).map(([name, schema]) =>
      el(
        "details",
        { class: "operation", id: `shape-${name}` },
        el("summary", {}, el("code", {}, name)),
        el("div", { class: "inside" }, fields(properties(schema)) ?? el("p", {}, kind(schema))),
      ),
    ),
  );
}

/** Show what has all words in its text; whatever is searched for is not hidden in a closed group. */
function filter(text, sections, word) {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  let count = 0;
  for (const section of sections) {
    let some = false;
    for (const one of section.querySelectorAll(".operation")) {
      const said = one.querySelector("summary").textContent.toLowerCase();
      one.hidden = !words.every((it) => said.includes(it));
      some ||= !one.hidden;
      count += !one.hidden;
    }
    section.hidden = !some;
  }
  word.textContent = words.length ? t("docs.found", { n: count }) : "";
}

function openTarget() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target?.tagName === "DETAILS") {
    target.open = true;
    target.scrollIntoView();
  }
}

function draw(body) {
  const sections = [...groups(), shapes()];
  const word = el("p", { class: "soft", role: "status" });
  const search = el("input", { type: "search", id: "search", autocomplete: "off" });
  search.addEventListener("input", () => filter(search.value, sections, word));
  const languages = Object.entries(LANGUAGES).map(([code, name]) =>
    el(
      "button",
      {
        type: "button",
        lang: code,
        "aria-pressed": String(code === current()),
        onclick: async () => {
          await speak(code, { keep: true });
          draw(body);
        },
      },
      name,
    ),
  );
  put(
    body,
    el(
      "header",
      {},
      el("h1", {}, `${document_.info.title} API`),
      el("p", { class: "soft" }, t("docs.version", { version: document_.info.version })),
      el("p", {}, document_.info.description),
      el("p", {}, t("docs.document"), " ", el("a", { href: "/openapi.json" }, "/openapi.json")),
      el("div", { class: "languages" }, languages),
      el("label", { for: "search" }, t("docs.search")),
      search,
      word,
    ),
    el("main", {}, sections),
  );
  document.title = `${document_.info.title} API`;
}

async function start() {
  await speak(preferred());
  const body = el("div", { class: "page" });
  document.body.append(body);
  try {
    document_ = await call("GET", "/openapi.json");
    examples = await call("GET", "/web/docs/examples.json");
  } catch (error) {
    put(body, el("p", { role: "alert" }, error.message));
    return;
  }
  draw(body);
  openTarget();
  window.addEventListener("hashchange", openTarget);
}

start();
