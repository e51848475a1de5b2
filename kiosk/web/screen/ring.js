/** The ring around the face. Its shape and dashes tell the state as much as its colour does. */

import { put, svg } from "../common/dom.js";

const ROOM = 1.25; // the ring is so much larger than the face's box
const RESTING = { x: 0.5, y: 0.48, width: 0.34, height: 0.62 }; // where a face should be, while there is none

/** Return {element, draw(look, face)} that lies over a picture shown mirrored and cropped to its frame. */
export function ring(picture) {
  const element = svg("svg", { class: "ring", "aria-hidden": "true" });

  /**
   * Draw.
   *
   * look: "seek", "guide", "hold", "busy", "good", "maybe" or "bad"; face: [x1, y1, x2, y2] in shares of the picture.
   */
  function draw(look, face) {
    const width = element.clientWidth;
    const height = element.clientHeight;
    if (!width || !height) return;
    element.setAttribute("viewBox", `0 0 ${width} ${height}`);
    put(
      element,
      face ? around(look, place(face, width, height)) : look === "seek" ? around("seek", rest(width, height)) : [],
    );
  }

  // Pixels of the picture's frame, as object-fit: cover lays it out, left and right swapped.
  function place([x1, y1, x2, y2], width, height) {
    const wide = picture.naturalWidth || 4;
    const high = picture.naturalHeight || 3;
    const zoom = Math.max(width / wide, height / high);
    const left = (width - wide * zoom) / 2;
    const top = (height - high * zoom) / 2;
    return {
      x: width - (left + ((x1 + x2) / 2) * wide * zoom),
      y: top + ((y1 + y2) / 2) * high * zoom,
      rx: ((x2 - x1) / 2) * wide * zoom * ROOM,
      ry: ((y2 - y1) / 2) * high * zoom * ROOM,
    };
  }

  return { element, draw };
}

function rest(width, height) {
  const ry = (height * RESTING.height) / 2;
  return { x: width * RESTING.x, y: height * RESTING.y, rx: Math.min((width * RESTING.width) / 2, ry * 0.76), ry };
}

function around(look, spot) {
  // A dark line under the bright one: seen on a white wall and on a black coat alike.
  return ["under", "over"].map((layer) => svg("g", { class: `ring-${layer} ring-${look}` }, shapes(look, spot)));
}

function shapes(look, { x, y, rx, ry }) {
  const ellipse = (grow) => svg("ellipse", { cx: x, cy: y, rx: rx + grow, ry: ry + grow });
  if (look === "good") return [ellipse(0), ellipse(11)]; // a double line
  if (look === "bad") {
    const cut = 0.3; // an octagon, as a stop sign
    const points = [
      [-cut, -1],
      [cut, -1],
      [1, -cut],
      [1, cut],
      [cut, 1],
      [-cut, 1],
      [-1, cut],
      [-1, -cut],
    ];
    return svg("polygon", {
      points: points.map(([across, down]) => `${x + across * rx * 1.1},${y + down * ry * 1.05}`).join(" "),
    });
  }
  if (look === "maybe") {
    const points = [
      [0, -1.35],
      [1.35, 0],
      [0, 1.35],
      [-1.35, 0],
    ]; // standing on its corner
    return svg("polygon", { points: points.map(([across, down]) => `${x + across * rx},${y + down * ry}`).join(" ") });
  }
  return ellipse(0);
}
