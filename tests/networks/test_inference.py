import http.server
import shutil
import threading
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kiosk.errors import KioskError, ModelFileError
from kiosk.networks.download import KNOWN_PACKS, RemoteFile, RemotePack, download
from kiosk.networks.inference import (
    checked,
    load_recogniser,
    open_session,
    processor_features,
    read_pack,
    standard_pack,
)
from kiosk.networks.self_test import self_test

PACK = read_pack(standard_pack())
TASKS = ["finder", "mesh", "recogniser", "attributes"]


@pytest.fixture
def copy(tmp_path):
    """A copy of the pack that a test may spoil."""
    shutil.copytree(standard_pack(), tmp_path / "pack", ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    return tmp_path / "pack"


def test_the_pack_is_small_enough_to_travel():
    sizes = [model.path.stat().st_size for model in PACK.models if not model.is_optional]
    optional = [model.path.stat().st_size for model in PACK.models if model.is_optional]

    assert max(sizes + optional) <= 8e6
    assert sum(sizes) <= 15e6
    assert sum(optional) <= 7e6


@pytest.mark.parametrize("task", TASKS)
def test_every_model_says_where_it_comes_from(task):
    about = PACK.spec(task).about

    assert {"registry", "package", "version", "sha256"} <= set(about["source"])
    assert all(about[name] for name in ("licence", "input", "output", "outputs", "precision"))


@pytest.mark.parametrize("task", TASKS)
def test_a_changed_file_refuses_and_is_named(copy, task):
    path = read_pack(copy).spec(task, features=processor_features()).path
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)

    with pytest.raises(ModelFileError, match=f"{path.name} is not the file"):
        load_recogniser(read_pack(copy))


@pytest.mark.parametrize("task", TASKS)
def test_a_missing_file_refuses_and_is_named(copy, task):
    path = read_pack(copy).spec(task, features=processor_features()).path
    path.unlink()

    with pytest.raises(ModelFileError, match=f"{path.name}: No such file"):
        load_recogniser(read_pack(copy))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("format = 1", "format = 2", "format 2"),
        ('task = "mesh"', 'task = "hat"', "'hat' is none of"),
        ("\n[scale]\n", "\n[scales]\n", "'cosine'"),
        ("rarity = [", "rarity = [9.0, ", "is not a manifest"),
        ("format = 1", "format = ", "is not a manifest"),
    ],
)
def test_a_manifest_that_is_none_is_refused(copy, old, new, said):
    path = copy / "manifest.toml"
    path.write_text(path.read_text().replace(old, new, 1))

    with pytest.raises(ModelFileError, match=said):
        read_pack(copy)


def test_a_folder_without_a_manifest_is_no_pack(tmp_path):
    with pytest.raises(ModelFileError, match=r"set \[models\] pack"):
        read_pack(tmp_path)


def test_a_provider_that_is_not_there_is_noted_and_the_others_serve():
    notes: list[str] = []

    session = open_session(
        PACK.spec("mesh"), providers=("TensorrtExecutionProvider", "CPUExecutionProvider"), note=notes.append
    )

    assert len(session.run(np.zeros((1, 192, 192, 3), np.float32))) == 2
    assert len(notes) == 1
    assert "TensorrtExecutionProvider is listed" in notes[0]


def test_providers_none_of_which_is_there_refuse():
    with pytest.raises(ModelFileError, match="none of"):
        open_session(PACK.spec("mesh"), providers=("CUDAExecutionProvider",))


def test_a_file_of_another_kind_has_no_runtime(tmp_path):
    path = tmp_path / "model.bin"
    path.write_bytes(b"")
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

    with pytest.raises(ModelFileError, match=r"no runtime for \.bin"):
        open_session(replace(PACK.spec("mesh"), path=path, sha256=empty))


def test_both_runtimes_run_the_detector_alike(person_a):
    faces = [load_recogniser(PACK, finder_runtime=runtime).detect(person_a) for runtime in ("onnx", "tflite")]

    assert [len(found) for found in faces] == [1, 1]
    np.testing.assert_allclose(faces[0][0].box, faces[1][0].box, atol=0.5)
    np.testing.assert_allclose(faces[0][0].landmarks, faces[1][0].landmarks, atol=0.5)


@pytest.mark.parametrize("runtime", ["onnx", "tflite"])
def test_sessions_give_the_same_whatever_ran_before(runtime):
    session = open_session(PACK.spec("finder", runtime))
    rng = np.random.default_rng(0)
    one, other = (rng.uniform(-1, 1, (1, 256, 256, 3)).astype(np.float32) for _ in range(2))

    first = session.run(one)
    session.run(other)

    for before, after in zip(first, session.run(one), strict=True):
        np.testing.assert_array_equal(before, after)


def test_the_finder_sees_a_wide_or_high_picture_as_it_sees_it_in_a_square(person_a):
    recogniser = load_recogniser(PACK)
    picture = np.asarray(person_a)
    edge = min(picture.shape[:2])
    for height, width in ((edge * 3 // 4, edge), (edge * 9 // 16, edge), (edge, edge * 3 // 4)):
        part = np.ascontiguousarray(picture[:height, :width])
        square = np.zeros((max(part.shape), max(part.shape), 3), np.uint8)
        square[:height, :width] = part

        found, expected = recogniser.detect(part), recogniser.detect(square)

        assert [len(found), len(expected)] == [1, 1]
        np.testing.assert_allclose(found[0].box, expected[0].box, atol=0.03 * edge)


def test_the_finder_for_wide_registers_gives_the_same_numbers():
    plain, wide = PACK.spec("finder"), PACK.spec("finder", features=["avx512f"])
    assert [plain.path.name, wide.path.name] == ["face_finder.onnx", "face_finder_wide.onnx"]
    assert plain.options == wide.options
    sessions = [open_session(spec) for spec in (plain, wide)]
    rng = np.random.default_rng(0)
    for height, width in ((192, 256), (160, 160)):
        picture = rng.uniform(-1, 1, (1, height, width, 3)).astype(np.float32)

        expected, found = (session.run(picture) for session in sessions)

        for before, after in zip(expected, found, strict=True):
            np.testing.assert_allclose(after, before, atol=1e-3)


def test_only_a_processor_with_wide_registers_is_given_the_file_for_them():
    features = processor_features()
    assert len(features) > 5  # every Linux says what its processor has

    chosen = PACK.spec("finder", "onnx", features)

    assert (chosen.path.name == "face_finder_wide.onnx") == ("avx512f" in features)
    assert PACK.spec("finder", "tflite", ["avx512f"]).path.name == "face_finder.tflite"


def test_many_threads_may_ask_for_a_shape_that_was_not_seen_yet():
    session = open_session(PACK.spec("finder"))
    pictures = [np.zeros((1, height, width, 3), np.float32) for height, width in ((192, 256), (256, 160))] * 4

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(session.run, pictures))

    for answer in answers[2:]:
        np.testing.assert_array_equal(answer[0], answers[0 if len(answer[0][0]) == len(answers[0][0][0]) else 1][0])


def test_templates_carry_the_digest_of_the_file_that_made_the_same_ones_before():
    recogniser = PACK.spec("recogniser")

    assert PACK.template_model == recogniser.about["templates"] != recogniser.sha256
    assert replace(recogniser, about={}).templates == recogniser.sha256


def template_of(recogniser, picture):
    template = recogniser.analyse(picture).template
    assert template is not None
    return template


def test_a_session_serves_many_threads(person_a, person_b):
    recogniser = load_recogniser(PACK, finder_runtime="tflite")
    expected = [template_of(recogniser, picture).vector for picture in (person_a, person_b)]
    failures = []

    def work(number):
        for _ in range(5):
            for picture, vector in zip((person_a, person_b), expected, strict=True):
                if not np.array_equal(template_of(recogniser, picture).vector, vector):
                    failures.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []


def test_golden_faces_come_out_as_stored():
    assert "came out as stored" in self_test(PACK, load_recogniser(PACK))


def test_swapped_colour_channels_fail_the_golden_faces():
    recogniser = load_recogniser(PACK)
    wrong = replace(recogniser, extract=lambda image, face: recogniser.extract(image[:, :, ::-1].copy(), face))

    with pytest.raises(ModelFileError, match="came out with cosine"):
        self_test(PACK, wrong)


def test_a_recogniser_that_always_gives_the_same_fails_the_golden_faces(person_a):
    recogniser = load_recogniser(PACK)
    always = template_of(recogniser, person_a)
    faces = [dict(face) for face in PACK.golden["face"]]
    spoiled = replace(PACK, golden={"face": faces})
    import base64

    for face in faces:
        face["template"] = base64.b64encode(always.vector.tobytes()).decode()

    with pytest.raises(ModelFileError, match="two people came together"):
        self_test(spoiled, replace(recogniser, extract=lambda _image, _face: always))


def test_a_pack_whose_licence_is_not_commercial_wants_a_word(copy):
    from kiosk import assembly
    from kiosk.settings.config import load_config

    path = copy / "manifest.toml"
    path.write_text(path.read_text().replace("commercial = true", "commercial = false", 1))
    named = {"KIOSK_MODELS_PACK": str(copy)}

    with pytest.raises(ModelFileError, match="not for commercial use"):
        assembly.load_pack(load_config(None, named))
    assert (
        assembly.load_pack(load_config(None, {**named, "KIOSK_MODELS_ACCEPT_NON_COMMERCIAL": "true"})).name == PACK.name
    )


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def remote(tmp_path):
    """A real HTTP server, and a pack of two files on it."""
    folder = tmp_path / "served"
    folder.mkdir()
    mesh, recogniser = PACK.spec("mesh"), PACK.spec("recogniser")
    for spec in (mesh, recogniser):
        shutil.copy(spec.path, folder)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), lambda *a: Quiet(*a, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    base = f"http://127.0.0.1:{server.server_port}"
    files = tuple(
        RemoteFile(s.path.name, f"{base}/{s.path.name}", s.sha256, s.path.stat().st_size, s.licence, is_commercial=True)
        for s in (mesh, recogniser)
    )
    yield RemotePack("opencv-zoo", "test", files, ("age_gender.onnx", "golden")), folder
    server.shutdown()
    server.server_close()


def test_a_pack_is_pulled_whole(remote, tmp_path):
    pack, _ = remote

    download(pack, tmp_path / "there", standard_pack())

    assert sorted(path.name for path in (tmp_path / "there").iterdir()) == [
        "age_gender.onnx",
        "face_mesh.onnx",
        "golden",
        "manifest.toml",
        "sface.onnx",
    ]
    assert read_pack(tmp_path / "there").name == "opencv-zoo"


@pytest.mark.parametrize("spoil", ["changed", "shorter", "longer", "gone"])
def test_a_wrong_download_leaves_nothing(remote, tmp_path, spoil):
    pack, folder = remote
    path = folder / "sface.onnx"
    content = path.read_bytes()
    wrong = {"changed": b"x" + content[1:], "shorter": content[:-1], "longer": content + b"x"}
    path.write_bytes(wrong[spoil]) if spoil in wrong else path.unlink()

    with pytest.raises(ModelFileError):
        download(pack, tmp_path / "there", standard_pack())

    assert sorted(path.name for path in tmp_path.iterdir()) == ["served"]


def test_a_non_commercial_pack_is_not_pulled_without_a_word(remote, tmp_path):
    pack, _ = remote
    closed = replace(pack, files=(replace(pack.files[0], is_commercial=False, licence="CC-BY-NC"), *pack.files[1:]))

    with pytest.raises(ModelFileError, match="CC-BY-NC"):
        download(closed, tmp_path / "there", standard_pack())
    download(closed, tmp_path / "there", standard_pack(), accept_non_commercial=True)

    assert (tmp_path / "there").is_dir()


def test_a_server_that_is_not_there_is_one_sentence(tmp_path, remote):
    pack, _ = remote
    dead = replace(pack, files=(replace(pack.files[0], url="http://127.0.0.1:9/none"),))

    with pytest.raises(ModelFileError, match="check the network"):
        download(dead, tmp_path / "there", standard_pack())


@pytest.mark.parametrize("name", list(KNOWN_PACKS))
def test_every_known_pack_has_its_manifest_with_the_same_digests(name):
    import kiosk

    directory = Path(kiosk.__file__).parent / "networks" / "manifests"
    text = (directory / f"{name}.toml").read_text(encoding="utf-8")

    for file in KNOWN_PACKS[name].files:
        assert file.sha256 in text
        assert file.url.startswith("https://")


def test_yunet_finds_the_same_faces_where_its_file_is_there(shared_faces, person_a):
    from kiosk.recognition.yunet import YuNet

    path = shared_faces.parent / "models" / "face_detection_yunet_2023mar.onnx"
    if not path.exists():
        pytest.skip("no YuNet beside this repository")
    outputs = [f"{kind}_{stride}" for kind in ("cls", "obj", "bbox", "kps") for stride in (8, 16, 32)]
    digest = "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4"
    spec = replace(PACK.spec("finder"), path=path, sha256=digest, about={"outputs": outputs})
    yunet = YuNet(open_session(spec), threshold=0.8)

    (face,) = yunet.detect(person_a)
    (ours,) = load_recogniser(PACK).detect(person_a)
    turned, angle = yunet.find_upright(np.ascontiguousarray(np.rot90(person_a)))

    np.testing.assert_allclose(face.landmarks, ours.landmarks, atol=0.15 * float(np.ptp(ours.box)))
    assert (len(turned), angle) == (1, 90)


def test_checked_returns_the_bytes_on_disk():
    assert checked(PACK.spec("mesh")) == PACK.spec("mesh").path.read_bytes()
    assert issubclass(ModelFileError, KioskError)


def test_a_loaded_network_keeps_no_copy_of_its_file():
    spec = PACK.spec("recogniser")
    open_session(spec)  # so that nothing is imported while it is counted
    tracemalloc.start()
    try:
        session = open_session(spec)
        held, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    size = spec.path.stat().st_size
    assert most > size  # it was read
    assert held < size / 4
    assert session.run(np.zeros((1, 112, 112, 3), np.uint8))[0].shape == (1, 128)
