/** People who may be one, enrolled at two kiosks apart from each other: one word of an operator holds at every kiosk. */

import { call } from "../common/api.js";
import { chip, statusChip } from "./decision-parts.js";
import { ask } from "./dialog.js";
import { el, icon, put } from "../common/dom.js";
import { empty, load, say } from "./notice.js";
import { pager } from "./table.js";
import { number, t, time } from "../common/words.js";

const LIMIT = 20;
const SIDES = ["first", "second"];

export async function pairs(place, { atEnd }) {
  const list = el("div", {});
  const several = el("section", { class: "card several", hidden: true, "aria-label": t("pairs.several") });
  const chosen = new Map(); // by the pair, what is to be decided about
  let offset = 0;

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
    several,
    list,
  );

  const draw = () =>
    load(
      list,
      () => call("GET", "/device/fleet/duplicates", { query: { limit: LIMIT, offset } }),
      (found) => {
        chosen.clear();
        drawSeveral();
        if (!found.duplicates.length && offset > 0) {
          offset = 0;
          draw();
          return [];
        }
        return found.duplicates.length
          ? [
              el("ul", { class: "stack" }, found.duplicates.map((pair) => card(pair, { done, choose }))),
              pager({
                offset,
                limit: LIMIT,
                total: found.total,
                go: (next) => {
                  offset = next;
                  draw();
                },
              }),
            ]
          : empty("alike", t("pairs.empty"), t("pairs.empty_text"));
      },
    );

  async function done() {
    await draw();
    (list.querySelector(".pair") ?? place.querySelector("h1")).focus();
  }

  function choose(pair, isChosen) {
    if (isChosen) chosen.set(keyOf(pair), pair);
    else chosen.delete(keyOf(pair));
    drawSeveral();
  }

  function drawSeveral() {
    several.hidden = chosen.size < 2; // one has its own buttons
    if (several.hidden) {
      put(several);
      return;
    }
    put(
      several,
      el("h2", {}, t("pairs.chosen", { n: chosen.size })),
      el("p", { class: "hint" }, t("pairs.several_hint")),
      el(
        "div",
        { class: "actions" },
        el("button", { type: "button", class: "button", onclick: () => decideAll("different") }, icon("people"), t("pairs.different")),
        el("button", { type: "button", class: "button danger", onclick: () => decideAll("same") }, icon("person"), t("pairs.same")),
      ),
    );
  }

  async function decideAll(decision) {
    const all = [...chosen.values()];
    const act = async () => {
      let count = 0;
      for (const pair of all) {
        try {
          await send(pair, decision, "first");
          count += 1;
        } catch (error) {
          if (error.status !== 409) throw error; // decided meanwhile, here or elsewhere: the others are not held up
        }
      }
      return count;
    };
    let count = null;
    if (decision === "different") count = await act();
    else {
      const asked = await ask({
        title: t("pairs.same_several_ask", { n: all.length }),
        text: t("pairs.same_text"),
        confirm: t("pairs.same"),
        isDanger: true,
        act,
      });
      count = asked?.result ?? null;
    }
    if (count === null) return;
    say(t("pairs.several_done", { n: count }));
    await done();
  }

  document.addEventListener("keydown", pressed);
  atEnd(() => document.removeEventListener("keydown", pressed));

  function pressed(event) {
    if (event.target.closest("input:not([type=checkbox], [type=radio]), select, textarea, dialog")) return;
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    const cards = [...list.querySelectorAll(".pair")];
    const at = cards.findIndex((one) => one.contains(document.activeElement));
    const here = cards[at];
    const act = {
      j: () => cards[Math.min(at + 1, cards.length - 1)]?.focus(),
      k: () => cards[Math.max(at - 1, 0)]?.focus(),
      s: () => here?.querySelector("button[value=same]").click(),
      d: () => here?.querySelector("button[value=different]").click(),
      x: () => here?.querySelector("input[type=checkbox]").click(),
      1: () => here?.querySelector("input[value=first]").click(),
      2: () => here?.querySelector("input[value=second]").click(),
    }[event.key.toLowerCase()];
    if (!act || (!here && !["j", "k"].includes(event.key.toLowerCase()))) return;
    event.preventDefault();
    act();
  }

  await draw();
}

function card(pair, { done, choose }) {
  const trouble = el("p", { class: "field-error", role: "alert" });
  const names = SIDES.map((side) => nameOf(pair[side])).join(` ${t("pairs.and")} `);
  const item = el(
    "li",
    { class: "card review pair", tabindex: "-1", "aria-label": names },
    el(
      "div",
      { class: "card-head" },
      el("h2", {}, names),
      el(
        "label",
        { class: "choose" },
        el("input", { type: "checkbox", onchange: (event) => choose(pair, event.target.checked) }),
        t("review.choose"),
      ),
      chip("maybe", "alike", t("pairs.score", { score: number(pair.score, 1) })),
    ),
    el(
      "fieldset",
      { class: "pair-people" },
      el("legend", {}, t("pairs.details_of")),
      SIDES.map((side) => person(pair, side)),
    ),
    el(
      "div",
      { class: "actions" },
      el("button", { type: "button", class: "button", value: "different", onclick: () => decide("different") }, icon("people"), t("pairs.different")),
      el("button", { type: "button", class: "button danger", value: "same", onclick: () => decide("same") }, icon("person"), t("pairs.same")),
    ),
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
