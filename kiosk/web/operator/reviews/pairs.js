/** People who may be one, enrolled at two kiosks apart from each other: one word of an operator holds at every kiosk. */

import { call } from "../../common/api.js";
import { el, icon, put } from "../../common/dom.js";
import { number, t, time } from "../../common/words.js";
import { chip, statusChip } from "../decision-parts.js";
import { ask } from "../dialog.js";
import { empty, say } from "../notice.js";
import { queue } from "./queue.js";

const SIDES = ["first", "second"];

export async function pairs(place, { atEnd }) {
  const waiting = queue({
    place,
    atEnd,
    fetch: async (query) => {
      const { duplicates, total } = await call("GET", "/device/fleet/duplicates", { query });
      return { rows: duplicates, total };
    },
    keyOf,
    card,
    nothing: () => empty("alike", t("pairs.empty"), t("pairs.empty_text")),
    several: { label: "pairs.several", chosen: "pairs.chosen" },
    deciding: (each) => [
      el("p", { class: "hint" }, t("pairs.several_hint")),
      buttons((decision) => decideAll(each, decision)),
    ],
    keys: {
      s: "button[value=same]",
      d: "button[value=different]",
      1: "input[value=first]",
      2: "input[value=second]",
    },
  });

  put(
    place,
    el(
      "div",
      { class: "head" },
      el("h1", { tabindex: "-1" }, t("pairs.title")),
      el("a", { class: "button quiet", href: "#/fleet" }, icon("fleet"), t("fleet.title")),
    ),
    el("p", { class: "soft lead" }, t("pairs.text")),
    el("p", { class: "hint keys-hint" }, t("pairs.keys")),
    waiting.bar,
    waiting.list,
  );

  async function decideAll(each, decision) {
    const act = () => each((pair) => send(pair, decision, "first"));
    const asked =
      decision === "different"
        ? { result: await act() }
        : await ask({
            title: t("pairs.same_several_ask", { n: waiting.count() }),
            text: t("pairs.same_text"),
            confirm: t("pairs.same"),
            isDanger: true,
            act,
          });
    if (!asked) return;
    say(t("pairs.several_done", { n: asked.result }));
    await waiting.done();
  }

  await waiting.draw();
}

/** The two ways to decide. */
function buttons(decide) {
  const button = (decision, symbol, kind) =>
    el(
      "button",
      { type: "button", class: `button ${kind}`, value: decision, onclick: () => decide(decision) },
      icon(symbol),
      t(`pairs.${decision}`),
    );
  return el("div", { class: "actions" }, button("different", "people", ""), button("same", "person", "danger"));
}

function card(pair, { done, box }) {
  const trouble = el("p", { class: "field-error", role: "alert" });
  const names = SIDES.map((side) => nameOf(pair[side])).join(` ${t("pairs.and")} `);
  const item = el(
    "li",
    { class: "card review pair", tabindex: "-1", "aria-label": names, "data-one-act": true },
    el(
      "div",
      { class: "card-head" },
      el("h2", {}, names),
      box,
      chip("maybe", "alike", t("pairs.score", { score: number(pair.score, 1) })),
    ),
    el(
      "fieldset",
      { class: "pair-people" },
      el("legend", {}, t("pairs.details_of")),
      SIDES.map((side) => person(pair, side)),
    ),
    buttons(decide),
    trouble,
  );

  async function decide(decision) {
    const side = item.querySelector("input[type=radio]:checked").value;
    trouble.textContent = "";
    try {
      if (decision === "different") await send(pair, decision, side);
      else {
        const asked = await ask({
          title: t("pairs.same_ask", { name: nameOf(pair[side]) }),
          text: t("pairs.same_text"),
          confirm: t("pairs.same"),
          isDanger: true,
          act: () => send(pair, decision, side),
        });
        if (asked === null) {
          item.focus();
          return;
        }
      }
    } catch (error) {
      if (error.status === undefined) throw error;
      trouble.textContent = error.message;
      return;
    }
    say(t(`pairs.${decision}_done`));
    await done();
  }

  return item;
}

function person(pair, side) {
  const one = pair[side];
  return el(
    "label",
    { class: "pair-person" },
    el(
      "span",
      { class: "pair-name" },
      el("input", { type: "radio", name: `details-${keyOf(pair)}`, value: side, checked: side === "first" }),
      el("strong", {}, nameOf(one)),
    ),
    one.photograph && el("img", { class: "pair-face", src: one.photograph, alt: t("review.photograph_of", { name: nameOf(one) }), loading: "lazy" }),
    el(
      "span",
      { class: "chips" },
      statusChip(one.status),
      one.is_blocklisted && chip("bad", "block", t("person.blocked")),
      side === "first" && chip("", "clock", t("pairs.older")),
    ),
    el("span", { class: "soft small" }, t("pairs.enrolled", { kiosk: one.kiosk ?? t("pairs.unknown_kiosk"), time: time(one.verification_date, "full") })),
    el("span", { class: "soft small" }, t("pairs.faces", { n: one.references }), one.vendor_data && ` · ${one.vendor_data}`),
    el("a", { class: "small", href: `#/people/${one.session_number}` }, t("person.number", { number: String(one.session_number) })),
  );
}

function send(pair, decision, side) {
  const [first, second] = SIDES.map((one) => pair[one].session_id);
  const about = decision === "same" ? { details_of: pair[side].session_id } : {};
  return call("POST", "/device/fleet/duplicates", { json: { first, second, decision, ...about } });
}

function keyOf(pair) {
  return `${pair.first.session_number}-${pair.second.session_number}`;
}

function nameOf(one) {
  return one.name ?? t("person.number", { number: String(one.session_number) });
}
