"""The tables of fleets and shards in the documents, from benchmarks/results; `readme_tables.py` writes them."""

from __future__ import annotations

from benchmarks.about import newest

DRILLED = (5, 12, 50)  # kiosks; where a drill was run
STEPS = {
    "enrolled": "enrolments at every kiosk at once",
    "partition": "half of the kiosks cut off meanwhile, acts on the same people",
    "hub_killed": "the hub killed and back",
    "kiosk_killed": "a kiosk killed between acknowledgement and mark",
    "everything_again": "everything sent and read again",
    "taken_off": "a kiosk removed",
}


def drills() -> str:
    """Say how the drills of fleets went."""
    runs = [found for count in DRILLED if (found := newest(f"fleet_{count}.json")) is not None]
    if not runs:
        return ""
    lines = [
        "Kiosks as processes of one machine, clocks wrong by days. All of them share its cores, which no fleet does: "
        "read the processor time rather than the seconds. ("
        + "; ".join(
            f"{one['fleet']['kiosks']} kiosks: {one['device']}, {one['cores']} cores, load average {one['load'][0]:g}"
            for one in runs
        )
        + ")",
        "",
        "| until all hold the same, 0 lost, 0 doubled | "
        + " | ".join(f"{one['fleet']['kiosks']} kiosks" for one in runs)
        + " |",
        "|---|" + "---|" * len(runs),
    ]
    for name, words in STEPS.items():
        cells = [
            f"{step['level_after_s']:.1f} s ({step['people']:,} people; {step['processor_of_all_kiosks_s']:.0f} s of "
            "processor)"
            for one in runs
            for step in (one["fleet"][name],)
        ]
        lines.append(f"| {words} | {' | '.join(cells)} |")
    blocks = [one["fleet"]["revocation"] for one in runs]
    lines.append(
        "| a block is known at another kiosk, p50 and p95 | "
        + " | ".join(f"{one['p50_s']:.2f} s, {one['p95_s']:.2f} s ({one['measured']} measured)" for one in blocks)
        + " |"
    )
    newcomers = [one["fleet"]["one_more"] for one in runs]
    lines.append(
        "| one more kiosk has everybody | "
        + " | ".join(
            f"{one['level_s']:.1f} s, {one['received_bytes'] / 1e6:.1f} MB ({one['people']:,} people, "
            f"{one['received_bytes_a_document'] / 1000:.1f} kB and {one['processor_ms_a_document']:.1f} ms of "
            "processor a document)"
            for one in newcomers
        )
        + " |"
    )
    resting = [one["fleet"]["idle"] for one in runs]
    lines.append(
        "| while nothing happens | "
        + " | ".join(
            f"{one['processor_share_a_kiosk']:.1%} of a core a kiosk, "
            f"{one['received_bytes_a_kiosk_and_minute'] / 1000:.0f} kB a minute; the hub has "
            f"{one['memory_of_the_hub_mb']:.0f} MB"
            for one in resting
        )
        + " |"
    )
    return "\n".join(lines)


MODELLED = {  # of fleet_model.json: words, unit
    "documents_a_day": ("documents a day", ""),
    "kiosk_received_mb_a_day": ("a kiosk receives a day", " MB"),
    "of_it_health_mb_a_day": ("of it health messages", " MB"),
    "kiosk_processor_s_a_day": ("a kiosk's processor time a day", " s"),
    "hub_sent_mbit_s_busiest_hour": ("the hub sends in the busiest hour", " Mbit/s"),
    "hub_cores_busiest_hour": ("the hub's processor in the busiest hour", " cores"),
    "hub_memory_gb": ("the hub's memory", " GB"),
    "hub_disk_gb": ("the hub's disk", " GB"),
    "revocation_p95_s": ("a block is known, p95", " s"),
    "newcomer_line_min": ("a newcomer on its line of 10 Mbit/s", " min"),
    "newcomer_processor_min": ("a newcomer's processor", " min"),
    "roster_kb": ("a list of the kiosks", " kB"),
    "roster_for_all_mb": ("every change of it, to all kiosks", " MB"),
    "import_of_all_h_at_1_gbit": ("everybody enrolled at once, over the hub's 1 Gbit/s", " h"),
}


def modelled() -> str:
    """Say what a fleet of 1,000 kiosks would cost, and what breaks first."""
    found = newest("fleet_model.json")
    if found is None:
        return ""
    fleets, assumed = found["fleets"], found["assumed"]
    lines = [
        (
            "Calculated, not run (`benchmarks/fleet_model.py`): what a document, a connection and a health message "
            f"cost was measured, how much happens is assumed: somebody stays {assumed['stay_days']:,.0f} days and is "
            f"changed {assumed['changes_a_person_and_year']:g} time a year, {assumed['busiest_hour']:.0%} of a day's "
            f"acts fall into its busiest hour, a kiosk has {assumed['line_mbit']:g} Mbit/s, {assumed['way_s']:g} s to "
            "the hub and back."
        ),
        "",
        "| | " + " | ".join(f"{one['kiosks']:,} kiosks, {one['people']:,} people" for one in fleets) + " |",
        "|---|" + "---|" * len(fleets),
    ]
    for name, (words, unit) in MODELLED.items():
        cells = [f"{_figure(one[name])}{unit}" for one in fleets]
        lines.append(f"| {words} | {' | '.join(cells)} |")
    breaks = found["breaks"]
    lines += [
        "",
        "| what ends as a fleet of 1,000 kiosks and a million people grows | at how many times that fleet |",
        "|---|---|",
        *(f"| {one['limit']} | {one['times_this_fleet']:.1f} |" for one in breaks if "times_this_fleet" in one),
        "",
        (
            f"{breaks[-1]['kiosks_taken_off']:,} kiosks with their share of the people can be removed before a "
            "list of the kiosks, with what is still accepted of those, is longer than a message of the hub may be. "
            "Accuracy ends earlier: at score 90 a stranger's search among a million lists "
            f"{found['strangers_candidates_at_90']:g} person wrongly, on average."
        ),
    ]
    return "\n".join(lines)


def _figure(value: float) -> str:
    """Return two digits of a small figure, whole thousands of a large one.

    >>> _figure(4740.0), _figure(0.85), _figure(0.0003)
    ('4,740', '0.85', 'under 0.01')
    """
    if value >= 10:
        return f"{value:,.0f}"
    return f"{value:.2g}" if value >= 0.01 else "under 0.01"


def shards() -> str:
    """Say whether shards are one gallery, and how quickly they answer."""
    whole, many = newest("shards.json"), newest("together.json")
    if whole is None or many is None:
        return ""
    found = whole["shards"]
    four, one = found["times"]["four shards"], found["times"]["one gallery"]
    asked = "; ".join(
        f"{row['queries_a_second']:.0f} a second with {count} at once ({row['complete']} complete)"
        for count, row in found["asked_at_once"].items()
    )
    lines = [
        (
            f"{found['shards']} shards of {found['references'] // found['shards']:,} references over NATS on one "
            f"machine ({whole['device']}, load average {whole['load']:g}): {found['identical_to_one_gallery']} answers "
            f"are those of one gallery; {four['p50_ms']:.0f} ms (p95 {four['p95_ms']:.0f} ms), one gallery "
            f"{one['p50_ms']:.0f} ms ({one['p95_ms']:.0f} ms). {asked}. After one shard was killed "
            f"{found['after_a_kill']['complete']} of {found['after_a_kill']['of']} answers are complete."
        ),
        "",
        "| 64 probes, a probe's processor time | together | one by one | share | faiss flat together | share |",
        "|---|---|---|---|---|---|",
    ]
    for row in many["together"]:
        times = {name: values["least_ms"] for name, values in row["a_probe"].items()}
        rival = times.get("faiss flat together")
        other = f"{rival:.2f} ms | {row['share_of_faiss']:.2f}" if rival is not None else "not installed | "
        lines.append(
            f"| {row['references']:,} references | {times['together']:.2f} ms | {times['one by one']:.2f} ms "
            f"| {row['share_of_one_by_one']:.2f} | {other} |"
        )
    return "\n".join(lines)
