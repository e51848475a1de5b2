"""How a setting is declared: a field of a frozen class, with its default, sentence, range and unit.

The rooms of rules declare the settings of their rules with it, settings/sections.py all others.
"""

from __future__ import annotations

from dataclasses import field
from types import MappingProxyType
from typing import Any


def setting(default: Any, sentence: str, *, low: float | None = None, high: float | None = None, **more: Any) -> Any:
    """Declare a setting: default, what it does, its range, and `unit`, `choices` or `may_be_empty`."""
    metadata = MappingProxyType({"sentence": sentence, "low": low, "high": high, **more})
    return field(default=default, metadata=metadata)
