"""Facts about a pack of the owner's own: a real recogniser is imported, measured and used, and what is wrong is told.

The network is the shipped one with a line more in its metadata, so it is another file with another digest: whatever is
tried needs no download. Other recognisers were tried by hand, see models/README.md.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from kiosk.cli.main import main
from kiosk.errors import ModelFileError, ModelMismatchError
from kiosk.networks.inference import MANIFEST_NAME, load_recogniser, open_session, read_pack, standard_pack
from kiosk.networks.own_pack import EXAMPLE, UNMEASURED, import_pack, read_description
from kiosk.networks.self_test import self_test
from kiosk.recognition.match import ScoreScale, compare
from tests.conftest import GOLDEN, read

TOLD = {
    "name": "mine",
    "licence": "Apache-2.0",
    "commercial": True,
    "outputs": ["template"],
    "length": 128,
    "side": 112,
}
SCALE = """
[scale]
cosine = [-0.1, 0.1, 0.34, 0.54, 0.6]
rarity = [0.0, 0.3, 2.0, 6.0, 8.0]
"""


def metadata(key: bytes, value: bytes) -> bytes:
    """Return an entry of ONNX's metadata_props as it stands at the end of a file: protobuf's field 14."""
    entry = b"\x0a" + bytes([len(key)]) + key + b"\x12" + bytes([len(value)]) + value
    return b"\x72" + bytes([len(entry)]) + entry


def measured(pack):
    """Give a pack the scale of the network that it is made of."""
    manifest = pack / MANIFEST_NAME
    manifest.write_text(manifest.read_text(encoding="utf-8") + SCALE, encoding="utf-8")


@pytest.fixture
def network(tmp_path):
    path = tmp_path / "mine.onnx"
    path.write_bytes(read_pack(standard_pack()).spec("recogniser").path.read_bytes() + metadata(b"owner", b"me"))
    return path


@pytest.fixture
def pack(tmp_path, network):
    import_pack(network, TOLD, tmp_path / "pack")
    return tmp_path / "pack"


def test_an_imported_recogniser_recognises_and_its_pack_tests_itself(pack):
    measured(pack)
    found = read_pack(pack)
    recogniser = load_recogniser(found)

    assert self_test(found, recogniser)
    assert {model.task for model in found.models} == {"finder", "mesh", "recogniser", "attributes", "liveness", "mrz"}
    assert found.template_model != read_pack(standard_pack()).template_model


def test_a_pack_whose_scale_was_not_measured_says_how_to_measure_it_and_opens_for_that_alone(pack):
    with pytest.raises(ModelFileError, match=r"has no \[scale\].*evaluate match DIR --write-scale"):
        read_pack(pack)

    assert read_pack(pack, unmeasured=UNMEASURED).scale == UNMEASURED
    measured(pack)
    scale = ScoreScale((-0.1, 0.1, 0.34, 0.54, 0.6), (0.0, 0.3, 2.0, 6.0, 8.0))
    assert read_pack(pack, unmeasured=UNMEASURED).scale == scale


def test_templates_of_two_packs_never_compare(pack):
    image = read(GOLDEN / "person_a_1.jpg")
    own = load_recogniser(read_pack(pack, unmeasured=UNMEASURED)).analyse(image).template
    shipped = load_recogniser(read_pack(standard_pack())).analyse(image).template

    assert own is not None
    assert shipped is not None
    assert np.allclose(own.vector, shipped.vector)  # the same numbers, and refused all the same
    with pytest.raises(ModelMismatchError):
        compare(own, shipped)


def test_a_file_that_was_changed_after_the_import_does_not_load(pack):
    (pack / "mine.onnx").write_bytes((pack / "mine.onnx").read_bytes()[:-1] + b"x")

    with pytest.raises(ModelFileError, match=r"mine\.onnx is not the file in manifest\.toml: it was changed"):
        load_recogniser(read_pack(pack, unmeasured=UNMEASURED))


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        pytest.param(
            {"side": 160}, r"takes an input of 1x112x112x3, the manifest says 1x160x160x3.*mend side", id="size"
        ),
        pytest.param({"layout": "planar"}, r"the manifest says 1x3x112x112: mend side or layout", id="layout"),
        pytest.param({"length": 512}, r"gives 128 numbers, the manifest says 512: mend length", id="length"),
        pytest.param({"outputs": ["embedding"]}, r"has no output embedding", id="output"),
        pytest.param({"sha256": "0" * 64}, r"is not the file of the manifest: its sha256 is", id="digest"),
    ],
)
def test_a_manifest_that_does_not_fit_its_file_is_refused_and_leaves_nothing(tmp_path, network, changed, why):
    with pytest.raises(ModelFileError, match=why):
        import_pack(network, {**TOLD, **changed}, tmp_path / "pack")
    assert [path.name for path in tmp_path.iterdir()] == ["mine.onnx"]


def test_a_network_that_does_not_recognise_is_refused(tmp_path):
    attributes = read_pack(standard_pack()).spec("attributes")
    other = tmp_path / "other.onnx"
    shutil.copyfile(attributes.path, other)
    told = {**TOLD, "outputs": ["age"], "length": 1, "side": 160}

    with pytest.raises(ModelFileError, match="does not tell the golden faces apart"):
        import_pack(other, told, tmp_path / "pack")


@pytest.mark.parametrize("content", [b"", b"no network", b"\x08\x09" * 50])
def test_a_file_that_is_no_network_is_refused(tmp_path, content):
    path = tmp_path / "mine.onnx"
    path.write_bytes(content)

    with pytest.raises(ModelFileError, match="onnxruntime cannot load it"):
        import_pack(path, TOLD, tmp_path / "pack")


def test_the_shipped_recogniser_a_file_of_another_kind_and_a_folder_that_is_there_are_refused(tmp_path, network):
    shipped = read_pack(standard_pack()).spec("recogniser").path
    (tmp_path / "there").mkdir()

    for file, target, why in (
        (shipped, "pack", "travels with the kiosk"),
        (tmp_path / "mine.tflite", "pack", "want a file in ONNX"),
        (tmp_path / "gone.onnx", "pack", "No such file"),
        (network, "there", "is there already"),
    ):
        with pytest.raises(ModelFileError, match=why):
            import_pack(file, TOLD, tmp_path / target)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('name = "mine"', "says nothing of licence, commercial, outputs, length, side"),
        ("name =", "is not TOML"),
        (EXAMPLE + "\nspeed = 3", "has speed, which nothing reads"),
        (EXAMPLE.replace("512", "true"), "wrong value of length"),
        (EXAMPLE.replace('"planar"', '"flat"'), "wrong value of layout"),
        (EXAMPLE.replace("divisor = 127.5", "divisor = 0"), "wrong value of divisor"),
    ],
)
def test_a_description_that_leaves_something_out_or_is_wrong_is_refused_with_an_example(tmp_path, text, why):
    path = tmp_path / "mine.toml"
    path.write_text(text, encoding="utf-8")

    with pytest.raises(ModelFileError, match=why):
        read_description(path)


def test_the_example_of_a_description_is_one(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(EXAMPLE, encoding="utf-8")

    assert read_description(path)["length"] == 512


def test_pixels_are_brought_to_what_the_manifest_says_the_network_wants():
    spec = read_pack(standard_pack()).spec("liveness")  # takes planar pixels as they are
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (1, 128, 128, 3), np.uint8)
    plain = open_session(spec)
    turned = open_session(replace(spec, about={**spec.about, "colour": "bgr"}))
    shifted = open_session(replace(spec, about={**spec.about, "mean": -64.0, "divisor": 2.0}))

    assert np.allclose(turned.run(pixels[..., ::-1])[0], plain.run(pixels)[0])
    even = (pixels // 2 * 2).astype(np.uint8)
    assert np.allclose(shifted.run(even)[0], plain.run((even // 2 + 32).astype(np.uint8))[0], atol=1e-5)


def test_one_command_imports_a_pack_and_a_match_with_it_wants_its_scale_first(tmp_path, network, capsys):
    (tmp_path / "mine.toml").write_text(
        EXAMPLE.split("layout")[0].replace("512", "128").replace('"output"', '"template"'), encoding="utf-8"
    )
    state = ["--state", str(tmp_path / "state")]
    assert main([*state, "models", "import", str(network), "--manifest", str(tmp_path / "mine.toml")]) == 0
    target = tmp_path / "state" / "models" / "my-pack"
    assert "Templates of two models never compare" in capsys.readouterr().out
    assert (tmp_path / "state").stat().st_mode & 0o077 == 0  # the key will lie there

    settings = tmp_path / "kiosk.toml"
    settings.write_text(f'[models]\npack = "{target}"\n', encoding="utf-8")
    pictures = [str(GOLDEN / f"person_{name}.jpg") for name in ("a_1", "a_2")]
    wanted = [*state, "--config", str(settings), "match", *pictures, "--no-save"]
    assert main(wanted) == 1
    assert "has no [scale]" in capsys.readouterr().err
    measured(target)
    assert main(wanted) == 0


def test_the_scale_of_an_imported_pack_is_measured_and_a_match_uses_it(tmp_path, pack, shared_faces, capsys):
    people = tmp_path / "people"
    for folder in sorted(path for path in (shared_faces / "lfw").iterdir() if path.is_dir())[:150]:
        (people / folder.name).mkdir(parents=True)
        first = min(folder.glob("*.jpg"))
        (people / folder.name / first.name).symlink_to(first)
    settings = tmp_path / "kiosk.toml"
    settings.write_text(f'[models]\npack = "{pack}"\n', encoding="utf-8")
    chosen = ["--state", str(tmp_path / "state"), "--config", str(settings)]

    assert main([*chosen, "evaluate", "match", str(people), "--write-scale", "--json"]) == 0
    scores = json.loads(capsys.readouterr().out)["scores"]
    found = read_pack(pack)
    assert scores["50"]["fmr"] <= 0.01  # told by the scale that was just written
    assert found.measured["non_mated"] >= 10_000
    assert found.scale != UNMEASURED
    pictures = [str(GOLDEN / f"person_{name}.jpg") for name in ("a_1", "a_2")]
    assert main([*chosen, "match", *pictures, "--no-save", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["face_match"]["status"] == "Approved"
