"""Facts about the pages' words: both languages say everything, and nothing else is said; no browser is needed."""

from __future__ import annotations

import json
import re
from dataclasses import fields

import pytest

from kiosk.api.page_scripts import WEB
from kiosk.api.routes.pages import languages_of
from kiosk.api.routes.settings import CHANGEABLE
from kiosk.entrance.screen import Result
from kiosk.recognition.challenges import Answer, Kind
from kiosk.recognition.cues import CueName, CueOutcome
from kiosk.recognition.judgement import Reason, Verdict
from kiosk.recognition.pad_levels import Level
from kiosk.rules.admission import DoorReason
from kiosk.rules.conditions import Condition
from kiosk.rules.grant import RefusalReason
from kiosk.rules.presentation import Guidance
from kiosk.settings.config import Config
from kiosk.settings.languages import LANGUAGES as ALL
from kiosk.settings.languages import WORDS

LANGUAGES = {name: json.loads((WEB / "common" / f"{name}.json").read_text(encoding="utf-8")) for name in ("en", "de")}
OTHERS = {
    code: json.loads((WORDS / f"{code}.json").read_text(encoding="utf-8")) for code in ALL if code not in LANGUAGES
}
"""Languages that are there by their file alone; what they lack is shown in English, marked."""

VISITORS = ("screen", "session")  # the pages whose words every language has to have whole
SCRIPTS = sorted(WEB.rglob("*.js"))
SETTINGS = [
    f"{section.name}.{one.name}" for section in fields(Config) for one in fields(getattr(Config(), section.name))
]
PLACES = re.compile(r"\{(\w+)\}")
USED = re.compile(r"""\bt\(\s*"([a-z_]+(?:\.[\w ]+)*)\"""")
ICON = re.compile(r"""\bicon\("([\w-]+)"\)""")


def forms(words):
    return list(words.values()) if isinstance(words, dict) else [words]


def test_both_languages_have_the_same_keys_and_german_says_what_each_setting_means():
    """In English the device's own sentence says it."""
    meanings = {f"setting_text.{name}" for name in SETTINGS}

    assert set(LANGUAGES["en"]) | meanings == set(LANGUAGES["de"])


@pytest.mark.parametrize("key", ["error.retry_after", "pager.total"])
def test_words_that_count_have_a_form_for_one_and_for_many(key):
    assert all(set(words[key]) == {"one", "other"} for words in LANGUAGES.values())


def test_a_translation_leaves_no_value_out():
    differing = [key for key, words in LANGUAGES["en"].items() if places(words) != places(LANGUAGES["de"][key])]

    assert differing == []


@pytest.mark.parametrize("language", sorted(ALL))
def test_what_a_button_does_is_never_called_as_the_way_out_beside_it(language):
    words = json.loads((WEB / "common" / f"{language}.json").read_text(encoding="utf-8"))

    assert [key for key, said in words.items() if said == words["action.cancel"]] == ["action.cancel"]


def places(words):
    return {place for form in forms(words) for place in PLACES.findall(form)}


def words_for_visitors():
    """Return the keys that the visitor's pages show: named in their scripts, whole or by a prefix."""
    text = "".join(path.read_text(encoding="utf-8") for path in SCRIPTS if path.parent.name in {*VISITORS, "common"})
    prefixes = set(re.findall(r'(?:named\("|`)([a-z_]+)(?:\.\$\{|")', text))
    named = set(re.findall(r'"([a-z_]+(?:\.[\w ]+)+)"', text))
    return {key for key in LANGUAGES["en"] if key in named or key.split(".")[0] in {*prefixes, "language"}}


@pytest.mark.parametrize("code", OTHERS)
def test_a_language_by_its_file_alone_says_all_that_a_visitor_sees(code):
    wanted = words_for_visitors()

    assert {"screen.welcome", "session.begin", "flow.consent", "closed.disk_full", "challenge.mouth"} <= wanted
    assert sorted(wanted - OTHERS[code].keys()) == []


@pytest.mark.parametrize("code", OTHERS)
def test_a_language_by_its_file_alone_has_no_key_and_no_value_of_its_own(code):
    english = LANGUAGES["en"]

    assert sorted(OTHERS[code].keys() - english.keys() - {f"setting_text.{name}" for name in SETTINGS}) == []
    assert [key for key, words in OTHERS[code].items() if places(words) != places(english.get(key, words))] == []
    assert [
        key
        for key, words in OTHERS[code].items()
        if isinstance(words, dict) != isinstance(english.get(key, words), dict)
    ] == []
    assert [key for key, words in OTHERS[code].items() if isinstance(words, dict) and "other" not in words] == []


@pytest.mark.parametrize("code", ALL)
def test_a_language_says_its_name_direction_and_region(code):
    words = {**LANGUAGES, **OTHERS}[code]

    assert words["language.name"]
    assert words["language.direction"] == ("rtl" if code in {"ar", "he", "fa", "ur"} else "ltr")
    assert words["language.region"].startswith(f"{code}-")


def test_what_a_language_lacks_is_counted_for_the_pages(tmp_path):
    for code, words in (("en", {"a": "A", "b": "B"}), ("xx", {"a": "Å", "language.name": "Xx"})):
        (tmp_path / f"{code}.json").write_text(json.dumps(words))
    (tmp_path / "not-a-language.json").write_text("{}")

    told = languages_of(tmp_path)

    assert list(told) == ["en", "xx"]
    assert (told["en"]["missing"], told["xx"]["missing"], told["xx"]["name"]) == (0, 1, "Xx")


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_what_a_script_says_there_are_words_for(script):
    used = set(USED.findall(script.read_text(encoding="utf-8")))

    assert used <= set(LANGUAGES["en"])


def test_every_icon_that_is_shown_is_drawn():
    drawn = set(re.findall(r"<symbol id=\"([\w-]+)\"", (WEB / "common" / "icons.svg").read_text(encoding="utf-8")))
    used = {name for script in SCRIPTS for name in ICON.findall(script.read_text(encoding="utf-8"))}

    assert used | {one.value for one in Guidance} <= drawn


@pytest.mark.parametrize(
    ("prefix", "codes"),
    [
        pytest.param("condition", [one.value for one in Condition], id="degraded states"),
        pytest.param("cure", [one.value for one in Condition], id="cures"),
        pytest.param("screen", [one.value for one in Guidance], id="guidance"),
        pytest.param("why", [one.value for one in DoorReason], id="reasons of decisions"),
        pytest.param("unopened_why", [one.value for one in RefusalReason], id="what keeps an approval from opening"),
        pytest.param("screen", [one.value for one in Result], id="results"),
        pytest.param("setting", SETTINGS, id="settings"),
        pytest.param("setting_text", sorted(CHANGEABLE), id="what these settings mean"),
    ],
)
def test_each_code_of_the_device_has_words(prefix, codes):
    assert [code for code in codes if f"{prefix}.{code}" not in LANGUAGES["en"]] == []


def test_no_page_asks_anything_of_another_host():
    said = {WORDS / f"{code}.json" for code in ALL}  # sentences, in which an address is an example
    for path in (path for path in WEB.rglob("*") if path.is_file() and path.suffix != ".png" and path not in said):
        text = path.read_text(encoding="utf-8").replace("http://www.w3.org/", "")

        assert not re.search(r"(https?:)?//[\w-]+\.[a-z]{2,}", re.sub(r"^\s*//.*$", "", text, flags=re.MULTILINE)), (
            path.name
        )


def test_markup_is_never_made_from_text():
    for script in SCRIPTS:
        text = script.read_text(encoding="utf-8")

        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(", text), script.name


@pytest.mark.parametrize(
    ("prefix", "codes"),
    [
        pytest.param("liveness_verdict", Verdict, id="verdicts"),
        pytest.param("liveness_reason", Reason, id="reasons"),
        pytest.param("cue", CueName, id="cues"),
        pytest.param("cue_outcome", CueOutcome, id="outcomes"),
        pytest.param("challenge_answer", Answer, id="answers"),
        pytest.param("pad_level", Level, id="levels"),
        pytest.param("challenge_more", Kind, id="challenges"),
    ],
)
def test_each_code_of_a_liveness_judgement_has_words(prefix, codes):
    assert [one.value for one in codes if f"{prefix}.{one.value}" not in LANGUAGES["en"]] == []
