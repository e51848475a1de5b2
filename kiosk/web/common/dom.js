/** Elements built by hand: whatever a person typed goes in as text and can never become markup. */

// Control characters but for line ends, which pages take for blanks; marks of direction; line and paragraph separators.
const UNSEEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g;
const PRESSES = new Set(["click", "submit"]);
const SETTING = /(\[[a-z_]+\](?: [a-z]+[a-z_]*)?)/;
const SVG = "http://www.w3.org/2000/svg";

/**
 * Make an HTML element.
 *
 * Attributes: a function is a listener (`onclick`; see `press`), `style` an object of CSS properties (set through the object
 * model, which the content security policy permits), true an empty attribute, null and false none at all.
 */
export function el(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

/**
 * Listen to presses: a click, or the submission of a form. While the work of one is on its way, a second is not taken.
 *
 * Work is what a listener returns as a promise. It holds the element itself, or the nearest place around it with the
 * attribute `data-one-act`, such as a card whose buttons decide the same thing.
 */
export function press(element, kind, act) {
  element.addEventListener(kind, async (event) => {
    const place = element.closest("[data-one-act]") ?? element;
    if (place.hasAttribute("data-busy")) {
      event.preventDefault(); // a form that the browser sent itself would leave the page
      return;
    }
    const work = act(event);
    if (typeof work?.then !== "function") return;
    place.setAttribute("data-busy", "");
    try {
      await work;
    } finally {
      place.removeAttribute("data-busy");
    }
  });
}

/** Make an SVG element; attributes as `el` takes them. */
export function svg(name, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}

/** Return an icon of icons.svg. It says nothing to a screen reader: words stand beside it. */
export function icon(name) {
  return svg("svg", { class: "icon", "aria-hidden": "true" }, svg("use", { href: `/web/common/icons.svg#${name}` }));
}

/** Return a text whose `commands` stand as code, from left to right also in a text that goes the other way. */
export function coded(text) {
  return String(text)
    .split(/`([^`]+)`/)
    .map((part, place) => (place % 2 ? el("code", { dir: "ltr" }, part) : part))
    .filter((part) => part !== "");
}

/** Replace everything in an element. */
export function put(parent, ...children) {
  parent.replaceChildren(...children.flat(Infinity).filter(isShown).map(visible));
  return parent;
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") listen(element, name.slice(2), value);
    else if (name === "style") for (const [key, text] of Object.entries(value)) element.style.setProperty(key, text);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat(Infinity).filter(isShown).map(visible));
  return element;
}

function listen(element, kind, act) {
  if (PRESSES.has(kind)) press(element, kind, act);
  else element.addEventListener(kind, act);
}

/**
 * Escape what cannot be seen in a text: a name must not turn around or hide what stands beside it.
 *
 * In a text from right to left a setting such as [pad] level stands as it is typed: its bracket would change sides.
 */
function visible(child) {
  if (child instanceof Node) return child;
  const text = String(child).replace(UNSEEN, (one) => `\\u${one.codePointAt(0).toString(16).padStart(4, "0")}`);
  if (document.documentElement.dir !== "rtl" || !text.includes("[")) return text;
  const whole = document.createDocumentFragment();
  whole.append(...text.split(SETTING).map((part, place) => (place % 2 ? leftToRight(part) : part)));
  return whole;
}

function leftToRight(text) {
  const made = document.createElement("bdi");
  made.dir = "ltr";
  made.textContent = text;
  return made;
}

function isShown(child) {
  return child !== null && child !== undefined && child !== false;
}
