"""Write the README's tables and models/scale.svg from the manifest and benchmarks/results.

    python benchmarks/readme_tables.py [--check]

With --check nothing is written; exit 1 where the README is not what the results say.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

from kiosk.inference import read_pack
from kiosk.scale_plot import as_svg

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"


def newest(pattern: str) -> dict[str, Any] | None:
    """Return the result whose name fits; None where there is none."""
    paths = sorted(RESULTS.glob(pattern))
    return json.loads(paths[-1].read_text(encoding="utf-8")) if paths else None


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
    if measured is not None:
        rows = "; ".join(
            f"{row['fnmr']:.1%} at FMR {row['fmr']:g} ({row['interval'][0]:.1%} to {row['interval'][1]:.1%})"
            for row in measured["fnmr"]
        )
        lines += ["", f"One person's photographs missed (FNMR, 95 % interval by people): {rows}."]
    return "\n".join(lines)


def speed() -> str:
    """Return the tables of times."""
    parts = []
    for name in ("match", "search"):
        found = newest(f"{name}-*.json")
        if found is not None and "readme" in found:
            parts += [*found["readme"], ""]
    return "\n".join(parts).strip()


def filled(text: str) -> str:
    """Return the README with its tables."""
    for name, content in (("scale", scale()), ("speed", speed())):
        text = re.sub(
            rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)",
            lambda found, content=content: f"{found[1]}{content}\n{found[2]}",
            text,
            flags=re.DOTALL,
        )
    return text


def main() -> None:
    """Write or check."""
    readme, drawing = ROOT / "README.md", ROOT / "models" / "scale.svg"
    wanted = {readme: filled(readme.read_text(encoding="utf-8")), drawing: as_svg(read_pack(ROOT / "models"))}
    stale = [path for path, text in wanted.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    if "--check" in sys.argv:
        sys.exit(f"stale: {', '.join(path.name for path in stale)}; run benchmarks/readme_tables.py" if stale else 0)
    for path in stale:
        path.write_text(wanted[path], encoding="utf-8")


if __name__ == "__main__":
    main()
