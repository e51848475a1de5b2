"""What the settings in force keep, for how long, who sees it and what leaves: each as a sentence with its settings.

Pure: settings and a few facts of the place in, statements out. A test changes every setting of the kiosk in turn: one
that matters to people's data must change a sentence that names it, and any other is on that test's list with a reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from kiosk.privacy.words import Words
from kiosk.settings.config import Config, without_secrets

LOCAL = ("127.0.0.1", "::1", "localhost")
LOCAL_CAMERAS = ("v4l2", "picamera2")
RECORDINGS = ("file", "dir", "demo")
BIPA_DAYS = 3 * 365.25  # after the last contact at the latest
CHILDREN_YEARS = 15  # under which the scale was not measured, see models/README.md


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the settings do not say."""

    directory: str  # of the state
    is_key_credential: bool = False
    is_in_fleet: bool = False


@dataclass(frozen=True, slots=True)
class Statement:
    """One sentence of the paper."""

    id: str
    text: str
    settings: tuple[str, ...] = ()  # that decide what it says, each as "section.name"


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the paper."""

    id: str
    title: str
    statements: tuple[Statement, ...] = field(default=())


Say = Callable[..., Statement]


def sections(config: Config, place: Surroundings, words: Words) -> tuple[Section, ...]:
    """Return the paper."""

    def say(key: str, *settings: str, **values: object) -> Statement:
        return Statement(key, words(key, **values), settings)

    parts: dict[str, Iterator[Statement]] = {
        "purpose": _purpose(config, say),
        "kept": _kept(config, place, words, say),
        "leaves": _leaves(config, place, words, say),
        "access": _access(config, words, say),
        "ends": _ends(config, words, say),
        "rights": _all(words, "rights", say),
        "automated": _automated(words, say),
        "risks": _all(words, "risks", say),
        "policy": _policy(config, words, say),
        "owner": _all(words, "owner", say),
    }
    return tuple(Section(name, words(f"section.{name}"), tuple(found)) for name, found in parts.items())


def _all(words: Words, part: str, say: Say) -> Iterator[Statement]:
    """Say what is so whatever is set."""
    yield from map(say, words.keys(part))


def _automated(words: Words, say: Say) -> Iterator[Statement]:
    yield from (say(key, years=CHILDREN_YEARS) for key in words.keys("automated"))


def _purpose(config: Config, say: Say) -> Iterator[Statement]:
    yield say(f"purpose.{config.entrance.mode}", "entrance.mode")
    yield say(f"pad.{config.pad.chosen_level}", "pad.level", "pad.screen")
    for name in ("pin", "card"):
        hours = getattr(config.factors, name)
        yield say(f"factor.{name}" if hours else f"factor.no_{name}", f"factors.{name}", hours="; ".join(hours))
    years = config.entrance.age_low
    yield say("age.door" if years else "age.no_door", "entrance.age_low", years=f"{years:g}")
    years = config.match.age_low
    yield say("age.calls" if years else "age.no_calls", "match.age_low", years=f"{years:g}")
    about = config.enrolment
    key = "consent.given" if about.consent_version else "consent.none"
    texts = ("enrolment.consent_version", "enrolment.consent_text", "enrolment.consent_texts")
    other = "".join(f" {code}: “{text}”" for code, text in sorted(about.text_by_language.items()))
    yield say(key, *texts, version=about.consent_version, text=about.consent_text, other=other)
    yield say(f"enrol.{about.by}", "enrolment.by")
    steps = sorted({step.value for flow in config.sessions.by_id.values() for step in flow.steps})
    key = "sessions.steps" if steps else "sessions.none"
    yield say(key, "sessions.workflows", steps=", ".join(steps))


def _kept(config: Config, place: Surroundings, words: Words, say: Say) -> Iterator[Statement]:
    store, days = config.store, words.days
    kept = days(store.retention_days)
    yield say("kept.person", "store.retention_days", days=kept)
    yield say("kept.template", "enrolment.references", count=config.enrolment.references)
    if config.enrolment.mirrored:
        yield say("kept.mirrored", "enrolment.mirrored")
    yield say("kept.images" if store.keep_images else "kept.no_images", "store.keep_images")
    if store.keep_calls:
        yield say("kept.calls", "store.keep_calls", "store.retention_days", days=kept)
    else:
        yield say("kept.no_calls", "store.keep_calls")
    if config.review.keep_probe:
        yield say("kept.probe", "review.keep_probe", "review.probe_days", days=days(config.review.probe_days))
    else:
        yield say("kept.no_probe", "review.keep_probe")
    for key in ("kept.log", "kept.answers"):
        yield say(key if store.log_days else f"{key}_always", "store.log_days", days=days(store.log_days))
    yield _passages(config, words, say)
    yield say("kept.factors")
    yield say("kept.passes" if config.passes.enabled else "kept.passes_off", "passes.enabled")
    yield say("kept.session", "sessions.valid_h", hours=words.hours(config.sessions.valid_h))
    yield _waiting(config, words, say)
    yield _camera(config.camera.source, say)
    yield say("kept.where", directory=place.directory)
    yield say("kept.key_credential" if place.is_key_credential else "kept.key_file")
    yield say("kept.backups")


def _passages(config: Config, words: Words, say: Say) -> Statement:
    rule, days = config.passage, config.store.log_days
    if rule.direction == "none":
        return say("kept.no_passages", "passage.direction")
    key = "kept.passages" if days else "kept.passages_always"
    return say(
        key, "passage.direction", "store.log_days", way=words(f"kept.way_{rule.direction}"), days=words.days(days)
    )


def _waiting(config: Config, words: Words, say: Say) -> Statement:
    cloud = config.cloud
    if not cloud.is_sending:
        return say(
            "kept.nothing_waits", "cloud.policy", "cloud.second_opinion", "cloud.send_reviews", "cloud.block_list"
        )
    return say(
        "kept.waiting",
        "cloud.keep_days",
        "cloud.outbox_mb",
        "store.outbox_days",
        room=f"{cloud.outbox_mb:g} MB",
        days=words.days(cloud.keep_days),
        noted=words.days(config.store.outbox_days),
    )


def _camera(source: str, say: Say) -> Statement:
    kind = source.partition(":")[0]
    where = without_secrets(source)
    if kind in LOCAL_CAMERAS:
        return say("kept.local_camera", "camera.source")
    return say("kept.recording" if kind in RECORDINGS else "kept.network_camera", "camera.source", source=where)


def _leaves(config: Config, place: Surroundings, words: Words, say: Say) -> Iterator[Statement]:
    is_used = (
        config.cloud.is_used,
        config.mqtt.is_used,
        config.syslog.is_used,
        _has_panel(config),
        bool(config.search.shards),
        place.is_in_fleet and config.fleet.enabled,
    )
    if not any(is_used):
        yield say("leaves.nothing")
    yield from _to_the_cloud(config, words, say)
    yield _to_the_broker(config, words, say)
    log = config.syslog
    if log.is_used:
        how = words("leaves.syslog_tls" if log.protocol == "tls" else "leaves.syslog_plain")
        yield say("leaves.syslog", "syslog.host", "syslog.protocol", host=log.host, protocol=how)
    else:
        yield say("leaves.no_syslog", "syslog.host")
    line = ("osdp.port", "osdp.role")
    if _has_panel(config):
        yield say("leaves.panel", *line, port=config.osdp.port)
    else:
        yield say("leaves.no_panel", *line)
    yield _to_the_fleet(config, place, words, say)
    search = config.search
    both = ("search.shards", "search.shards_hub")
    if search.shards:
        yield say("leaves.shards", *both, count=search.shards, hub=_host(search.shards_hub))
    else:
        yield say("leaves.no_shards", *both)


def _to_the_cloud(config: Config, words: Words, say: Say) -> Iterator[Statement]:
    cloud = config.cloud
    versions = ", ".join(cloud.consent_versions) or words("none")
    consent = words(f"leaves.consent_{cloud.api_consent}", versions=versions)
    agreed = ("cloud.api_consent", "cloud.consent_versions", "cloud.base_url")
    didit = _host(cloud.base_url)
    if cloud.policy == "summary":
        yield say("leaves.summary", "cloud.policy", "cloud.webhook_url", url=_host(cloud.webhook_url))
    elif cloud.policy == "replay":
        yield say("leaves.replay", "cloud.policy", *agreed, url=didit, consent=consent)
    else:
        yield say("leaves.policy_none", "cloud.policy")
    if cloud.fallback:
        yield say("leaves.fallback", "cloud.fallback", *agreed, url=didit, consent=consent)
    else:
        yield say("leaves.no_fallback", "cloud.fallback")
    if cloud.second_opinion:
        yield say("leaves.opinion", "cloud.second_opinion", *agreed, url=didit, consent=consent)
    else:
        yield say("leaves.no_opinion", "cloud.second_opinion")
    yield say("leaves.reviews" if cloud.send_reviews else "leaves.no_reviews", "cloud.send_reviews")
    if cloud.block_list:
        both = ("cloud.block_list", "cloud.consent_versions")
        yield say("leaves.block_list", *both, list=cloud.block_list, versions=versions)
    else:
        yield say("leaves.no_block_list", "cloud.block_list")
    yield say("leaves.lists" if cloud.lists else "leaves.no_lists", "cloud.lists", lists=", ".join(cloud.lists))
    if cloud.is_used and cloud.proxy:
        yield say("leaves.proxy", "cloud.proxy", proxy=_host(cloud.proxy))


def _to_the_broker(config: Config, words: Words, say: Say) -> Statement:
    mqtt = config.mqtt
    if not mqtt.is_used:
        return say("leaves.no_mqtt", "mqtt.host")
    every = words("seconds", n=f"{mqtt.still_every_s:g}")
    return say(
        "leaves.mqtt",
        "mqtt.host",
        "mqtt.publish_person",
        "mqtt.publish_still",
        "mqtt.still_every_s",
        "mqtt.tls",
        host=mqtt.host,
        person=words("leaves.mqtt_person") if mqtt.publish_person else "",
        still=words("leaves.mqtt_still", every=every) if mqtt.publish_still else "",
        tls=words("leaves.mqtt_tls" if mqtt.tls else "leaves.mqtt_plain"),
    )


def _has_panel(config: Config) -> bool:
    return config.osdp.is_used and config.osdp.role == "reader"


def _to_the_fleet(config: Config, place: Surroundings, words: Words, say: Say) -> Statement:
    if not place.is_in_fleet:
        return say("leaves.no_fleet")
    if not config.fleet.enabled:
        return say("leaves.fleet_off", "fleet.enabled")
    hubs = ", ".join(map(_host, config.fleet.site_hubs))
    more = words("leaves.fleet_hubs", hubs=hubs) if hubs else ""
    decisions = words("leaves.fleet_decisions" if config.fleet.decisions else "leaves.fleet_no_decisions")
    which = ("fleet.enabled", "fleet.site_hubs", "fleet.decisions")
    return say("leaves.fleet", *which, decisions=decisions, hubs=more)


def _access(config: Config, words: Words, say: Say) -> Iterator[Statement]:
    api = config.api
    if not api.enabled:
        yield say("access.no_api", "api.enabled")
    else:
        key = "access.loopback" if api.bind in LOCAL else "access.network"
        yield say(key, "api.enabled", "api.bind", bind=api.bind)
        yield say("access.roles")
        yield say("access.session", "api.session_h", hours=words.hours(api.session_h))
        key = "access.origins" if api.allowed_origins else "access.no_origins"
        yield say(key, "api.allowed_origins", origins=", ".join(api.allowed_origins))
        yield say("access.screen")
    yield say("access.root")


def _ends(config: Config, words: Words, say: Say) -> Iterator[Statement]:
    key = "ends.sweep_any" if config.degraded.clock_untrusted == "open" else "ends.sweep"
    hours = words.hours(config.health.holdover_h)
    yield say(key, "degraded.clock_untrusted", "health.holdover_h", hours=hours)
    yield from map(say, ("ends.forget", "ends.left", "ends.elsewhere"))


def _policy(config: Config, words: Words, say: Say) -> Iterator[Statement]:
    days = config.store.retention_days
    key = "policy.within" if days <= BIPA_DAYS else "policy.beyond"
    yield say(key, "store.retention_days", days=words.days(days))
    yield from map(say, ("policy.year", "policy.sale", "policy.care"))


def _host(url: str) -> str:
    """Return where an address leads, without what else it holds.

    >>> _host("https://name:password@example.org:8443/hook?key=1"), _host("")
    ('example.org:8443', '')
    """
    return urlsplit(url).netloc.rpartition("@")[2]
