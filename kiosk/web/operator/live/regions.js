/** Over the camera's picture: faces that do not move, and the parts of the picture in which no face counts. */

import { call } from "../../common/api.js";
import { el, icon, put } from "../../common/dom.js";
import { load, say } from "../notice.js";
import { ago, t } from "../../common/words.js";

const SETTING = "entrance.ignore";
const LEAST = 0.03; // of the picture: less is a slip of the pointer
const MARGIN = 0.02; // around a face whose place is marked
const THIRDS = [1 / 3, 2 / 3];

/** Return where in the picture a place is, in words; `place` is left, top, right, bottom in shares. */
export function where([left, top, right, bottom]) {
  const across = ["left", "middle", "right"][THIRDS.filter((third) => (left + right) / 2 > third).length];
  const down = ["top", "middle", "bottom"][THIRDS.filter((third) => (top + bottom) / 2 > third).length];
  return t(`place.${down}_${across}`);
}

/** Return one line about a face that does not move, as health tells of it. */
export function stillFace(one) {
  return t(one.is_furniture ? "still.furniture" : "still.counts", {
    where: where(one.place),
    since: ago(one.since),
  });
}

/**
 * Return what lies over the picture (`layer`), what stands below it (`panel`), and `see`, which takes a new health.
 *
 * Only an administrator marks: a part that is left out changes who is judged.
 */
export function regions({ session }) {
  let marked = [];
  let faces = [];
  let drawn = null; // the part that is being dragged
  let from = null;
  let isMarking = false;
  let mayMark = false;
  let isSaving = false; // what is marked meanwhile would be sent without the part before it
  const layer = el("div", { class: "camera-layer", onpointerdown: begin, onpointermove: go, onpointerup: end });
  layer.addEventListener("pointercancel", stop);
  const panel = el("div", { class: "camera-regions", "data-one-act": true });
  const toggle = el("button", { type: "button", class: "button quiet", "aria-pressed": "false", onclick: turn });

  function at(event) {
    const box = layer.getBoundingClientRect();
    const share = (value, low, size) => Math.min(1, Math.max(0, (value - low) / size));
    return [share(event.clientX, box.left, box.width), share(event.clientY, box.top, box.height)];
  }

  function begin(event) {
    if (!isMarking || isSaving || event.button !== 0) return;
    event.preventDefault();
    layer.setPointerCapture(event.pointerId);
    from = at(event);
    drawn = null;
  }

  function go(event) {
    if (!from) return;
    const [x, y] = at(event);
    drawn = [Math.min(from[0], x), Math.min(from[1], y), Math.max(from[0], x), Math.max(from[1], y)];
    drawLayer();
  }

  async function end(event) {
    if (!from) return;
    go(event);
    const region = drawn;
    stop();
    if (region && region[2] - region[0] >= LEAST && region[3] - region[1] >= LEAST) {
      turn();
      await save([...marked, line(region)]);
    }
  }

  function stop() {
    from = drawn = null;
    drawLayer();
  }

  function turn() {
    isMarking = !isMarking;
    layer.classList.toggle("is-marking", isMarking);
    draw();
  }

  async function save(lines) {
    isSaving = true;
    try {
      const answer = await call("PATCH", "/device/settings", { json: { [SETTING]: lines } });
      take(answer.settings);
      say(t("regions.saved"));
    } catch (error) {
      if (error.status === undefined) throw error;
      say(error.message, "bad");
    } finally {
      isSaving = false;
    }
  }

  function take(settings) {
    const one = settings.find((found) => found.name === SETTING);
    marked = one?.value ?? [];
    mayMark = session.role === "admin" && Boolean(one?.is_changeable);
    draw();
  }

  function drawLayer() {
    put(
      layer,
      marked.map((text) => box(numbers(text), "region", t("regions.ignored"))),
      faces.map((one) =>
        box(one.place, one.is_furniture ? "furniture" : "counts", t(one.is_furniture ? "still.word" : "still.word_counts")),
      ),
      drawn && box(drawn, "region drawn", ""),
    );
  }

  function draw() {
    drawLayer();
    put(toggle, icon("block"), t(isMarking ? "regions.cancel" : "regions.mark"));
    toggle.setAttribute("aria-pressed", String(isMarking));
    put(
      panel,
      isMarking && el("p", { class: "soft", role: "status" }, t("regions.how")),
      (faces.length > 0 || marked.length > 0) &&
        el(
          "ul",
          { class: "camera-places" },
          faces.map((one) =>
            el(
              "li",
              {},
              el("span", {}, stillFace(one)),
              mayMark && act("regions.ignore_face", where(one.place), () => save([...marked, line(wider(one.place))])),
            ),
          ),
          marked.map((text, index) =>
            el(
              "li",
              {},
              el("span", {}, t("regions.line", { where: where(numbers(text)) })),
              mayMark &&
                act("regions.remove", where(numbers(text)), () => save(marked.filter((_, other) => other !== index))),
            ),
          ),
        ),
      mayMark && toggle,
    );
  }

  load(
    panel,
    () => call("GET", "/device/settings"),
    ({ settings }) => {
      take(settings);
      return [...panel.childNodes];
    },
    1,
  );
  return {
    layer,
    panel,
    see(health) {
      faces = health.figures?.still_faces ?? [];
      draw();
    },
  };
}

function act(key, place, onclick) {
  return el("button", { type: "button", class: "button quiet", onclick, "aria-label": `${t(key)}: ${place}` }, t(key));
}

function box([left, top, right, bottom], kind, word) {
  const style = {
    left: `${left * 100}%`,
    top: `${top * 100}%`,
    width: `${(right - left) * 100}%`,
    height: `${(bottom - top) * 100}%`,
  };
  return el("div", { class: `camera-box ${kind}`, style }, word && el("span", {}, word));
}

function numbers(text) {
  return text
    .trim()
    .split(/[\s,;]+/)
    .map(Number);
}

function line(region) {
  return region.map((value) => value.toFixed(3)).join(" ");
}

function wider([left, top, right, bottom]) {
  return [
    Math.max(0, left - MARGIN),
    Math.max(0, top - MARGIN),
    Math.min(1, right + MARGIN),
    Math.min(1, bottom + MARGIN),
  ];
}
