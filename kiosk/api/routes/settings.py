"""Settings over the API: all can be read, the safe ones changed, all of a change or nothing of it.

Safe is what cannot lock anybody out of the kiosk or reach beyond it: thresholds, the mode, hours, texts, the language.
Cameras, lines, addresses, certificates and the cloud stay with whoever writes kiosk.toml.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from starlette.responses import Response

from kiosk.api.operation import Call, Operation, Refusal, answer, field_errors, refusal
from kiosk.api.schema import ANSWER_400, ANY_OBJECT, BOOLEAN, NUMBER, STRING, TEXT, array, closed, named, or_null
from kiosk.errors import ConfigError, StoreError
from kiosk.rules.passage import PassageRule
from kiosk.rules.passes import PassRule
from kiosk.rules.patience import Patience
from kiosk.settings.config import Config, Sources, without_secrets
from kiosk.settings.neighbours import FactorSettings
from kiosk.settings.network import ApiSettings
from kiosk.settings.sections import EnrolmentSettings, EntranceSettings, MatchSettings, ScheduleSettings, SearchSettings
from kiosk.store.accounts import Role
from kiosk.store.chain import Kind

_WHOLE = {
    "match": MatchSettings,
    "search": SearchSettings,
    "entrance": EntranceSettings,
    "schedule": ScheduleSettings,
    "attempts": Patience,
    "factors": FactorSettings,
    "passage": PassageRule,
    "passes": PassRule,
}
CHANGEABLE = frozenset(
    {f"{section}.{one.name}" for section, kind in _WHOLE.items() for one in fields(kind)}
    | {f"enrolment.{one.name}" for one in fields(EnrolmentSettings)}
    | {f"api.{one.name}" for one in fields(ApiSettings) if one.name == "language"}
) - {"entrance.idle_fps", "search.shards", "search.shards_hub", "passes.enabled", "passes.looks_per_s"}
_KINDS = {bool: "boolean", int: "integer", float: "number", str: "text", tuple: "lines"}


def _told(call: Call, config: Config) -> list[dict[str, Any]]:
    told = []
    ordered = call.context.sources.ordered() if call.context.sources is not None else {}
    for section in fields(config):
        values = getattr(config, section.name)
        for one in fields(values):
            name, value, sources = f"{section.name}.{one.name}", getattr(values, one.name), call.context.sources
            choices = one.metadata.get("choices")
            is_open = sources is not None and not sources.overrides(section.name, one.name)
            is_open = is_open and one.name not in ordered.get(section.name, {})
            told.append(
                {
                    "name": name,
                    "value": without_secrets(value) if isinstance(value, str) else _plain(value),
                    "default": _plain(one.default),
                    "sentence": one.metadata["sentence"],
                    "unit": one.metadata.get("unit"),
                    "low": one.metadata["low"],
                    "high": one.metadata["high"],
                    "choices": list(choices) if choices else None,
                    "kind": "choice" if choices else _KINDS[type(value)],
                    "is_changeable": name in CHANGEABLE and is_open,
                }
            )
    return told


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


async def list_settings(call: Call) -> Response:
    """Return every setting; who put a password into an address does not find it here."""
    return answer({"settings": _told(call, call.context.config)})


async def change_settings(call: Call) -> Response:
    """Change settings."""
    body = await call.json()
    sources = call.context.sources
    if sources is None:
        raise refusal(409, "Settings cannot be changed here.")
    errors: dict[str, list[str]] = {}
    ordered = sources.ordered()
    for name in body:
        section, _, setting = name.partition(".")
        if name not in CHANGEABLE:
            errors[name[:100]] = ["This is no setting that can be changed here."]
        elif setting in ordered.get(section, {}):
            errors[name] = ["The owner of the fleet has set it, for every kiosk."]
        elif sources.overrides(section, setting):
            errors[name] = ["The environment of the kiosk's service has it, which goes before any change."]
    if errors:
        raise field_errors(errors)

    def work() -> Config:
        with call.context.changing:
            return _change(call, sources, body)

    return answer({"settings": _told(call, await call.run(work))})


def _change(call: Call, sources: Sources, body: Mapping[str, Any]) -> Config:
    context, before = call.context, call.context.config
    try:
        loaded = sources.load(_sections(body))
    except ConfigError as error:
        raise _wrong(sources, body, error) from None
    # Where the API listens stays as it was started: an option of the command line may have said so.
    new = replace(loaded, api=replace(before.api, language=loaded.api.language))
    try:
        _apply(call, new)
    except ConfigError as error:
        raise refusal(400, str(error)) from None
    store = context.device.store
    try:
        store.record_act(Kind.SETTINGS, details={"changed": sorted(body)}, actor=call.actor)
    except StoreError:  # what cannot be recorded does not happen
        _apply(call, before)
        raise
    try:
        sources.keep(_sections(body))
    except ConfigError:
        _apply(call, before)
        store.record_act(Kind.SETTINGS, details={"not_kept": sorted(body)}, actor=call.actor)
        raise
    return new


def _apply(call: Call, config: Config) -> None:
    if call.context.apply is not None:
        call.context.apply(config)
    else:
        call.context.device.apply(config)


def _sections(body: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    sections: dict[str, dict[str, Any]] = {}
    for name, value in body.items():
        section, _, setting = name.partition(".")
        sections.setdefault(section, {})[setting] = value
    return sections


def _wrong(sources: Sources, body: Mapping[str, Any], error: ConfigError) -> Refusal:
    """Say which setting is wrong: the one that is wrong alone, or else that they do not fit together."""
    alone: dict[str, list[str]] = {}
    for name, value in body.items():
        try:
            sources.load(_sections({name: value}))
        except ConfigError as one:
            alone[name] = [str(one)]
    return field_errors(alone) if alone else refusal(400, str(error))


SETTING = named(
    "Setting",
    closed(
        name=STRING,
        value={},
        default={},
        sentence=STRING,
        unit=or_null(STRING),
        low=or_null(NUMBER),
        high=or_null(NUMBER),
        choices=or_null(array({})),
        kind={"type": "string", "enum": ["choice", *_KINDS.values()]},
        is_changeable=BOOLEAN,
    ),
)
SETTINGS = named("Settings", closed(settings=array(SETTING)))

OPERATIONS = (
    Operation(
        "GET",
        "/device/settings",
        list_settings,
        "Return every setting with value, range and meaning.",
        {200: SETTINGS},
        role=Role.OPERATOR,
    ),
    Operation(
        "PATCH",
        "/device/settings",
        change_settings,
        'Change settings, such as {"match.decline_threshold": 40}; all of them or none.',
        {200: SETTINGS, 400: ANSWER_400, 408: TEXT, 409: TEXT, 413: TEXT, 503: TEXT},
        role=Role.ADMIN,
        json=ANY_OBJECT,
    ),
)
