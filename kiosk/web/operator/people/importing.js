/** Many people at once, from a ZIP of folders or a folder of this computer; it goes on in the device while nobody looks. */

import { call } from "../../common/api.js";
import { el, icon, put } from "../../common/dom.js";
import { field } from "../../common/field.js";
import { problem } from "../notice.js";
import { table } from "../table.js";
import { named, number, t } from "../../common/words.js";

const POLL_MS = 1_000;
const KEPT = "kiosk.import"; // the run of this tab, so that coming back finds it

export async function importing(place, { atEnd }) {
  const progress = el("section", { class: "card stack", hidden: true, "aria-live": "polite" });
  const trouble = el("div", {});
  const archive = field(t("import.archive"), {
    type: "file",
    name: "archive",
    accept: ".zip,application/zip",
    hint: t("import.archive_hint"),
  });
  const folder = field(t("import.folder"), {
    type: "file",
    name: "folder",
    webkitdirectory: true,
    multiple: true,
    hint: t("import.folder_hint"),
  });
  const submit = el("button", { type: "submit", class: "button primary" }, icon("upload"), t("import.submit"));
  const form = el(
    "form",
    { class: "card stack", onsubmit: send },
    el("p", {}, t("import.text")),
    archive,
    folder,
    trouble,
    el("div", { class: "actions" }, submit),
  );
  let timer = null;
  atEnd(() => clearTimeout(timer));

  async function send(event) {
    event.preventDefault();
    put(trouble);
    const files = [...archive.control.files, ...folder.control.files];
    if (!files.length) {
      archive.fault(t("import.none"));
      archive.control.focus();
      return;
    }
    archive.fault("");
    const body = new FormData();
    for (const file of files) body.append("file", file, file.webkitRelativePath || file.name);
    submit.disabled = true;
    progress.hidden = false;
    put(progress, el("h2", {}, t("import.sending")), el("progress", { "aria-label": t("import.sending") }));
    try {
      const { id } = await call("POST", "/device/imports", { form: body });
      sessionStorage.setItem(KEPT, id);
      await follow(id);
    } catch (error) {
      if (error.status === undefined) throw error;
      progress.hidden = true;
      put(trouble, problem(error));
    } finally {
      submit.disabled = false;
    }
  }

  async function follow(id) {
    if (!progress.isConnected) return;
    progress.hidden = false;
    let run;
    try {
      run = await call("GET", `/device/imports/${encodeURIComponent(id)}`);
    } catch (error) {
      if (error.status === undefined) throw error;
      if (error.status === 404) {
        sessionStorage.removeItem(KEPT); // the device was started anew since
        progress.hidden = true;
        return;
      }
      put(trouble, problem(error));
      timer = setTimeout(() => follow(id), POLL_MS * 5);
      return;
    }
    put(trouble);
    draw(run);
    if (run.state === "running") timer = setTimeout(() => follow(id), POLL_MS);
    else sessionStorage.removeItem(KEPT);
  }

  function draw(run) {
    const isRunning = run.state === "running";
    const rows = run.report ?? [];
    put(
      progress,
      el("h2", {}, t(isRunning ? "import.running" : run.state === "failed" ? "import.failed" : "import.done")),
      run.sentence && el("p", {}, run.sentence),
      el("progress", { max: run.total || 1, value: run.done, "aria-label": t("import.running") }),
      el("p", { class: "soft" }, t("import.count", { done: number(run.done), total: number(run.total) })),
      el(
        "ul",
        { class: "chips" },
        Object.entries(run.outcomes ?? {}).map(([name, count]) =>
          el(
            "li",
            { class: name === "added" ? "chip good" : "chip plain" },
            `${named("outcome", name)}: ${number(count)}`,
          ),
        ),
      ),
      rows.length > 0 &&
        table(
          t("import.report"),
          [{ words: t("import.file") }, { words: t("import.outcome") }, { words: t("import.why") }],
          rows,
          {
            cells: (row) => [row.file, named("outcome", row.outcome), row.sentence ?? ""],
          },
        ),
    );
  }

  put(
    place,
    el("a", { class: "back", href: "#/people" }, icon("left"), t("people.title")),
    el("div", { class: "head" }, el("h1", {}, t("import.title"))),
    form,
    progress,
  );
  const running = sessionStorage.getItem(KEPT);
  if (running) await follow(running);
}
