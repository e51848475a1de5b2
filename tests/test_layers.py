"""Imports point down: the core computes, the edges touch the world, the shell introduces them to each other."""

import ast
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "kiosk"

LAYERS = [  # top to bottom; a module imports from its own row or from rows below
    {"cli", "cli_cloud", "cli_faces", "cli_import", "cli_models", "cli_run", "cli_serve", "cli_store", "__main__"},
    {"daemon"},
    {"opening", "doctor"},
    {"api", "cloud", "entrance", "judge", "monitor", "standing"}
    | {"cloud_export", "cloud_fallback", "cloud_lists", "cloud_sending", "cloud_sync", "cloud_view"},
    {"cloud_policy"},
    {"access", "uploads"}
    | {f"api_{noun}" for noun in ("admin", "decisions", "didit", "door", "enrol", "events", "gate", "house")}
    | {f"api_{noun}" for noun in ("import", "jobs", "line", "media", "metrics", "openapi", "pages", "people", "route")}
    | {f"api_{noun}" for noun in ("schema", "server", "session", "settings", "state")},
    {"deferral", "device", "lookalikes"},
    {
        "config",
        "settings",
        "inference",
        "desk",
        "clock",
        "notify",
        "photo",
        "store",
        "state",
        "contract",
        "packs",
        "audit_report",
        "scale_plot",
    }
    | {
        "accounts",
        "backup",
        "checkup",
        "database",
        "decisions",
        "erasure",
        "imports",
        "outbox",
        "outgoing",
        "people",
        "rekey",
    }
    | {"restore"}
    | {"schema", "subjects", "vault", "ledger", "camera", "capture", "demo", "slot", "watch", "door", "testing"}
    | {"wire", "credentials", "cloud_answers", "cloud_notes", "lists", "webhooks", "fake_cloud", "fake_http"},
    {"pipeline", "presentation"},
    {"detect", "yunet", "quality", "embed", "attributes", "match", "gallery", "search", "matrix", "audit"}
    | {"grant", "limits", "schedule", "admission"},
    {"image"},
    {"types", "errors", "__init__"},
]
HEIGHT = {module: -depth for depth, layer in enumerate(LAYERS) for module in layer}
CORE = set().union(*LAYERS[LAYERS.index({"pipeline", "presentation"}) :])
PURE = set(sys.stdlib_module_names) - {"socket", "logging", "sqlite3", "subprocess", "os", "time"} | {"numpy"}
ALLOWED = {"image": {"cv2"}, "matrix": {"numkong"}, "audit": {"numkong"}}  # each module's own accelerator


def imported(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            if node.module == "kiosk":
                yield from (
                    f"kiosk.{alias.name}" if (PACKAGE / f"{alias.name}.py").exists() else "kiosk.__init__"
                    for alias in node.names
                )
            else:
                yield node.module


@pytest.mark.parametrize("path", sorted(PACKAGE.glob("*.py")), ids=lambda path: path.stem)
def test_imports_point_down(path):
    assert path.stem in HEIGHT, f"say in which row {path.stem} belongs"
    for name in imported(path):
        root, _, rest = name.partition(".")
        if root == "kiosk":
            assert HEIGHT[rest.split(".")[0]] <= HEIGHT[path.stem], f"{path.stem} imports {name}"
        elif path.stem in CORE:
            assert root in PURE | ALLOWED.get(path.stem, set()), f"{path.stem} is core and must not import {name}"


def test_no_module_holds_two_subjects():
    long = {path.name: lines for path in PACKAGE.glob("*.py") if (lines := len(path.read_text().splitlines())) > 600}

    assert long == {}
