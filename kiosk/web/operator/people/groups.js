/** Groups of people: all of them with their doors, those of one person, and the form that changes those of several. */

import { call, path } from "../../common/api.js";
import { el, icon, press, put } from "../../common/dom.js";
import { field, showFaults } from "../../common/field.js";
import { number, t } from "../../common/words.js";
import { empty, load, say } from "../notice.js";
import { table } from "../table.js";

const LONGEST = 60;

/** The view: each group, how many people it has, and through which doors of the fleet they go. */
export async function groups(place, { session }) {
  const list = el("div", {});
  put(
    place,
    el("a", { class: "back", href: "#/people" }, icon("left"), t("people.title")),
    el("div", { class: "head" }, el("h1", {}, t("groups.title"))),
    el("p", { class: "soft lead" }, t(session.has_fleet ? "groups.text_fleet" : "groups.text")),
    el("section", { class: "card" }, list),
  );
  await load(
    list,
    () => Promise.all([call("GET", "/device/groups"), doorsOf(session)]),
    ([{ groups: found }, doors]) =>
      found.length
        ? table(
            t("groups.title"),
            [
              { words: t("groups.name") },
              { words: t("groups.people"), kind: "number" },
              ...(doors ? [{ words: t("groups.doors") }] : []),
            ],
            found,
            {
              cells: (one) => [one.name, number(one.people), ...(doors ? [doors([one.name])] : [])],
              address: (one) => `#${path("/people", { group: one.name })}`,
            },
          )
        : empty("people", t("groups.none"), t("groups.none_text")),
  );
}

/** Return what says in words through which doors of the fleet people of some groups go; null where there is no fleet. */
async function doorsOf(session) {
  if (!session.has_fleet) return null;
  const { kiosks } = await call("GET", "/device/fleet");
  return (names) => {
    const open = kiosks.filter((one) => one.doors === null || one.doors.some((door) => names.includes(door)));
    if (open.length === kiosks.length) return t("groups.every_door");
    return open.map((one) => one.name).join(", ") || t("groups.no_door");
  };
}

/** One person's groups: each can be taken away, another added. */
export function groupsOf(one, { address, again, session }) {
  const form = adding("groups.add");
  const doors = el("p", { class: "soft small" });
  const change = async (json, fields = {}) => {
    form.trouble.textContent = "";
    try {
      await call("PATCH", address, { json });
      say(t("person.saved"));
      await again();
    } catch (error) {
      if (error.status === undefined) throw error;
      if (!showFaults(fields, error)) form.trouble.textContent = error.message;
    }
  };
  press(form.element, "submit", async (event) => {
    event.preventDefault();
    const name = form.field.control.value.trim();
    if (name) await change({ add_groups: [name] }, { add_groups: form.field });
  });
  doorsOf(session).then(
    (found) => found && put(doors, t("groups.goes_through"), " ", found(one.groups)),
    (error) => put(doors, error.message), // the groups stand without it
  );
  return el(
    "section",
    { class: "card stack" },
    el("div", { class: "card-head" }, el("h2", {}, t("groups.title")), el("a", { href: "#/people/groups" }, t("groups.all"))),
    one.groups.length
      ? el("ul", { class: "chips groups" }, one.groups.map((name) => el("li", { class: "chip plain" }, name, taking(name, change))))
      : el("p", { class: "soft" }, t("groups.in_none")),
    doors,
    form.element,
  );
}

function taking(name, change) {
  const words = t("groups.remove", { name });
  return el(
    "button",
    { type: "button", class: "button quiet icon-only", title: words, onclick: () => change({ remove_groups: [name] }) },
    icon("cross"),
    el("span", { class: "unseen" }, words),
  );
}

function adding(words) {
  const made = groupField(t(words), "add_groups");
  const trouble = el("p", { class: "field-error", role: "alert" });
  const element = el(
    "form",
    { class: "stack", novalidate: true },
    made,
    trouble,
    el("div", { class: "actions" }, el("button", { type: "submit", class: "button" }, icon("plus"), t("groups.add_do"))),
  );
  return { element, field: made, trouble };
}

/** A field for a group's name, which offers those that there are once somebody types. */
export function groupField(words, name, more = {}) {
  const list = el("datalist", { id: `${name}-names` });
  const made = field(words, { name, list: list.id, maxlength: LONGEST, autocomplete: "off", spellcheck: "false", ...more });
  made.append(list);
  made.control.addEventListener("focus", fetchNames, { once: true });

  async function fetchNames() {
    try {
      const { groups: found } = await call("GET", "/device/groups");
      put(list, found.map((one) => el("option", { value: one.name })));
    } catch (error) {
      if (error.status === undefined) throw error; // a field without suggestions takes a name all the same
    }
  }
  return made;
}
