"""The section of kiosk.toml about sessions: verifications of several steps, which a person takes on a page."""

from __future__ import annotations

import re
from dataclasses import dataclass

from kiosk.errors import ConfigError
from kiosk.rules.workflow import Workflow, read_workflows
from kiosk.setting import setting

_URL = re.compile(r"https?://(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")


@dataclass(frozen=True, slots=True)
class SessionSettings:
    """[sessions]: verifications of several steps, which a person takes on a page of the kiosk."""

    workflows: tuple[str, ...] = setting(
        ("onboarding: liveness > face_search > id_verification > face_match",),
        "Workflows that sessions are made of, each as ID: STEP > STEP. The id is what callers give as workflow_id, "
        "such as the UUID they used with Didit. Steps are liveness, age_estimation, face_search, id_verification and "
        "face_match.",
        may_be_empty=True,
    )
    valid_h: float = setting(
        24.0, "How long a session's link can be used; then what it kept is erased.", low=0.02, high=720.0, unit="h"
    )
    attempts: int = setting(
        3,
        "How often a person may photograph themselves, or the document, before the session is declined.",
        low=1,
        high=10,
    )
    most_open: int = setting(1000, "Most sessions that wait for their person at once.", low=1, high=100_000)
    public_url: str = setting(
        "",
        "Address by which telephones reach this kiosk, such as https://kiosk.example:8443; empty for the one that the "
        "caller used. Their browsers give a page the camera over https only.",
    )

    def __post_init__(self) -> None:
        """Refuse workflows that could never be taken."""
        try:
            read_workflows(self.workflows)
        except ValueError as error:
            raise ConfigError(f"[sessions] workflows: {error}") from None
        if self.public_url and not _URL.fullmatch(self.public_url):
            raise ConfigError(f"[sessions] public_url: want https://host or https://host:port, got {self.public_url!r}")

    @property
    def by_id(self) -> dict[str, Workflow]:
        """The workflows, by id."""
        return read_workflows(self.workflows)
