"""Either paper as one page to print, which needs nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

from kiosk.evaluation.acceptance.report import STYLE
from kiosk.privacy.words import Words

MORE_STYLE = """
ol{padding-inline-start:1.3rem;margin:.4rem 0}li .soft{font-size:.85em}
.text th,.text td{text-align:start!important;white-space:normal}
.text td{overflow-wrap:anywhere}.text td:first-child{white-space:nowrap;width:1%}
dd ul,dd dl{margin:0}dd dl{grid-template-columns:minmax(6rem,max-content) 1fr}
section.one{border-top:1px solid var(--line);padding-top:.4rem;margin-top:.6rem;break-inside:avoid-page}
img{max-width:14rem;max-height:14rem;border:1px solid var(--line)}
.blank{border-bottom:1px dotted var(--ink);min-height:1.6em}
"""


def as_page(words: Words, title: str, about: Iterable[str], parts: Iterable[str]) -> str:
    """Return a page of parts, each HTML that was escaped already."""
    return (
        f'<!doctype html><html lang="{words.language}"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}{MORE_STYLE}</style></head><body><main>\n"
        f"<h1>{escape(title)}</h1>\n"
        + "".join(f'<p class="soft">{escape(text)}</p>\n' for text in about)
        + "\n".join(parts)
        + "\n</main></body></html>\n"
    )


def section(title: str, inside: str, *, name: str = "") -> str:
    """Return a part with a heading; `name` is what links lead to."""
    return f"<section{f' id={chr(34)}{name}{chr(34)}' if name else ''}><h2>{escape(title)}</h2>\n{inside}</section>"


def bullets(rows: Iterable[tuple[str, str]]) -> str:
    """Return sentences as a list, each with a smaller remark behind."""
    return (
        "<ul>"
        + "".join(
            f"<li>{marked(text)}" + (f' <span class="soft">{escape(remark)}</span>' if remark else "") + "</li>\n"
            for text, remark in rows
        )
        + "</ul>"
    )


def marked(text: str) -> str:
    """Return a sentence with its commands set off.

    >>> marked("`kiosk forget 1` & *Edit*")
    '<code>kiosk forget 1</code> &amp; <em>Edit</em>'
    """
    return re.sub(r"\*([^*]+)\*", r"<em>\1</em>", re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text)))


def facts(value: Any, words: Words) -> str:
    """Return JSON for people: names of fields stand as they are, a photograph as the picture."""
    if isinstance(value, Mapping):
        rows = [(name, one) for name, one in value.items() if one not in (None, [], {}, "")]
        return (
            "<dl>"
            + "".join(f"<dt>{escape(str(name))}</dt><dd>{_fact(name, one, words)}</dd>" for name, one in rows)
            + "</dl>"
        )
    if isinstance(value, list) and not any(isinstance(one, (Mapping, list)) for one in value):
        return escape(", ".join(map(str, value)))
    if isinstance(value, list):
        return "<ul>" + "".join(f"<li>{facts(one, words)}</li>" for one in value) + "</ul>"
    if isinstance(value, bool):
        return escape(words("export.yes" if value else "export.no"))
    return escape(str(value))


def _fact(name: str, value: Any, words: Words) -> str:
    if name == "jpeg":
        return f'<img alt="{escape(words("export.picture"))}" src="data:image/jpeg;base64,{escape(value)}">'
    return facts(value, words)
