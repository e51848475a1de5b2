"""The paper about the settings: for a notice, a record of processing, an impact assessment, a written policy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from types import MappingProxyType
from typing import Any

from kiosk.didit import contract
from kiosk.privacy.page import as_page, bullets, section
from kiosk.privacy.statements import Section, Surroundings, sections
from kiosk.privacy.words import Words
from kiosk.settings.config import Config

ARTICLES: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = MappingProxyType(
    {
        "13": (
            ("purpose", "kept", "leaves", "rights", "automated"),
            ("controller", "basis", "authority", "notice", "transfer"),
        ),
        "30": (("purpose", "kept", "leaves", "access", "ends"), ("controller", "transfer")),
        "35": (("purpose", "kept", "leaves", "access", "automated", "risks"), ("need", "basis", "council")),
        "bipa": (("policy", "kept", "leaves"), ("release", "controller")),
    }
)
"""For each duty: the parts that answer it, and what only the owner can add."""


def report(config: Config, place: Surroundings, words: Words, *, at: float) -> dict[str, Any]:
    """Return the paper as JSON; `at` is s UTC."""
    found = sections(config, place, words)
    return {
        "made_at": contract.timestamp(at),
        "language": words.language,
        "sections": [
            {
                "id": part.id,
                "title": part.title,
                "statements": [
                    {"id": one.id, "text": one.text, "settings": list(one.settings)} for one in part.statements
                ],
            }
            for part in found
        ],
        "articles": [
            {"id": name, "title": words(f"article.{name}"), "sections": list(read), "owner_adds": list(added)}
            for name, (read, added) in ARTICLES.items()
        ],
    }


def as_text(config: Config, place: Surroundings, words: Words) -> str:
    """Return the paper as lines for a terminal."""
    lines: list[str] = [words("title")]
    for part in sections(config, place, words):
        lines += ["", part.title, *(f"- {one.text}" for one in part.statements)]
    return "\n".join(lines) + "\n"


def as_html(config: Config, place: Surroundings, words: Words, *, at: float) -> str:
    """Return the paper as a page to print."""
    found = sections(config, place, words)
    about = (words("made", at=contract.timestamp(at)[:16].replace("T", " ") + " UTC", directory=place.directory),)
    parts = [
        f'<p class="box">{escape(words("intro"))}</p>',
        section(words("article_title"), _articles(found, words)),
        *(section(part.title, _statements(part, words), name=part.id) for part in found),
    ]
    return as_page(words, words("title"), about, parts)


def _articles(found: Sequence[Section], words: Words) -> str:
    titles = {part.id: part.title for part in found}
    rows = "".join(
        f"<tr><th>{escape(words(f'article.{name}'))}</th>"
        f"<td>{'<br>'.join(f'<a href=#{one}>{escape(titles[one])}</a>' for one in read)}</td>"
        f"<td>{'<br>'.join(escape(words(f'owner.{one}')) for one in added)}</td></tr>"
        for name, (read, added) in ARTICLES.items()
    )
    head = "".join(f"<th>{escape(words(name))}</th>" for name in ("article_of", "article_read", "article_add"))
    return f'<div class="wide"><table class="text"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'


def _statements(part: Section, words: Words) -> str:
    if part.id == "owner":
        return "".join(f'<p>{escape(one.text)}</p><div class="blank"></div>' for one in part.statements)
    named = words("settings_word")
    return bullets(
        (one.text, f"({named}: {', '.join(_written(each) for each in one.settings)})" if one.settings else "")
        for one in part.statements
    )


def _written(setting: str) -> str:
    """Return a setting as kiosk.toml names it.

    >>> _written("store.log_days")
    '[store] log_days'
    """
    name, _, one = setting.partition(".")
    return f"[{name}] {one}"
