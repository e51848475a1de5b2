/** Over the camera's picture: a box around each face that the device found in it, and whose the judged one is. */

import { el, icon, put } from "../../common/dom.js";
import { number, t } from "../../common/words.js";
import { look, whom } from "../decision-parts.js";

/** Kinds of decisions about whoever stands at the door; the others are calls of a program. */
export const AT_DOOR = new Set(["IDENTIFY", "VERIFY"]);
const OVER = new Set(["idle", "guide", "closed", "locked"]); // states of the screen in which the last result is no more

/**
 * Return the layer; `see(places)` takes the faces of a look, largest first, each [left, top, right, bottom] in shares
 * of the picture; `decision` and `screen` take news.
 *
 * A name stands at a face while the kiosk itself shows the decision about it, and no longer: a name at somebody
 * else's face would be worse than none.
 */
export function faces() {
  let places = [];
  let judged = null; // the decision of whoever stands there
  let where = null; // the face that the kiosk follows, as its screen has it
  const layer = el("div", { class: "camera-faces", role: "list", "aria-label": t("live.faces") });

  function draw() {
    const whose = judged && nearest(places, where);
    put(
      layer,
      places.map((place) => box(place, place === whose ? judged : null)),
    );
  }

  return {
    layer,
    see(found) {
      places = found;
      draw();
    },
    decision(news) {
      if (!AT_DOOR.has(news.kind)) return;
      judged = news;
      draw();
    },
    screen(news) {
      where = news.face ?? where;
      if (!OVER.has(news.state) || judged === null) return;
      judged = where = null;
      draw();
    },
  };
}

/** Return the face that overlaps most with the followed one; the largest where nobody says which that is. */
export function nearest(places, followed) {
  if (!followed) return places[0] ?? null;
  const [best] = places
    .map((place) => [overlap(place, followed), place])
    .sort(([one], [other]) => other - one);
  return best && best[0] > 0 ? best[1] : null;
}

function overlap([left, top, right, bottom], [left2, top2, right2, bottom2]) {
  const width = Math.min(right, right2) - Math.max(left, left2);
  const height = Math.min(bottom, bottom2) - Math.max(top, top2);
  return width > 0 && height > 0 ? width * height : 0;
}

/** Return what a decision says of the person in front, and how it looks: [words, tone, symbol]. */
export function saidOf(news) {
  const who = news.name ?? (news.session_number ? t("person.number", { number: String(news.session_number) }) : null);
  if (news.is_alarm) return [t("live.blocked", { who: who ?? t("person.blocked") }), "alarm", "block"];
  const [tone, symbol] = look(news.status);
  return [AT_DOOR.has(news.kind) ? (who ?? t("live.unknown")) : whom(news), tone, symbol];
}

function box([left, top, right, bottom], news) {
  const style = {
    left: `${left * 100}%`,
    top: `${top * 100}%`,
    width: `${(right - left) * 100}%`,
    height: `${(bottom - top) * 100}%`,
  };
  if (!news) return el("div", { class: "face-box", style, role: "listitem", "aria-label": t("live.face") });
  const [words, tone, symbol] = saidOf(news);
  const label = news.score === null || news.score === undefined ? words : `${words} · ${number(news.score, 1)}`;
  const isHigh = top < 0.12; // no room above: the label hangs below
  return el(
    "div",
    { class: `face-box ${tone}${isHigh ? " is-high" : ""}`, style, role: "listitem" },
    el("span", {}, icon(symbol), label),
  );
}
