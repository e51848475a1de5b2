/** Photographs for an enrolment: chosen, dropped, or taken by the device's or this computer's camera, and judged at once. */

import { call } from "../../common/api.js";
import { chip } from "../decision-parts.js";
import { el, icon, put } from "../../common/dom.js";
import { number, t } from "../../common/words.js";

const MOST = 5;
const LARGEST_BYTES = 5 * 1024 * 1024; // the device takes no more
const LONGEST_EDGE = 2400; // px; far more than a face needs
// Quality as a share of what is plainly good; the device alone decides what is enough.
const GOOD_ENOUGH = 0.6; // of what is plenty: from here on more of it changes little
const FAIR = 0.3;
const PLENTY = { eye_distance_px: 80, sharpness: 200, contrast: 50, frontality: 0.9 };

/** Return {element, photographs(), check()}; `changed` is called whenever the list or a judgement changes. */
export function chooser({ changed, hasCamera = true, most = MOST }) {
  const taken = []; // {blob, url, verdict: null while judged | object | Error, element}
  const list = el("ul", { class: "photographs", "aria-live": "polite" });
  const input = el("input", {
    type: "file",
    id: "photographs",
    accept: "image/jpeg,image/png,image/webp,image/tiff",
    multiple: most > 1,
    class: "unseen",
  });
  const word = el("p", { class: "field-error", role: "alert" });
  const webcam = el("div", {});
  const drop = el(
    "div",
    { class: "drop" },
    icon("camera"),
    el("p", {}, t("photograph.drop")),
    el(
      "div",
      { class: "actions centre" },
      el("label", { for: "photographs", class: "button" }, icon("upload"), t("photograph.choose")),
      hasCamera && el("button", { type: "button", class: "button", onclick: fromDevice }, icon("camera"), t("photograph.device")),
      navigator.mediaDevices &&
        el("button", { type: "button", class: "button", onclick: openWebcam }, icon("screen"), t("photograph.webcam")),
    ),
    input,
  );

  input.addEventListener("change", () => {
    add([...input.files]);
    input.value = "";
  });
  drop.addEventListener("dragover", (event) => {
    event.preventDefault();
    drop.classList.add("over");
  });
  drop.addEventListener("dragleave", () => drop.classList.remove("over"));
  drop.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    add([...event.dataTransfer.files]);
  });

  async function fromDevice() {
    word.textContent = "";
    try {
      add([await call("GET", "/device/camera/still.jpg", { as: "blob" })], { isOfNow: true });
    } catch (error) {
      if (error.status === undefined) throw error;
      word.textContent = error.status === 503 ? t("camera.none") : error.message;
    }
  }

  async function openWebcam() {
    word.textContent = "";
    let stream;
    try {
      stream = await navigator.mediaDevices.getUserMedia({ video: { width: 1280, height: 720 } });
    } catch {
      word.textContent = t("photograph.webcam_none"); // refused by the person or the browser, or there is none
      return;
    }
    const video = el("video", { class: "webcam", autoplay: true, playsinline: true, muted: true });
    video.srcObject = stream;
    const close = () => {
      for (const track of stream.getTracks()) track.stop();
      put(webcam);
    };
    window.addEventListener("hashchange", close, { once: true });
    const shoot = async () => {
      const canvas = el("canvas", { width: video.videoWidth, height: video.videoHeight });
      canvas.getContext("2d").drawImage(video, 0, 0);
      canvas.toBlob((blob) => blob && add([blob], { isOfNow: true }), "image/jpeg", 0.92);
    };
    put(
      webcam,
      video,
      el(
        "div",
        { class: "actions centre" },
        el("button", { type: "button", class: "button primary", onclick: shoot }, icon("camera"), t("photograph.take")),
        el("button", { type: "button", class: "button", onclick: close }, t("action.close")),
      ),
    );
  }

  async function add(files, { isOfNow = false } = {}) {
    word.textContent = "";
    for (const file of files) {
      if (taken.length >= most) {
        word.textContent = t("photograph.too_many", { n: most });
        return;
      }
      const one = { blob: await fitting(file), isOfNow, verdict: null, element: el("li", { class: "photograph" }) };
      one.url = URL.createObjectURL(one.blob);
      taken.push(one);
      list.append(one.element);
      draw(one);
      judge(one);
    }
  }

  async function judge(one) {
    const form = new FormData();
    form.append("image", one.blob, "photograph");
    try {
      one.verdict = await call("POST", "/device/quality", { form });
    } catch (error) {
      if (error.status === undefined) throw error;
      one.verdict = error;
    }
    draw(one);
    changed();
  }

  function remove(one) {
    taken.splice(taken.indexOf(one), 1);
    URL.revokeObjectURL(one.url);
    one.element.remove();
    changed();
    input.focus();
  }

  function draw(one) {
    const place = taken.indexOf(one) + 1;
    put(
      one.element,
      el("img", { src: one.url, alt: t("photograph.alt", { n: place }) }),
      el("div", { class: "photograph-body" }, judgement(one.verdict)),
      el(
        "button",
        {
          type: "button",
          class: "button quiet icon-only",
          onclick: () => remove(one),
          title: t("photograph.remove", { n: place }),
        },
        icon("cross"),
        el("span", { class: "unseen" }, t("photograph.remove", { n: place })),
      ),
    );
    changed();
  }

  return {
    element: el("div", { class: "stack" }, drop, webcam, word, list),
    photographs: () => taken.map((one) => one.blob),
    areOfNow: () => taken.some((one) => one.isOfNow), // a camera took one: it must show the person, no picture of one
    verdicts: () => taken.map((one) => one.verdict),
    clear: () => {
      for (const one of taken.splice(0)) URL.revokeObjectURL(one.url);
      put(list);
    },
    complain: (text) => {
      word.textContent = text;
    },
  };
}

/** Return a photograph in at most so many bytes: a phone's may be larger, and a smaller copy holds as much of a face. */
export async function fitting(file, largest = LARGEST_BYTES) {
  if (file.size <= largest) return file;
  try {
    const picture = await createImageBitmap(file);
    const share = Math.min(1, LONGEST_EDGE / Math.max(picture.width, picture.height));
    const canvas = el("canvas", {
      width: Math.round(picture.width * share),
      height: Math.round(picture.height * share),
    });
    canvas.getContext("2d").drawImage(picture, 0, 0, canvas.width, canvas.height);
    picture.close();
    const smaller = await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.92));
    return smaller ?? file;
  } catch {
    return file; // no picture this browser can read: the device says what is wrong with it
  }
}

function judgement(verdict) {
  if (verdict === null) return el("p", { class: "soft" }, t("photograph.judging"));
  if (verdict instanceof Error) return [chip("bad", "alert", t("photograph.refused")), el("p", {}, verdict.message)];
  const alike = verdict.looks_like ?? [];
  return [
    verdict.ok ? chip("good", "check", t("photograph.ok")) : chip("maybe", "alert", t("photograph.poor")),
    !verdict.ok && verdict.sentence && el("p", {}, verdict.sentence),
    verdict.quality && meters(verdict.quality),
    alike.map((one) =>
      el(
        "p",
        { class: one.is_blocklisted ? "alike blocked" : "alike" },
        icon(one.is_blocklisted ? "block" : "alike"),
        el(
          "span",
          {},
          t(one.is_blocklisted ? "photograph.alike_blocked" : "photograph.alike", {
            percent: number(one.similarity_percentage, 1),
          }),
          " ",
          el(
            "a",
            { href: `#/people/${one.session_number}`, target: "_blank" },
            one.name ?? t("person.number", { number: String(one.session_number) }),
          ),
        ),
      ),
    ),
  ];
}

function meters(quality) {
  const share = (name) => Math.max(0, Math.min(1, quality[name] / PLENTY[name]));
  // Light is best in the middle of its range.
  const light = Math.max(0, 1 - Math.abs(quality.luminance - 128) / 128);
  const word = (full) => t(`meter.${full >= GOOD_ENOUGH ? "good" : full >= FAIR ? "fair" : "poor"}`);
  const bright = quality.luminance < 128 ? "dark" : "bright";
  const rows = [
    ["eye_distance_px", share("eye_distance_px"), word(share("eye_distance_px"))],
    ["sharpness", share("sharpness"), word(share("sharpness"))],
    ["luminance", light, light >= FAIR ? word(light) : t(`meter.${bright}`)],
    ["contrast", share("contrast"), word(share("contrast"))],
    ["frontality", share("frontality"), word(share("frontality"))],
  ];
  return el(
    "dl",
    { class: "meters" },
    rows.map(([name, full, words]) =>
      el(
        "div",
        {},
        el("dt", {}, t(`quality.${name}`)),
        el(
          "dd",
          {},
          el(
            "span",
            { class: "score-track", "aria-hidden": "true" },
            el("span", { class: "score-fill plain", style: { width: `${full * 100}%` } }),
          ),
          el("span", {}, words),
        ),
      ),
    ),
  );
}
