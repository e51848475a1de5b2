"""Imports point down: the core computes, the edges touch the world, the shell introduces them to each other."""

import ast
import functools
import sys
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import pytest

PACKAGE = Path(__file__).parent.parent / "kiosk"

ROWS = [  # top to bottom; a file imports from its own room or from lower rows, never sideways
    {"__main__", "skill"},  # the skill's scripts import nothing of ours
    {"cli"},
    {"daemon"},
    {"assembly"},
    {"api", "cloud", "fleet", "integrations", "shards", "testing"},
    {"privacy"},
    {"evaluation"},
    {"entrance"},
    {"device"},
    {"store", "capture", "door", "networks", "health", "decoding"},
    {"settings"},
    {"rules", "gallery", "didit", "documents"},
    {"recognition"},
    {"types", "errors", "setting"},
    {"__init__"},
]
HEIGHT = {room: -depth for depth, row in enumerate(ROWS) for room in row}
PURE_ROOMS = {"rules", "gallery", "didit", "documents", "recognition", "types", "errors", "setting"}
PURE = set(sys.stdlib_module_names) - {"socket", "logging", "sqlite3", "subprocess", "os", "time"} | {"numpy"}
ALLOWED = {  # each file's own library
    "recognition/image.py": {"cv2"},
    "recognition/text_lines.py": {"cv2"},
    "recognition/photo.py": {"PIL", "pillow_heif"},
    "recognition/formats/jpeg_pixels.py": {"simplejpeg"},
    "recognition/formats/tiff.py": {"PIL"},
    "recognition/formats/profile.py": {"PIL"},
    "gallery/products.py": {"onnxruntime"},
}
LONGEST_CLASS = 250  # lines; a longer one holds two subjects, unless a reason stands here
LONG_CLASSES = {
    "testing/fake_cloud.py FakeCloud": "one server with many routes that share a lock and the faults a test orders",
}
FILES = sorted(path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py"))


def room_of(path):
    return path.parts[0].removesuffix(".py")


class Facts(NamedTuple):
    """What the tests here ask of a file's syntax; the syntax itself, a million objects, is not kept."""

    imported: tuple[str, ...]  # modules
    names: tuple[str, ...]  # for `from a import b`: a.b, which may be a module
    calls: frozenset[str]  # of methods
    classes: tuple[tuple[str, int], ...]  # name, lines


def modules_of(node):
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if node.module == "kiosk":
        return [f"kiosk.{alias.name}" if alias.name in HEIGHT else "kiosk.__init__" for alias in node.names]
    return [node.module] if node.module else []


@functools.cache
def facts_of(path):
    nodes = list(ast.walk(ast.parse((PACKAGE / path).read_text(encoding="utf-8"))))
    imports = [node for node in nodes if isinstance(node, (ast.Import, ast.ImportFrom))]
    froms = [node for node in imports if isinstance(node, ast.ImportFrom) and node.module]
    called = [node.func for node in nodes if isinstance(node, ast.Call)]
    return Facts(
        tuple(module for node in imports for module in modules_of(node)),
        tuple(f"{node.module}.{alias.name}" for node in froms for alias in node.names),
        frozenset(function.attr for function in called if isinstance(function, ast.Attribute)),
        tuple(
            (node.name, (node.end_lineno or node.lineno) - node.lineno + 1)
            for node in nodes
            if isinstance(node, ast.ClassDef)
        ),
    )


@pytest.mark.parametrize("path", FILES, ids=str)
def test_imports_point_down(path):
    room = room_of(path)
    assert room in HEIGHT, f"say in which row {room} belongs"
    for name in facts_of(path).imported:
        root, _, rest = name.partition(".")
        if root == "kiosk":
            other = rest.split(".")[0]
            assert other == room or HEIGHT[other] < HEIGHT[room], f"{path} imports {name}: sideways or up"
        elif room in PURE_ROOMS:
            allowed = PURE | ALLOWED.get(path.as_posix(), set())
            assert root in allowed, f"{path} is pure and must not import {name}"


def test_no_room_is_crowded():
    crowded = {room: count for room, count in Counter(path.parent for path in FILES).items() if count > 25}

    assert crowded == {}
    assert sum(path.parent == Path() for path in FILES) <= 6  # the package, its wiring, and what every room uses


def test_no_module_holds_two_subjects():
    long = {str(path): lines for path in FILES if (lines := len((PACKAGE / path).read_text().splitlines())) > 600}

    assert long == {}


def is_private_to_the_store(module):
    """Whether a module of store/ is for store/ alone: others would write SQL, or open what is sealed."""
    room, _, name = module.removeprefix("kiosk.").partition(".")
    return room == "store" and (name.split(".")[0] in {"database", "schema", "vault"} or name.endswith("_rows"))


@pytest.mark.parametrize("path", [path for path in FILES if room_of(path) != "store"], ids=str)
def test_only_the_store_speaks_sql_and_opens_what_is_sealed(path):
    facts = facts_of(path)

    assert [name for name in facts.imported + facts.names if is_private_to_the_store(name)] == []
    assert {"execute", "executemany", "executescript"}.isdisjoint(facts.calls)


def test_no_class_holds_two_subjects():
    long = {
        f"{path.as_posix()} {name}": lines
        for path in FILES
        for name, lines in facts_of(path).classes
        if lines > LONGEST_CLASS
    }

    assert long.keys() - LONG_CLASSES.keys() == set(), "divide it, or say why it is one subject"
    assert LONG_CLASSES.keys() - long.keys() == set(), "it is short now: take it off the list"
