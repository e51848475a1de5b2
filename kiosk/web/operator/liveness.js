/** How a presentation was told from a picture: each cue's value and limit, and what was asked. For operators alone. */

import { chip } from "./decision-parts.js";
import { el } from "../common/dom.js";
import { named, number, t } from "../common/words.js";

const VERDICTS = { bona_fide: ["good", "check"], attack: ["bad", "cross"], undetermined: ["maybe", "eye"] };
const OUTCOMES = { passes: ["good", "check"], denies: ["bad", "cross"], asks: ["maybe", "eye"] };

/** Return the card; null where nothing was judged. */
export function livenessCard(judged) {
  if (!judged) return null;
  const cues = Object.entries(judged.cues ?? {});
  const challenges = judged.challenges ?? [];
  return el(
    "section",
    { class: "card" },
    el("h2", {}, t("liveness.title")),
    el(
      "p",
      {},
      chip(...(VERDICTS[judged.verdict] ?? ["plain", "info"]), named("liveness_verdict", judged.verdict)),
      el("span", { class: "soft" }, ` ${t("liveness.score", { score: number(judged.score, 1) })}`),
    ),
    judged.reason && el("p", {}, named("liveness_reason", judged.reason)),
    el(
      "ul",
      { class: "stack" },
      cues.map(([name, cue]) =>
        el(
          "li",
          {},
          el("p", { class: "row-title" }, named("cue", name)),
          el(
            "p",
            {},
            chip(...(OUTCOMES[cue.outcome] ?? ["plain", "info"]), named("cue_outcome", cue.outcome)),
            cue.value !== null &&
              el(
                "span",
                { class: "soft" },
                ` ${t("liveness.value", { value: number(cue.value, 2), limit: number(cue.threshold, 2) })}`,
              ),
          ),
        ),
      ),
      challenges.map((one) =>
        el(
          "li",
          {},
          el("p", { class: "row-title" }, t(`challenge.${one.side ? `${one.kind}_${one.side}` : one.kind}`)),
          el("p", { class: "soft" }, `${named("challenge_answer", one.answer)} · ${number(one.took_s, 1)} s`),
        ),
      ),
    ),
    el("dl", { class: "facts" }, [
      fact("liveness.level", named("pad_level", judged.level)),
      fact("decision.model", `${(judged.model ?? "").slice(0, 12)}…`),
    ]),
  );
}

function fact(name, value) {
  return el("div", {}, el("dt", {}, t(name)), el("dd", {}, value));
}
