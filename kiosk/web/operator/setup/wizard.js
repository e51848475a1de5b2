/** The first run, step by step: language, clock, camera, door, first person. It goes on where it was left. */

import { call } from "../../common/api.js";
import { el, icon, put } from "../../common/dom.js";
import { t } from "../../common/words.js";
import { load } from "../notice.js";
import { STEPS, bodyOf } from "./steps.js";

export async function setup(place, context) {
  const body = el("div", {});
  put(place, el("div", { class: "head" }, el("h1", {}, t("setup.title"))), body);
  await load(
    body,
    () => call("GET", "/device/setup"),
    ({ steps }) => wizard(steps ?? Object.fromEntries(STEPS.map((step) => [step, "open"])), context),
    6,
  );
}

function wizard(steps, context) {
  let now = context.query.get("step") ?? STEPS.find((step) => steps[step] === "open") ?? "end";
  const list = el("ol", { class: "setup-steps" });
  const card = el("section", { class: "card stack setup-card", tabindex: "-1", "aria-live": "polite" });
  const whole = el("div", { class: "setup", "data-one-act": true }, list, card); // a second press would be of the next step
  let leave = []; // what ends the step of now, such as its camera
  context.atEnd(end);

  function end() {
    for (const stop of leave.splice(0)) stop();
  }

  async function note(state) {
    ({ steps } = await call("POST", "/device/setup/steps", { json: { step: now, state } }));
    const at = STEPS.indexOf(now);
    go([...STEPS.slice(at + 1), ...STEPS.slice(0, at)].find((step) => steps[step] === "open") ?? "end");
  }

  function go(step) {
    now = step;
    draw();
    card.focus({ preventScroll: true });
  }

  function draw() {
    end();
    put(
      list,
      STEPS.map((step, place) =>
        el(
          "li",
          { class: steps[step] },
          el(
            "button",
            { type: "button", "aria-current": step === now && "step", onclick: () => go(step) },
            el("span", { class: "setup-number" }, steps[step] === "done" ? icon("check") : String(place + 1)),
            el("span", {}, t(`setup.step_${step}`)),
            el("span", { class: "unseen" }, t(`setup.state_${steps[step]}`)),
          ),
        ),
      ),
    );
    if (now === "end") {
      put(card, finished(steps));
      return;
    }
    const step = bodyOf(now, { ...context, atEnd: (stop) => leave.push(stop), note });
    put(
      card,
      el("h2", {}, t(`setup.step_${now}`)),
      el("p", { class: "soft" }, t(`setup.text_${now}`)),
      step.element,
      el(
        "div",
        { class: "actions" },
        step.done,
        el("button", { type: "button", class: "button quiet", onclick: () => note("skipped") }, t("setup.skip")),
      ),
    );
  }

  draw();
  return whole;
}

function finished(steps) {
  const skipped = STEPS.filter((step) => steps[step] === "skipped");
  return [
    el("div", { class: "receipt-mark" }, icon("check")),
    el("h2", {}, t("setup.end_title")),
    el("p", {}, t(skipped.length ? "setup.end_skipped" : "setup.end_text", { n: skipped.length })),
    el("p", { class: "soft" }, t("setup.end_more")),
    el(
      "div",
      { class: "actions" },
      el("a", { class: "button primary", href: "#/today" }, t("menu.today")),
      el("a", { class: "button", href: "#/operators" }, t("menu.operators")),
      el("a", { class: "button", href: "#/acceptance" }, t("menu.acceptance")),
    ),
  ];
}

/** Return the banner that leads back to a first run that was not finished; null where there is none. */
export async function unfinished(session) {
  if (session.role !== "admin") return null;
  const { steps } = await call("GET", "/device/setup");
  const left = STEPS.filter((step) => steps?.[step] === "open").length;
  if (!left) return null;
  return el(
    "div",
    { class: "banner maybe setup-banner" },
    icon("info"),
    el("div", { class: "banner-body" }, el("p", { class: "banner-title" }, t("setup.unfinished", { n: left }))),
    el("a", { class: "button", href: "#/setup" }, t("setup.go_on")),
  );
}
