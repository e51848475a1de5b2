/** Several people at once: chosen in the list, then one act for all of them, one after the other, each in the log. */

import { call } from "../../common/api.js";
import { el, icon, put } from "../../common/dom.js";
import { field } from "../../common/field.js";
import { t } from "../../common/words.js";
import { ask } from "../dialog.js";
import { say } from "../notice.js";
import { groupField } from "./groups.js";

/**
 * Return {bar, box, all, clear}: the bar of acts, a person's checkbox, the box that chooses all that are shown.
 *
 * `done` is called when an act is over. Whoever failed stays chosen, and is named with the reason.
 */
export function bulk({ done }) {
  const chosen = new Map(); // session_number -> name
  const boxes = new Map(); // session_number -> checkbox that is shown
  const bar = el("div", { class: "bulk-bar", hidden: true, role: "region", "aria-label": t("bulk.label") });
  let every = null;

  function draw() {
    bar.hidden = !chosen.size;
    if (every) {
      const shown = [...boxes.values()];
      every.checked = shown.length > 0 && shown.every((one) => one.checked);
      every.indeterminate = !every.checked && shown.some((one) => one.checked);
    }
    put(
      bar,
      el("p", { role: "status" }, el("b", {}, t("bulk.chosen", { n: chosen.size }))),
      el(
        "div",
        { class: "actions" },
        act("block", "person.block", block),
        act("check", "person.unblock", () => plain("unblock", "DELETE", "block")),
        act("allow", "person.allow", () => plain("allow", "POST", "allow")),
        act("cross", "person.disallow", () => plain("disallow", "DELETE", "allow")),
        act("clock", "bulk.until", until),
        act("people", "bulk.groups", regroup),
        act("forget", "bulk.forget", forget, "danger-quiet"),
        el("button", { type: "button", class: "button quiet", onclick: clear }, t("bulk.none")),
      ),
    );
  }

  function act(symbol, words, onclick, kind = "") {
    return el("button", { type: "button", class: `button ${kind}`, onclick }, icon(symbol), t(words));
  }

  function clear() {
    chosen.clear();
    for (const one of boxes.values()) one.checked = false;
    draw();
  }

  const block = () =>
    all("block", {
      content: field(t("person.reason"), { name: "reason", maxlength: 500, autocomplete: "off" }),
      isDanger: true,
      each: (address, { reason }) => call("POST", `${address}/block`, { json: { reason } }),
    });
  const plain = (name, method, what) =>
    all(name, { each: (address) => call(method, `${address}/${what}`, method === "POST" ? { json: {} } : {}) });
  const until = () =>
    all("until", {
      content: field(t("person.valid_until"), { name: "valid_until", type: "datetime-local", required: true }),
      each: (address, { valid_until: text }) =>
        call("PATCH", address, { json: { valid_until: new Date(text).toISOString() } }),
    });
  const named = (text) => (text.trim() ? [text.trim()] : []);
  const regroup = () =>
    all("groups", {
      content: [groupField(t("groups.add"), "add_groups"), groupField(t("groups.take"), "remove_groups")],
      check: (said) => (named(said.add_groups + said.remove_groups).length ? null : t("groups.say_which")),
      each: (address, said) =>
        call("PATCH", address, {
          json: { add_groups: named(said.add_groups), remove_groups: named(said.remove_groups) },
        }),
    });
  const forget = () =>
    all("forget", {
      content: field(t("bulk.type", { n: chosen.size }), { name: "count", inputmode: "numeric", autocomplete: "off", required: true }),
      isDanger: true,
      check: ({ count }) => (Number(count) === chosen.size ? null : t("bulk.mistyped", { n: chosen.size })),
      each: (address) => call("DELETE", address, { query: { wait: "false" } }),
    });

  async function all(name, { content = null, isDanger = false, each, check = () => null }) {
    const progress = el("progress", { max: chosen.size, value: 0, hidden: true, "aria-label": t("bulk.progress") });
    const failed = [];
    const asked = await ask({
      title: t(`bulk.${name}_title`, { n: chosen.size }),
      text: t(`bulk.${name}_text`, { names: names([...chosen.values()]) }),
      content: [content, progress],
      confirm: t(`bulk.${name}_title`, { n: chosen.size }),
      isDanger,
      act: async (values) => {
        const wrong = check(values);
        if (wrong) throw Object.assign(new Error(wrong), { status: 400 });
        progress.hidden = false;
        for (const [number, who] of [...chosen]) {
          try {
            await each(`/device/subjects/${number}`, values);
            chosen.delete(number);
          } catch (error) {
            if (error.status === undefined) throw error;
            failed.push(`${who}: ${error.message}`);
          }
          progress.value += 1;
        }
      },
    });
    if (!asked) return;
    if (failed.length) say(failed.join(" · "), "bad");
    else say(t("bulk.done"));
    draw();
    await done();
  }

  return {
    bar,
    /** Return the checkbox of a person; the list is drawn anew, so whoever was chosen stays so. */
    box(row) {
      const number = row.session_number;
      const who = row.name ?? t("person.number", { number: String(number) });
      const made = el("input", { type: "checkbox", "aria-label": t("bulk.choose", { name: who }) });
      made.checked = chosen.has(number);
      made.addEventListener("change", () => {
        if (made.checked) chosen.set(number, who);
        else chosen.delete(number);
        draw();
      });
      boxes.set(number, made);
      return made;
    },
    all() {
      boxes.clear();
      every = el("input", { type: "checkbox", "aria-label": t("bulk.choose_all") });
      every.addEventListener("change", () => {
        const wanted = every.checked;
        for (const one of boxes.values()) {
          if (one.checked === wanted) continue;
          one.checked = wanted;
          one.dispatchEvent(new Event("change"));
        }
      });
      queueMicrotask(draw);
      return every;
    },
  };
}

const NAMED = 5;

function names(all) {
  const rest = all.length - NAMED;
  return all.slice(0, NAMED).join(", ") + (rest > 0 ? ` ${t("bulk.more", { n: rest })}` : "");
}
