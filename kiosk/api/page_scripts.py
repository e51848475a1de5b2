"""The script of a page: the modules it imports, joined to one file as it is given out.

The pages are written as some eighty modules (`web/`), and nothing builds them. Asked for one by one, the sixty of the
operator's page were two thirds of its calls and a fifth of the processor time of its first load, and a browser waits
for those that each imports. They keep to two forms that a regular expression can read, `import { … } from "…"` and
`export` before a function, a class or a const; tests/api/test_page_scripts.py fails for one that does not.
"""

from __future__ import annotations

import functools
import posixpath
import re
from pathlib import Path

WEB = Path(__file__).parent.parent / "web"
SCRIPTS = ("operator/operator.js", "screen/screen.js", "session/session.js", "docs/docs.js")
"""What the pages load; every other module comes with one of them, and is there by itself too."""

IMPORT = re.compile(r'^import \{([^}]*)\} from "(\.[^"]+|/web/[^"]+)";\n', re.MULTILINE)
EXPORT = re.compile(r"^export (?=(?:async function|function|class|const) (\w+))", re.MULTILINE)


@functools.cache
def joined(name: str, web: Path = WEB) -> bytes:
    """Return the script of a page with all that it imports, as the files were at the first call.

    Each module becomes a function that runs once, after those it imports, and returns what it exports. They wait for
    one another, as a module may `await` outside its functions.

    Raises:
        ValueError: modules import one another in a circle.
    """
    parts: dict[str, str] = {}
    _join(name, web, parts, ())
    return "".join(parts.values()).encode()


def _join(name: str, web: Path, parts: dict[str, str], importing: tuple[str, ...]) -> None:
    if name in parts:
        return
    if name in importing:
        raise ValueError(f"{name} imports itself by way of {importing[-1]}")
    text = (web / name).read_text(encoding="utf-8")
    for found in IMPORT.finditer(text):
        _join(_imported(name, found[2]), web, parts, (*importing, name))
    body = IMPORT.sub(lambda found: _taken(found[1], _imported(name, found[2])), text)
    given = ", ".join(found[1] for found in EXPORT.finditer(body))
    parts[name] = f"const {_word(name)} = await (async () => {{\n{EXPORT.sub('', body)}return {{ {given} }};\n}})();\n"


def _imported(name: str, address: str) -> str:
    """Return the file that a module imports.

    >>> _imported("operator/people/find.js", "../../common/dom.js"), _imported("docs/docs.js", "/web/common/dom.js")
    ('common/dom.js', 'common/dom.js')
    """
    return posixpath.normpath(posixpath.join("/web", posixpath.dirname(name), address)).removeprefix("/web/")


def _taken(names: str, module: str) -> str:
    return f"const {{{names.replace(' as ', ': ')}}} = {_word(module)};\n"


def _word(name: str) -> str:
    """Return a name that no module gives anything of its own.

    >>> _word("operator/decision-parts.js")
    '$operator_decision_parts'
    """
    return "$" + re.sub(r"\W", "_", name.removesuffix(".js"))
