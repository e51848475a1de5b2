/** The steps of the first run: what each asks, and when it counts as done. */

import { call } from "../../common/api.js";
import { coded, el, icon, put } from "../../common/dom.js";
import { field } from "../../common/field.js";
import { LANGUAGES, current, moment, named, span, speak, t, time } from "../../common/words.js";
import { camera } from "../live/camera.js";
import { door } from "../live/door.js";
import { load } from "../notice.js";

export const STEPS = ["language", "clock", "camera", "door", "person"];
const CLOSE_S = 5; // between two clocks: what nobody notices
const PICTURE_MS = 500;
const LOOK_MS = 3_000;

const BODIES = { language, clock, camera: eye, door: lock, person };

/** Return {element, done} of a step: its content, and the button that ends it. */
export function bodyOf(step, context) {
  return BODIES[step](context);
}

function button(words, onclick, kind = "primary") {
  return el("button", { type: "button", class: `button ${kind}`, onclick }, icon("check"), words);
}

function language({ note }) {
  const choice = field(t("language.label"), { value: current(), choices: Object.entries(LANGUAGES) });
  return {
    element: choice,
    done: button(t("setup.use"), async () => {
      await call("PATCH", "/device/settings", { json: { "api.language": choice.control.value } });
      await note("done");
      if (choice.control.value === current()) return;
      await speak(choice.control.value, { keep: true });
      location.reload(); // the menu too
    }),
  };
}

function clock({ note, session }) {
  const here = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const zones = Intl.supportedValuesOf?.("timeZone") ?? [here];
  const zone = field(t("setting.schedule.time_zone"), { value: here, list: "zones", autocomplete: "off", spellcheck: "false" });
  const names = el("datalist", { id: "zones" }, zones.map((name) => el("option", { value: name })));
  const told = el("div", {});
  load(
    told,
    () => Promise.all([call("GET", "/device/setup"), call("GET", "/device/health")]),
    ([{ now }, { figures }]) => {
      if (session.time_zone && session.time_zone !== "UTC") zone.control.value = session.time_zone;
      const apart = Math.abs(moment(now) - Date.now()) / 1000;
      const isClose = apart <= CLOSE_S;
      return el(
        "div",
        { class: `banner ${isClose ? "good" : "maybe"}` },
        icon(isClose ? "check" : "clock"),
        el(
          "div",
          { class: "banner-body" },
          el("p", { class: "banner-title" }, time(now, "full")),
          el("p", {}, coded(isClose ? t("setup.clock_same") : t("setup.clock_apart", { span: span(apart) }))),
          figures?.clock && el("p", { class: "soft" }, named("clock", figures.clock)),
        ),
      );
    },
    2,
  );
  return {
    element: el("div", { class: "stack" }, told, zone, names),
    done: button(t("setup.use"), async () => {
      try {
        await call("PATCH", "/device/settings", { json: { "schedule.time_zone": zone.control.value.trim() } });
      } catch (error) {
        if (error.status === undefined) throw error;
        zone.fault(error.fields["schedule.time_zone"] ?? error.message);
        return;
      }
      await note("done");
    }),
  };
}

function eye({ note, atEnd, every, session }) {
  const watched = camera({ atEnd, every, session, everyMs: PICTURE_MS });
  const said = el("p", { role: "status" }, t("state.loading"));
  const look = async () => {
    try {
      const health = await call("GET", "/device/health");
      const found = health.figures?.camera;
      watched.see(health);
      put(said, found?.state ? t("setup.camera_is", { state: named("camera_state", found.state), source: found.source ?? "" }) : t("camera.none"));
    } catch (error) {
      if (error.status === undefined) throw error;
      put(said, error.message);
    }
  };
  look();
  const timer = setInterval(() => document.hidden || look(), LOOK_MS);
  atEnd(() => clearInterval(timer));
  return { element: el("div", { class: "stack" }, watched.card, said), done: button(t("setup.camera_good"), () => note("done")) };
}

function lock({ note, atEnd, every, session }) {
  const found = door({ session });
  const look = () => call("GET", "/device/health").then(found.see, (error) => error.status === undefined && Promise.reject(error));
  look();
  every("door", look);
  const timer = setInterval(() => document.hidden || look(), LOOK_MS);
  atEnd(() => clearInterval(timer));
  return {
    element: el("div", { class: "stack" }, found.card, el("ol", { class: "setup-list" }, [1, 2, 3].map((n) => el("li", {}, t(`setup.door_${n}`))))),
    done: button(t("setup.door_good"), () => note("done")),
  };
}

function person({ note }) {
  const told = el("div", {});
  const done = button(t("setup.person_good"), () => note("done"));
  load(
    told,
    () => call("GET", "/device/subjects", { query: { limit: 1 } }),
    ({ total }) => {
      done.hidden = !total;
      return el(
        "div",
        { class: "stack" },
        el("p", {}, t("setup.person_count", { n: total })),
        el(
          "div",
          { class: "actions" },
          el("a", { class: "button", href: "#/people/new" }, icon("plus"), t("people.enrol")),
          el("a", { class: "button", href: "#/people/import" }, icon("upload"), t("people.import")),
        ),
      );
    },
    2,
  );
  return { element: told, done };
}
