"""Facts about the paper that says what is kept: every setting that matters is in a sentence, in both languages."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from typing import get_type_hints

import pytest

from kiosk.privacy.report import ARTICLES, as_html, report
from kiosk.privacy.statements import Surroundings, sections
from kiosk.privacy.words import LANGUAGES, words_of
from kiosk.settings.config import Config, load_config
from kiosk.store.upkeep.holdings import READERS

PLACE = Surroundings("/var/lib/kiosk", is_in_fleet=True)
LIST = "0b5e2f0e-0000-4000-8000-000000000001"
CLOUD = {"cloud": {"policy": "replay", "fallback": True, "second_opinion": True}}
MQTT = {"mqtt": {"host": "broker.example", "publish_still": True}}
TLS = {"api": {"bind": "0.0.0.0", "tls_certificate": "a.pem", "tls_key": "a.key"}}

TIED = {
    "entrance.mode": ({}, "verify"),
    "entrance.age_low": ({}, 18.0),
    "match.age_low": ({}, 0.0),
    "pad.level": ({}, "off"),
    "pad.screen": ({}, True),
    "factors.pin": ({}, ["mon-fri 18:00-06:00"]),
    "factors.card": ({}, ["mon-fri 18:00-06:00"]),
    "passage.direction": ({}, "in"),
    "enrolment.consent_version": ({}, "2026-11"),
    "enrolment.consent_text": ({"enrolment": {"consent_version": "2026-11"}}, "You agree."),
    "enrolment.consent_texts": ({"enrolment": {"consent_version": "2026-11"}}, ["de: Sie stimmen zu."]),
    "enrolment.by": ({}, "operator"),
    "enrolment.references": ({}, 5),
    "enrolment.mirrored": ({}, True),
    "sessions.workflows": ({}, ["short: liveness > face_search"]),
    "sessions.valid_h": ({}, 2.0),
    "store.retention_days": ({}, 30.0),
    "store.keep_images": ({}, True),
    "store.keep_calls": ({}, True),
    "store.log_days": ({}, 0.0),
    "store.outbox_days": (CLOUD, 10.0),
    "review.keep_probe": ({}, True),
    "review.probe_days": ({"review": {"keep_probe": True}}, 1.0),
    "camera.source": ({}, "rtsp://name:secret@192.0.2.7/live"),
    "cloud.policy": ({}, "replay"),
    "cloud.base_url": (CLOUD, "https://elsewhere.example"),
    "cloud.webhook_url": ({"cloud": {"policy": "summary", "webhook_url": "https://a.example"}}, "https://b.example"),
    "cloud.fallback": ({}, True),
    "cloud.second_opinion": ({}, True),
    "cloud.lists": ({}, [LIST]),
    "cloud.api_consent": (CLOUD, "owner"),
    "cloud.consent_versions": (CLOUD, ["2026-11"]),
    "cloud.keep_days": (CLOUD, 5.0),
    "cloud.outbox_mb": (CLOUD, 10.0),
    "cloud.proxy": (CLOUD, "http://proxy.example:3128"),
    "cloud.send_reviews": ({}, True),
    "cloud.block_list": ({}, LIST),
    "mqtt.host": ({}, "broker.example"),
    "mqtt.tls": (MQTT, True),
    "mqtt.publish_person": (MQTT, True),
    "mqtt.publish_still": ({"mqtt": {"host": "broker.example"}}, True),
    "mqtt.still_every_s": (MQTT, 60.0),
    "syslog.host": ({}, "logs.example"),
    "syslog.protocol": ({"syslog": {"host": "logs.example"}}, "tls"),
    "passes.enabled": ({}, True),
    "osdp.port": ({}, "/dev/ttyUSB0"),
    "osdp.role": ({"osdp": {"port": "/dev/ttyUSB0", "readers": ["1"]}}, "panel"),
    "fleet.decisions": ({}, True),
    "fleet.enabled": ({}, False),
    "fleet.site_hubs": ({}, ["tls://192.0.2.7:4222"]),
    "search.shards": ({"search": {"shards_hub": "nats://hub:4222"}}, 4),
    "search.shards_hub": ({"search": {"shards": 2, "shards_hub": "nats://hub:4222"}}, "nats://other:4222"),
    "api.enabled": ({}, False),
    "api.bind": (TLS, "192.0.2.9"),
    "api.session_h": ({}, 1.0),
    "api.allowed_origins": ({}, ["https://app.example"]),
    "degraded.clock_untrusted": ({}, "open"),
    "health.holdover_h": ({}, 1.0),
}
"""Each setting that changes what is kept, how long, who sees it or what leaves: what it needs, and another value."""

NOT_TIED = {
    "models": "which networks compute, and where",
    "presentation": "which faces are good enough to be judged",
    "attempts": "how long somebody has to wait",
    "door": "lines and times of the lock",
    "schedule": "hours",
    "match": "where a decision falls",
    "search": "where a decision falls",
    "entrance": "where a decision falls, and which faces count",
    "camera": "when a picture is trusted",
    "pad": "limits of the checks, and how a challenge is asked",
    "degraded": "what is left to do in a fault",
    "health": "when a fault counts, and where the state is written, which names nobody",
    "enrolment": "over which time frames are taken",
    "api": "ports, limits and certificates",
    "sessions": "how often and how many",
    "cloud": "how often and how fast",
    "mqtt": "names, topics and certificates",
    "syslog": "form, port and names",
    "factors": "how long and how often somebody may try",
    "passage": "who stays outside, by passages that are kept or not",
    "passes": "what is asked beside a pass, and how often it is looked for",
    "osdp": "how a line is spoken to",
    "wiegand": "lines of a card reader, which tells the kiosk and is told nothing",
}
"""The sections whose other settings change nothing of it, and what they are about."""


def told(changes, language="en"):
    found = sections(load_config(changes=changes), PLACE, words_of(language))
    return {(one.id, one.text): one for part in found for one in part.statements}


def with_value(changes, setting, value):
    section, _, name = setting.partition(".")
    return {**changes, section: {**changes.get(section, {}), name: value}}


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("setting", TIED)
def test_a_setting_that_matters_changes_a_sentence_that_names_it(setting, language):
    needed, value = TIED[setting]
    before, after = told(needed, language), told(with_value(needed, setting, value), language)

    changed = [one for key, one in {**before, **after}.items() if key not in before or key not in after]
    assert any(setting in one.settings for one in changed)


def test_every_setting_is_either_tied_to_a_sentence_or_of_a_section_with_a_reason():
    every = {f"{part.name}.{one.name}" for part in fields(Config) for one in fields(get_type_hints(Config)[part.name])}
    left = {setting.partition(".")[0] for setting in every - TIED.keys()}

    assert TIED.keys() - every == set()
    assert left - NOT_TIED.keys() == set(), "say in statements.py what it changes, or here why it changes nothing"
    assert {"store", "review", "fleet"}.isdisjoint(left)  # whatever is new there is about what is kept, or leaves


def test_every_sentence_names_settings_that_are_tied():
    bases = [{}, *(with_value(*(TIED[setting][0], setting, TIED[setting][1])) for setting in TIED)]
    named = {setting for changes in bases for one in told(changes).values() for setting in one.settings}

    assert named == TIED.keys()


def test_no_password_is_in_the_paper():
    changes = {"camera": {"source": "rtsp://name:secret@192.0.2.7/live?token=1"}}

    assert not [text for _, text in told(changes) if "secret" in text or "token=1" in text]


@pytest.mark.parametrize(("log_days", "says"), [(365.0, "kept.passages"), (0.0, "kept.passages_always")])
def test_passages_are_said_to_be_kept_as_long_as_the_log(log_days, says):
    found = told({"passage": {"direction": "out"}, "store": {"log_days": log_days}})

    (one,) = [one for (key, _), one in found.items() if key == says]
    assert "store.log_days" in one.settings


def test_a_kiosk_that_tells_a_panel_each_card_does_not_say_that_nothing_leaves():
    changes = {"osdp": {"port": "/dev/ttyUSB0"}}

    assert "leaves.nothing" not in {key for key, _ in told(changes)}


@pytest.mark.parametrize(
    ("days", "is_within"), [pytest.param(1095.75, True, id="three years"), pytest.param(1200.0, False, id="longer")]
)
def test_a_period_longer_than_a_law_allows_is_said_in_capitals(days, is_within):
    ids = {one for one, _ in told({"store": {"retention_days": days}})}

    assert ("policy.within" in ids, "policy.beyond" in ids) == (is_within, not is_within)


def test_both_languages_have_the_same_words_and_places():
    places = re.compile(r"\{(\w+)\}")
    one, other = (words_of(language).texts for language in LANGUAGES)

    assert list(one) == list(other)
    assert {key for key in one if set(places.findall(one[key])) != set(places.findall(other[key]))} == set()
    assert {f"table.{table}" for table in READERS} == {key for key in one if key.startswith("table.")}


def test_the_articles_name_parts_and_gaps_that_are_there():
    words = words_of("en")
    parts = {part.id for part in sections(Config(), PLACE, words)}
    for read, added in ARTICLES.values():
        assert set(read) <= parts
        assert {f"owner.{one}" for one in added} <= words.texts.keys()
    assert {f"owner.{one}" for _, added in ARTICLES.values() for one in added} == set(words.keys("owner"))


@pytest.mark.parametrize("language", LANGUAGES)
def test_page_and_json_say_the_same(language):
    config, words = Config(), words_of(language)
    page, whole = as_html(config, PLACE, words, at=1.8e9), report(config, PLACE, words, at=1.8e9)

    assert f'lang="{language}"' in page
    assert json.loads(json.dumps(whole)) == whole
    bare = re.sub(r"</?code>|</?em>", "", re.sub(r"&#x27;|&quot;", "'", page))
    for part in whole["sections"]:
        for one in part["statements"]:
            assert re.sub("[`*]", "", one["text"]).replace('"', "'") in bare
