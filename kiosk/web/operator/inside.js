/** Who is inside: a roll-call that prints, with a box to tick for each person. */

import { call } from "../common/api.js";
import { el, icon, put } from "../common/dom.js";
import { empty, load } from "./notice.js";
import { table } from "./table.js";
import { t, time } from "../common/words.js";

export async function inside(place, { on }) {
  const list = el("div", {});
  put(
    place,
    el("a", { class: "back", href: "#/people" }, icon("left"), t("people.title")),
    el(
      "div",
      { class: "head" },
      el("h1", {}, t("inside.title")),
      el(
        "div",
        { class: "actions" },
        el("button", { type: "button", class: "button", onclick: () => draw() }, icon("again"), t("inside.again")),
        el("button", { type: "button", class: "button primary", onclick: () => window.print() }, t("inside.print")),
      ),
    ),
    el("section", { class: "card roll-call" }, list),
  );
  const columns = [
    { name: "name", words: t("person.name") },
    { name: "number", words: t("inside.number"), kind: "number" },
    { name: "since", words: t("inside.since") },
    { name: "seen", words: t("inside.seen") },
  ];
  const draw = () =>
    load(
      list,
      () => call("GET", "/device/passages/inside"),
      ({ at, people }) => [
        el("p", { class: "soft" }, t("inside.count", { count: people.length, at: time(at) })),
        people.length
          ? table(t("inside.title"), columns, people, {
              cells: (one) => [one.name ?? "", String(one.session_number), time(one.since), el("span", { class: "tick" })],
            })
          : empty("people", t("inside.none"), t("inside.none_text")),
      ],
    );
  on("decision", draw);
  await draw();
}
