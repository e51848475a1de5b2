"""Which languages the pages speak: those with a file of words in web/common, so that a file alone adds one."""

from __future__ import annotations

import re
from pathlib import Path

WORDS = Path(__file__).parents[1] / "web" / "common"
ENGLISH = "en"
_CODE = re.compile(r"[a-z]{2,3}")


def languages_in(folder: Path) -> tuple[str, ...]:
    """Return the codes of the files of words in a folder, English first."""
    found = sorted(path.stem for path in folder.glob("*.json") if _CODE.fullmatch(path.stem))
    return tuple(sorted(found, key=lambda code: code != ENGLISH)) or (ENGLISH,)


LANGUAGES = languages_in(WORDS)
