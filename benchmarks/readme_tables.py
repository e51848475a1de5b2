"""Write the documents' tables and models/scale.svg from the manifest, the settings and benchmarks/results.

    python benchmarks/readme_tables.py [--check]

A table stands between two comments that name it. With --check nothing is written; exit 1 where a document is not what
the results say.
"""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks import chart, fleet_tables
from benchmarks.about import newest
from benchmarks.bench_site import SPLITS
from kiosk.evaluation.scale_plot import as_svg
from kiosk.networks.inference import read_pack
from kiosk.settings.config import describe

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
SHOWN_FROM = 100_000  # references; smaller galleries answer in well under a millisecond either way


def scale() -> str:
    """Return the table of scores."""
    pack = read_pack(ROOT / "models")
    measured = newest(f"biometrics-{pack.name}.json")
    lines = ["| score | cosine | strangers who reach it (FMR) | |", "|---|---|---|---|"]
    for score in (30, 50, 60, 70, 80, 90):
        cosine = pack.scale.cosine(score)
        how = "measured" if cosine <= pack.scale.cosine_at_rarity(pack.measured["measured_rarity"]) else "extrapolated"
        lines.append(f"| {score} | {cosine:.3f} | 1 in {1 / pack.scale.fmr(cosine):,.0f} | {how} |")
    lines += ["", " ".join(pack.measured["sentences"])]
    if groups := pack.measured.get("group", []):
        lines += [
            "",
            "| strangers of one group | pairs | reach 50 | reach 70 (95 % bound) | reach 90 |",
            "|---|---|---|---|---|",
        ]
        lines += [
            f"| {group['name']} ({group['origin']}) | {group['non_mated']:,} | {group['fmr_50']:.1e} "
            f"| {group['fmr_70']:.1e} ({group['bound_70']:.1e}) | {group['fmr_90']:.1e} |"
            for group in groups
        ]
    if missed := pack.measured.get("missed", []):
        lines += [
            "",
            "| one person's photographs below 70 (FNMR) | people | pairs | rate (95 % over people) |",
            "|---|---|---|---|",
        ]
        lines += [
            f"| {group['name']} ({group['origin']}) | {group['people']:,} | {group['mated']:,} "
            f"| {group['fnmr_70']:.1%} ({group['low_70']:.1%} to {group['high_70']:.1%}) |"
            for group in missed
        ]
    if measured is not None:
        rows = "; ".join(
            f"{row['fnmr']:.1%} at FMR {row['fmr']:g} ({row['interval'][0]:.1%} to {row['interval'][1]:.1%})"
            for row in measured["fnmr"]
        )
        lines += ["", f"One person's photographs missed (FNMR, 95 % interval by people): {rows}."]
    return "\n".join(lines)


def speed() -> str:
    """Return the tables of times."""
    return "\n\n".join(part for part in (match_table(), search_table(), store_table()) if part)


def match_table() -> str:
    """Say how long a whole match takes beside the usual pipelines."""
    found = newest("match-*.json")
    if found is None:
        return ""
    lines = [
        (
            "A whole match of two photographs of 640 by 480 px, one thread, all pipelines in turn in one run "
            f"({found['device']}; read the ratios rather than the times):"
        ),
        "",
        "| | p50 | p95 | of the kiosk's time |",
        "|---|---|---|---|",
    ]
    base = found["two_photographs"]["kiosk"]["whole match"]["p50_ms"]
    for name, steps in found["two_photographs"].items():
        whole = steps["whole match"]
        lines.append(f"| {name} | {whole['p50_ms']:.0f} ms | {whole['p95_ms']:.0f} ms | {whole['p50_ms'] / base:.2f} |")
    one = found["one_process"]["kiosk, fresh state"]
    answer_s = one["first_answer"]["p50_ms"] / 1000
    memory = f"{one['peak_resident_mb']:.0f} MB resident"
    lines += ["", f"From starting the process to the first answer: {answer_s:.2f} s, {memory}."]
    return "\n".join(lines)


def search_table() -> str:
    """Say how long an exact search takes beside faiss."""
    found = newest("search-*.json")
    if found is None:
        return ""
    lines = [
        "An exact search for the five most similar at or above cosine 0.4, processor time, one thread, same vectors:",
        "",
        "| N, length, vectors | kiosk p50 | faiss flat p50 | faster by | memory of float32's |",
        "|---|---|---|---|---|",
    ]
    for row in found["searches"]:
        if row["n"] < SHOWN_FROM:
            continue
        ours, flat = row["engines"]["gallery, floor 0.4"], row["engines"]["faiss flat"]
        lines.append(
            f"| {row['n']:,}, {row['d']}, {row['vectors']} | {ours['p50_ms']:.1f} ms | {flat['p50_ms']:.1f} ms "
            f"| {ours['faster_than_faiss_flat']:.1f} | {row['gallery']['share_of_float32']:.2f} |"
        )
    return "\n".join(lines)


def store_table() -> str:
    """Say how long a large gallery takes to be ready."""
    parts = []
    for people in (100_000, 1_000_000):
        found = newest(f"store-{people}.json")
        if found is not None:
            again = found["restart"]
            parts.append(
                f"{people:,} people are ready {again['ready_s']:.1f} s after the process starts "
                f"(gallery {again['gallery_mb']:.0f} MB, database {found['fill']['database_mb']:.0f} MB)"
            )
    return "; ".join(parts) + "." if parts else ""


def growth() -> str:
    """Say how the cost of each act grows with what a kiosk holds."""
    found = newest("growth.json")
    if found is None:
        return ""
    lines = [
        (
            "How the processor time of each act grows: n things take some n^b s, b fitted over the sizes named. 0 is "
            "the same for any number, 1 in proportion."
        ),
        "",
        "| act | sizes | time at the largest | b, time | b, memory |",
        "|---|---|---|---|---|",
    ]
    for what, acts in found["over"].items():
        sizes = f"{found['counts'][what][0]:,} to {found['counts'][what][-1]:,} {what}"
        for name, one in acts.items():
            slopes = (one["time_exponent"], one.get("memory_exponent"))
            cells = ("" if slope is None else f"{slope:.2f}" for slope in slopes)
            lines.append(f"| {name} | {sizes} | {one['ms'][-1]:,.1f} ms | {' | '.join(cells)} |")
    steep = ", ".join(found["steep"])
    lines += ["", f"An empty cell: too little to tell. Above 1.15: {steep or 'nothing'}."]
    return "\n".join(lines)


def arm() -> str:
    """Say how many instructions each network takes on the processors of a Raspberry Pi."""
    found = newest("arm.json")
    if found is None:
        return ""
    counted = found["instructions"]
    first = next(iter(counted.values()))
    lines = [
        (
            "Instructions of one run, millions, counted under qemu-user (no time: caches and a pipeline's width are "
            "not in it):"
        ),
        "",
        f"| | {' | '.join(counted)} |",
        f"|---|{'---|' * len(counted)}",
        *(f"| {name} | {' | '.join(f'{one[name] / 1e6:,.0f}' for one in counted.values())} |" for name in first),
    ]
    return "\n".join(lines)


def door() -> str:
    """Say what a running kiosk costs, how soon it decides, and how it held for a day."""
    return "\n\n".join(part for part in (daemon_table(), memory_sentence(), soak_sentence()) if part)


def daemon_table() -> str:
    """Say what a running kiosk costs."""
    found = newest("daemon-*.json")
    if found is None:
        return ""
    lines = [
        (
            f"A running kiosk on 640 by 480 px at 30 frames a second, {found['people']:,} people enrolled "
            f"({found['device']}; load average {found['load_average'][0]:g} while measuring):"
        ),
        "",
        "| | kiosk, share of a core | capture, share of a core |",
        "|---|---|---|",
    ]
    words = {"idle": "nobody there", "followed": "a face is followed", "decided": "after the decision"}
    for name, word in words.items():
        share = found[name]["share_of_a_core"]
        lines.append(f"| {word} | {share['kiosk']:.0%} | {share['capture']:.0%} |")
    columns = ("first_good_frame_to_record", "first_good_frame_to_relay", "judged_frame", "judged_frame_cpu")
    decision, relay, frame, cpu = (found["decision"][name] for name in columns)
    draining = found["decision_while_draining"]
    busy = draining["first_good_frame_to_relay"]
    lines += [
        "",
        (
            f"From the first good frame to the recorded decision: {decision['p50_ms']:.0f} ms (p95 "
            f"{decision['p95_ms']:.0f} ms), to the relay: {relay['p50_ms']:.0f} ms ({relay['p95_ms']:.0f} ms); "
            f"while a month's outbox drains to the cloud ({draining['sent_meanwhile']} rows meanwhile): "
            f"{busy['p50_ms']:.0f} ms ({busy['p95_ms']:.0f} ms). A judged frame takes {frame['p50_ms']:.0f} ms (p95 "
            f"{frame['p95_ms']:.0f} ms), {cpu['p50_ms']:.0f} ms of it computing."
        ),
    ]
    return "\n".join(lines)


def memory_sentence() -> str:
    """Say what the processes of a kiosk hold in memory."""
    found = newest("memory-*.json")
    if found is None:
        return ""
    resident, own, aims = found["resident_mb"], found["own_share_mb"], found["aims"]
    return (
        f"Memory with {found['people']:,} people, attack detection off ({found['device']}): {resident['kiosk']:.0f} MB "
        f"resident, and {resident['capture']:.0f} MB in the process that captures (aims: {aims['kiosk']:.0f} MB and "
        f"{aims['capture']:.0f} MB). Where libraries that both have in memory count by parts: {own['kiosk']:.0f} MB "
        f"and {own['capture']:.0f} MB, and {own['decoding']:.0f} MB in the two that wait for photographs to decode."
    )


def soak_sentence() -> str:
    """Say how a simulated day went."""
    found = newest("soak.json")
    if found is None:
        return ""
    faults = sum(count for name, count in found["visits_and_faults"].items() if name.startswith("fault "))
    return (
        f"A simulated day of {found['frames']:,} frames and {found['presentations']:,} presentations (scripted faces, "
        f"everything else real) with {faults:,} faults: {found['decisions_logged']:,} decisions, "
        f"{found['announced_not_logged'] + found['logged_more_than_once']} lost or doubled, "
        f"{found['pulses_without_approval']} pulses without an approval, memory {found['growth_mb']:+.1f} MB after "
        "warm-up."
    )


def evaluated() -> str:
    """Say what an evaluation of many photographs takes."""
    found = newest("evaluate.json")
    if found is None:
        return ""
    killed, resumed = found["killed"], found["resumed"]
    return (
        f"`kiosk evaluate match` got through {found['photographs']:,} photographs of {found['people']:,} people and "
        f"their {found['non_mated'] / 1e6:.0f} million pairs of strangers in {found['wall_s'] / 60:.1f} minutes on "
        f"{found['cores']} cores ({found['device']}) that other work shared (load average {killed['load_average']:.0f} "
        f"after a quarter of it, {resumed['load_average']:.0f} at the end): {found['processor_s'] / 60:.1f} minutes of "
        f"processor time, {found['peak_resident_mb']} MB. It was ended by kill -9 after {killed['written_down']:,} "
        "photographs and went on behind them."
    )


def faults() -> str:
    """Say how the store held when its system calls failed, act by act."""
    found = newest("fault-drill.json")
    if found is None:
        return ""
    acts = found["acts"]
    by_act = "; ".join(f"{name} {one['faults_met']:,}" for name, one in sorted(acts.items()))
    return (
        f"{found['faults_met']:,} faults were met by {len(acts)} acts of the store, at every call, or each n-th where "
        f"results/fault-drill.json says so, with {found['findings']} findings: what was acknowledged is there, "
        f"of what was refused all or nothing is, and the store goes on. Faults by act: {by_act}."
    )


def fuzzed() -> str:
    """Say what hostile input came to."""
    found = newest("fuzz.json")
    if found is None:
        return ""
    return (
        f"{found['inputs']:,} hostile inputs in {len(found['inputs_by_test'])} tests, in a control group with the "
        f"{found['limit_mb']:,} MB of the kiosk's unit: {len(found['failed'])} of {found['tests']} tests failed, the "
        f"limit ended {found['ended_by_the_limit']} processes, at most {found['peak_mb_with_page_cache']:.0f} MB were "
        "held, the cache of files included."
    )


def figures() -> str:
    """Return the README's three figures: error rates, time of a match, time to the relay."""
    pack = read_pack(ROOT / "models")
    measured, match, daemon = newest(f"biometrics-{pack.name}.json"), newest("match-*.json"), newest("daemon-*.json")
    assert measured is not None
    assert match is not None
    assert daemon is not None
    row = measured["fnmr"][-1]
    times = {name: steps["whole match"]["p50_ms"] for name, steps in match["two_photographs"].items()}
    ours, other = times["kiosk"], times["(a) face_recognition"]
    relay = daemon["decision"]["first_good_frame_to_relay"]
    return "\n".join(
        (
            (
                f"- **{row['fnmr']:.1%}** of the pairs of photographs of one person do not match (FNMR; 95 % interval "
                f"{row['interval'][0]:.1%} to {row['interval'][1]:.1%}), at the threshold at which {row['fmr']:.1%} "
                f"of the pairs of two people do (FMR). {measured['people']} people, {measured['photographs']} "
                "photographs."
            ),
            (
                f"- **{ours:.0f} ms** for a whole match of two photographs on one thread of a server; the Python "
                f"package face_recognition takes {other:.0f} ms in the same run."
            ),
            (
                f"- **{relay['p50_ms']:.0f} ms** from the first good frame until the relay releases the lock (p95 "
                f"{relay['p95_ms']:.0f} ms), with {daemon['people']:,} people enrolled, on a server."
            ),
        )
    )


def exponent(rate: float) -> str:
    """Return a rate as 2.5e-5.

    >>> exponent(2.5e-5), exponent(0.0)
    ('2.5e-5', '0')
    """
    return f"{rate:.1e}".replace("e-0", "e-") if rate else "0"


def groups() -> str:
    """Return the rates within groups, and what the door's defaults and its own people make of them."""
    pack = read_pack(ROOT / "models")
    measured, site = newest(f"groups-{pack.name}.json"), newest("site.json")
    if measured is None or site is None:
        return ""
    lines = [
        "| strangers of | pairs | FMR@50 | FMR@70 (95 % bound) | FMR@90 | let in by the door, 1:1 |",
        "|---|---|---|---|---|---|",
    ]
    adults = [one for one in measured["groups"] if one["name"].startswith(("men-", "women-"))]
    worst = max(adults, key=lambda one: one["fmr_70"])
    for one in measured["groups"]:
        if one in adults and one is not worst:
            continue
        name = f"the worst adult group: {', '.join(one['name'].split('-'))}" if one is worst else one["name"]
        lines.append(
            f"| {name} ({one['origin']}) | {one['non_mated']:,} | {exponent(one['fmr_50'])} "
            f"| {exponent(one['fmr_70'])} ({exponent(one['bound_70'])}) | {exponent(one['fmr_90'])} "
            f"| {exponent(one['let_in'])} |"
        )
    lines += [
        "",
        (
            "Strangers let in by the door, 1:1, less those from 90, where 60 people of the group are enrolled "
            "(in brackets: 60 of each of the eight groups), means of "
            f"{SPLITS} draws:"
        ),
        "",
        "| | by the defaults | with the site's curve | and its cohort |",
        "|---|---|---|---|",
    ]
    alone, mixed = site["granted_at_a_site_of_one_group"], site["granted_at_a_site_of_all_adult_groups"]
    lines += [
        f"| {', '.join(name.split('-'))} | "
        + " | ".join(f"{exponent(rate)} ({exponent(mixed[name][way])})" for way, rate in ways.items())
        + " |"
        for name, ways in alone.items()
    ]
    return "\n".join([*lines, "", *covered()])


def covered() -> list[str]:
    """Return how often the bound of a site's own people held, where 95 of 100 are meant."""
    site = newest("bound.json")
    if site is None:
        return []
    groups = site["sixty_of_a_group_told_the_other_forty"].values()

    def told(name: str) -> str:
        shares = [group[name] for group in groups]
        return f"{sum(shares) / len(shares):.0%} ({min(shares):.0%} to {max(shares):.0%})"

    def over(start: str, end: str = "") -> str:
        return told(f"{start}below_the_bound{end}")

    within = told("within_factor_2_or_bound")

    return [
        (
            "The bound of a site's own people held for everybody else in so many of 100 draws (95 are meant; everybody "
            "else's own chance is in it, and beside 1,000 people 862 are left):"
        ),
        "",
        "| people enrolled, of LFW | at 1e-2 | at 1e-3 | at 1e-4 |",
        "|---|---|---|---|",
        *(
            f"| {size:,} | "
            + " | ".join(
                next(
                    (
                        f"{row['below_the_bound']:.0%}"
                        for row in site["coverage_of_the_bound"]
                        if row["people"] == size and row["fmr"] == wanted
                    ),
                    "too few",
                )
                for wanted in (1e-2, 1e-3, 1e-4)
            )
            + " |"
            for size in (60, 200, 300, 1000)
        ),
        "",
        (
            "Of 60 people of each of UTKFace's 12 groups and the other 40, at 1e-2: mean of the groups (least to "
            f"most). The other 40 as strangers to the 60 lay below the bound in {over('others_to_the_enrolled_')}; "
            f"among themselves in {over('others_')}, and in {over('others_', '_with_their_own_chance')} with the "
            f"chance of only 40 people added to it; within a factor of 2 or the bound in {within}."
        ),
    ]


def changes() -> str:
    """Return the rates of each set before and after the work on scores."""
    found = newest("before-after.json")
    if found is None:
        return ""
    lines = [
        "| set | photographs | FMR@50 | FMR@70 | FMR@90 | FNMR@50 | FNMR@70 | FNMR@90 |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, sides in found["sets"].items():
        cells = [
            " → ".join("none" if side[column] is None else shaped(side[column]) for side in sides.values())
            for column, shaped in (
                *((f"fmr_{score}", exponent) for score in (50, 70, 90)),
                *((f"fnmr_{score}", "{:.1%}".format) for score in (50, 70, 90)),
            )
        ]
        lines.append(f"| {name} | {sides['after']['photographs']:,} | {' | '.join(cells)} |")
    lines += [
        "",
        "| group of utk | FMR@50 | FMR@70 | FMR@90 | let in by the door, 1:1, less those from 90 |",
        "|---|---|---|---|---|",
    ]
    before, after = (found["sets"]["utk"][side]["groups"] for side in ("before", "after"))
    lines += [
        f"| {name} | "
        + " | ".join(
            f"{exponent(before[name][column])} → {exponent(after[name][column])}"
            for column in ("fmr_50", "fmr_70", "fmr_90", "let_in_less_90")
        )
        + " |"
        for name in after
    ]
    return "\n".join(lines)


def settings() -> str:
    """Return what `kiosk config docs` prints."""
    return f"```toml\n{describe().strip()}\n```"


TABLES = {
    "scale": scale,
    "speed": speed,
    "growth": growth,
    "arm": arm,
    "door": door,
    "figures": figures,
    "settings": settings,
    "groups": groups,
    "changes": changes,
    "evaluated": evaluated,
    "faults": faults,
    "fleet": fleet_tables.drills,
    "fleet_model": fleet_tables.modelled,
    "shards": fleet_tables.shards,
    "fuzzed": fuzzed,
}


def documents() -> list[Path]:
    """Return every document that may hold a table."""
    folders = ("kiosk", "benchmarks", "models", "firmware_scripts", "systemd", ".github")
    return [ROOT / "README.md", *sorted(path for folder in folders for path in (ROOT / folder).rglob("*.md"))]


def filled(text: str) -> str:
    """Return a document with its tables."""
    for name, table in TABLES.items():
        before, begins, rest = text.partition(f"<!-- {name} -->\n")
        _, ends, after = rest.partition(f"<!-- /{name} -->")
        if begins and ends:
            text = f"{before}{begins}{table()}\n{ends}{after}"
    return text


def main() -> None:
    """Write or check."""
    wanted = {path: filled(path.read_text(encoding="utf-8")) for path in documents()}
    wanted[ROOT / "models" / "scale.svg"] = as_svg(read_pack(ROOT / "models"))
    match, peers = newest("match-*.json"), newest("peers.json")
    if match is not None and peers is not None:
        wanted[ROOT / "benchmarks" / "latency_error.svg"] = chart.as_svg(match, peers)
    stale = [path for path, text in wanted.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    if "--check" in sys.argv:
        sys.exit(
            f"stale: {', '.join(str(path.relative_to(ROOT)) for path in stale)}; run benchmarks/readme_tables.py"
            if stale
            else 0
        )
    for path in stale:
        path.write_text(wanted[path], encoding="utf-8")


if __name__ == "__main__":
    main()
