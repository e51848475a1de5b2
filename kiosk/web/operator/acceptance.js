/** The acceptance of the kiosk at its door, by hand on a phone: one step after the other, and the report. */

import { call } from "../common/api.js";
import { chip } from "./decision-parts.js";
import { ask } from "./dialog.js";
import { el, icon, put } from "../common/dom.js";
import { field } from "../common/field.js";
import { empty, load, say } from "./notice.js";
import { current, named, number, t, time } from "../common/words.js";

const LOOK = {
  open: ["plain", "info"],
  under_way: ["maybe", "clock"],
  done: ["good", "check"],
  missed: ["bad", "alert"],
  skipped: ["plain", "pause"],
};
const COUNTED = new Set(["people", "strangers"]);
const ASKED = new Set(["watchdog", "power"]);
const KINDS = ["print", "phone", "tablet", "mask"];
const LOOK_MS = 1_000; // between two looks while somebody presents

export async function acceptance(place, { session, on, atEnd }) {
  const body = el("div", { class: "stack", "data-one-act": true }); // a second press would be of the next presentation
  const last = {}; // what was typed last, by step: the next presentation is often of the same
  let chosen = null; // the step that is open; null for the next one
  let shown = null;

  const draw = (found) => {
    shown = found;
    return found.is_begun ? view(found) : begin();
  };
  const fetchState = () => load(body, () => call("GET", "/device/acceptance"), draw, 6);

  /** Note something, and show what it made; the device says what does not fit. */
  async function note(json, done = null) {
    try {
      const found = await call("POST", "/device/acceptance", { json });
      put(body, draw(found));
      if (done) say(done);
      return true;
    } catch (error) {
      if (error.status === undefined) throw error;
      say(error.message, "bad");
      return false;
    }
  }

  function begin() {
    const mayBegin = session.role === "admin";
    return empty(
      "shield",
      t("acceptance.none"),
      t(mayBegin ? "acceptance.none_text" : "acceptance.none_admin"),
      mayBegin &&
        el(
          "button",
          { type: "button", class: "button primary", onclick: () => note({ act: "begin" }) },
          icon("play"),
          t("acceptance.begin"),
        ),
    );
  }

  function view(found) {
    const open = chosen ?? found.under_way?.step ?? found.next;
    return [
      el(
        "ol",
        { class: "accept-steps" },
        found.steps.map((step, place) => card(found, step, place, step.step === open)),
      ),
      reportCard(found),
    ];
  }

  function card(found, step, place, isOpen) {
    const heading = t("acceptance.step", { n: place + 1, name: t(`accept.${step.step}`) });
    return el(
      "li",
      { class: "card stack accept-step", "data-step": step.step },
      el(
        "div",
        { class: "card-head" },
        el("h2", {}, heading),
        chip(...LOOK[step.state], t(`accept_state.${step.state}`)),
      ),
      el("p", {}, sentence(step)),
      isOpen
        ? [el("p", { class: "soft" }, t(`accept_text.${step.step}`)), controls(found, step), skip(step)]
        : el(
            "div",
            { class: "actions" },
            el(
              "button",
              {
                type: "button",
                class: "button quiet",
                disabled: Boolean(found.under_way),
                "aria-label": t("acceptance.open_one", { name: t(`accept.${step.step}`) }),
                onclick: () => {
                  chosen = step.step;
                  put(body, draw(found));
                  body.querySelector(`[data-step="${step.step}"]`)?.scrollIntoView({ block: "nearest" });
                },
              },
              t("acceptance.open"),
            ),
          ),
    );
  }

  function controls(found, step) {
    if (step.step === "camera") return measure("camera", "acceptance.measure");
    if (step.step === "light") return [measure("light", "acceptance.reading"), readings(step)];
    if (step.step === "timing") return stopwatch();
    if (ASKED.has(step.step)) return asked(step);
    return presented(found, step);
  }

  function measure(act, words) {
    return el(
      "div",
      { class: "actions" },
      el(
        "button",
        {
          type: "button",
          class: "button primary large",
          onclick: () => note({ act }, t("acceptance.noted")),
        },
        icon("camera"),
        t(words),
      ),
    );
  }

  function stopwatch() {
    const seconds = field(t("acceptance.seconds"), {
      name: "seconds",
      type: "number",
      inputmode: "decimal",
      step: "0.1",
      min: "0.1",
      unit: named("unit", "s"),
      required: true,
    });
    return form([seconds], t("acceptance.note"), () =>
      note({ act: "stopwatch", seconds: Number(seconds.control.value) }, t("acceptance.noted")),
    );
  }

  function asked(step) {
    if (!step.is_waiting)
      return el(
        "div",
        { class: "actions" },
        el(
          "button",
          { type: "button", class: "button primary", onclick: () => note({ act: "try", step: step.step }) },
          icon("play"),
          t("acceptance.try"),
        ),
      );
    const text = field(t("acceptance.happened"), { name: "text", maxlength: "200" });
    const answer = (worked) => () =>
      note({ act: "word", step: step.step, worked, text: text.control.value }, t("acceptance.noted"));
    return el(
      "div",
      { class: "stack" },
      el("p", { class: "state-title" }, t("acceptance.came_back")),
      text,
      el(
        "div",
        { class: "actions" },
        el("button", { type: "button", class: "button good", onclick: answer(true) }, icon("check"), t("word.yes")),
        el("button", { type: "button", class: "button danger", onclick: answer(false) }, icon("cross"), t("word.no")),
      ),
    );
  }

  function presented(found, step) {
    if (found.under_way?.step === step.step) return underWay(found, step);
    const isAttack = step.step === "attacks";
    const species =
      isAttack &&
      field(t("acceptance.species"), {
        name: "species",
        value: last.species ?? "print",
        list: "accept-kinds",
        maxlength: "200",
        required: true,
        autocomplete: "off",
      });
    const who = field(t(`acceptance.who_${step.step}`), {
      name: "who",
      hint: t(`acceptance.who_${step.step}_hint`),
      value: last[step.step] ?? "",
      inputmode: isAttack ? "text" : "numeric",
      maxlength: "200",
      required: true,
      autocomplete: "off",
    });
    const go = () => {
      last[step.step] = who.control.value;
      if (isAttack) last.species = species.control.value;
      return note({
        act: "present",
        step: step.step,
        who: who.control.value,
        ...(isAttack && { species: species.control.value }),
      });
    };
    return [
      isAttack &&
        el(
          "datalist",
          { id: "accept-kinds" },
          KINDS.map((kind) => el("option", { value: kind })),
        ),
      form([isAttack && species, who].filter(Boolean), t("acceptance.step_up"), go),
      isAttack ? step.species.map((one) => latest(one.latest, one.species)) : latest(step.latest),
    ];
  }

  function underWay(found, step) {
    const decided = found.decided ?? [];
    return el(
      "div",
      { class: "banner plain" },
      icon(decided.length ? "check" : "wait"),
      el(
        "div",
        { class: "banner-body stack" },
        el(
          "p",
          { class: "banner-title", role: "status" },
          decided.length
            ? decided.map((one) => outcome(one)).join(", ")
            : t("acceptance.waiting", { who: [found.under_way.species, found.under_way.who].filter(Boolean).join(" ") }),
        ),
        found.held_s > 0 &&
          !decided.length &&
          el("p", {}, icon("lock"), " ", t("acceptance.held")),
        el("p", { class: "soft" }, t(step.step === "people" ? "acceptance.first_counts" : "acceptance.any_counts")),
        el(
          "div",
          { class: "actions" },
          el(
            "button",
            {
              type: "button",
              class: "button primary large",
              disabled: decided.length === 0,
              onclick: () => note({ act: "end" }),
            },
            icon("right"),
            t("acceptance.count"),
          ),
          decided.length === 0 &&
            el(
              "button",
              { type: "button", class: "button", onclick: () => note({ act: "unseen" }) },
              t("acceptance.unseen"),
            ),
          el("button", { type: "button", class: "button quiet", onclick: () => note({ act: "drop" }) }, t("acceptance.drop")),
        ),
      ),
    );
  }

  function latest(rows, species = null) {
    if (!rows?.length) return null;
    return el(
      "div",
      {},
      el("h3", { class: "accept-latest" }, species ? t("acceptance.latest_of", { species }) : t("acceptance.latest")),
      el(
        "ul",
        { class: "accept-rows" },
        [...rows].reverse().map((row) =>
          el(
            "li",
            {},
            chip(...(row.is_error ? ["bad", "alert"] : ["good", "check"]), t(row.is_error ? "acceptance.error" : "acceptance.right")),
            el("span", {}, row.who),
            el("span", { class: "soft" }, time(row.at)),
            el(
              "button",
              {
                type: "button",
                class: "button quiet",
                "aria-label": t("acceptance.take_back_one", { who: row.who }),
                onclick: () => note({ act: "withdraw", number: row.number }, t("acceptance.taken_back")),
              },
              t("acceptance.take_back"),
            ),
          ),
        ),
      ),
    );
  }

  function readings(step) {
    if (!step.readings.length) return null;
    return el(
      "ul",
      { class: "accept-rows" },
      step.readings.map((one) =>
        el(
          "li",
          {},
          chip(...(one.objection ? ["bad", "alert"] : ["good", "check"]), t("acceptance.luma", { n: number(one.luminance, 0) })),
          el("span", { class: "soft" }, time(one.at)),
          one.weakness && el("span", {}, t(`report.poor_${one.weakness}`, { n: number(one.eye_distance_px, 0) })),
        ),
      ),
    );
  }

  function skip(step) {
    if (step.state === "skipped") return null;
    const reason = field(t("acceptance.reason"), { name: "reason", maxlength: "200", required: true });
    return el(
      "details",
      {},
      el("summary", {}, t("acceptance.skip")),
      form(
        [reason],
        t("acceptance.skip_it"),
        async () => {
          chosen = null;
          await note({ act: "skip", step: step.step, reason: reason.control.value });
        },
        "button",
      ),
    );
  }

  function reportCard(found) {
    const isTried = found.steps.some((one) => one.step === "strangers" && one.presented > 0);
    const recommended = isTried && found.recommended; // without a stranger nothing speaks for any threshold
    return el(
      "section",
      { class: "card stack" },
      el("h2", {}, t("acceptance.report")),
      el("p", { class: "soft" }, t(found.next ? "acceptance.report_early" : "acceptance.report_text")),
      recommended &&
        el(
          "p",
          {},
          recommended.threshold > recommended.in_force
            ? t("acceptance.raise", { now: number(recommended.in_force), n: number(recommended.threshold) })
            : t("acceptance.keep", { n: number(recommended.in_force) }),
        ),
      el(
        "div",
        { class: "actions" },
        el(
          "a",
          { class: "button primary", href: `/device/acceptance/report?language=${current()}`, target: "_blank", rel: "noopener" },
          icon("list"),
          t("acceptance.show_report"),
        ),
        session.role === "admin" &&
          el("button", { type: "button", class: "button quiet", onclick: restart }, icon("again"), t("acceptance.restart")),
      ),
      el(
        "p",
        { class: "small" },
        el("a", { href: "/device/acceptance/files/acceptance-report.html" }, t("acceptance.file")),
        " · ",
        el("a", { href: "/device/acceptance/files/acceptance-report.html.minisig" }, t("acceptance.signature")),
      ),
      el("p", { class: "hint" }, t("acceptance.key"), " ", el("code", {}, found.key)),
    );
  }

  async function restart() {
    await ask({
      title: t("acceptance.restart_title"),
      text: t("acceptance.restart_text"),
      confirm: t("acceptance.restart"),
      isDanger: true,
      act: async () => {
        const found = await call("POST", "/device/acceptance", { json: { act: "restart" } });
        chosen = null;
        put(body, draw(found));
      },
    });
  }

  put(
    place,
    el("div", { class: "head" }, el("h1", {}, t("acceptance.title"))),
    el("p", { class: "soft lead" }, t("acceptance.text")),
    body,
  );
  // While somebody presents, the door's decision is waited for; else nothing changes by itself.
  const look = async () => {
    if (!shown?.under_way || shown.decided?.length || document.hidden) return;
    const found = await call("GET", "/device/acceptance").catch(() => null);
    const isSame = found?.under_way && shown?.under_way?.number === found.under_way.number;
    if (isSame && (found.decided.length || Boolean(found.held_s) !== Boolean(shown.held_s))) put(body, draw(found));
  };
  on("decision", look);
  const timer = setInterval(look, LOOK_MS);
  atEnd(() => clearInterval(timer));
  await fetchState();
}

function form(fields, words, send, kind = "button primary large") {
  return el(
    "form",
    {
      class: "stack accept-form",
      onsubmit: async (event) => {
        event.preventDefault();
        await send();
      },
    },
    fields,
    el("div", { class: "actions" }, el("button", { type: "submit", class: kind }, words)),
  );
}

function outcome(one) {
  const score = one.score === null ? "" : t("acceptance.score", { n: number(one.score, 1) });
  return `${named("status", one.status)}${score}`;
}

/** Say how far a step is. */
function sentence(step) {
  if (step.state === "skipped") return t("acceptance.skipped", { reason: step.reason });
  if (COUNTED.has(step.step)) return counted(step, step.goal);
  if (step.step === "attacks") {
    if (!step.species.length) return t("acceptance.attacks_none", { n: step.first_look, rate: percent(step.goal) });
    return step.species.map((one) => `${one.species}: ${counted(one, step.goal)}`).join(" ");
  }
  if (step.step === "camera") return step.camera ? cameraWords(step) : t("acceptance.nothing");
  if (step.step === "light") return t("acceptance.readings", { n: step.readings.length });
  if (step.step === "timing") return timingWords(step);
  if (!step.word) return t("acceptance.not_tried");
  if (step.word.worked && step.state === "missed") return t("acceptance.word_unseen");
  return t(step.word.worked ? "acceptance.word_good" : "acceptance.word_bad");
}

function counted(step, goal) {
  if (!step.presented && step.verdict === "more") return t("acceptance.verdict_none", { n: step.needed, rate: percent(goal) });
  const values = { errors: step.errors, presented: step.presented, n: (step.needed ?? 0) - step.presented, rate: percent(goal) };
  return t(`acceptance.verdict_${step.verdict}`, values);
}

function cameraWords({ camera, faults }) {
  const words = t("acceptance.camera", { width: camera.width, height: camera.height, fps: number(camera.fps, 1) });
  const lacks = faults.map((one) => t(`report.fault_${one.kind}`, { n: number(one.n, 1), least: number(one.least) }));
  return [words, ...lacks].join(" ");
}

function timingWords(step) {
  const parts = ["decision", "relay", "stopwatch"]
    .filter((name) => step[name])
    .map((name) => t(`acceptance.time_${name}`, { n: number(step[name].median_s, 2) }));
  return parts.length ? parts.join(" ") : t("acceptance.nothing");
}

function percent(share) {
  return `${number(share * 100, 1)} %`;
}
