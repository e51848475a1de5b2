"""Barcodes are read behind the walls that decoding has, and a reader that fails takes nothing with it."""

import re
from pathlib import Path

import numpy as np
import pytest

from kiosk.decoding.codes import LONGEST, MOST_CODES, Barcode
from kiosk.decoding.confinement import Limits
from kiosk.decoding.decoder import Decoder
from kiosk.errors import ImageError, StoppingError
from tests.decoding import hostile_reader
from tests.decoding.bombs import photograph
from tests.decoding.hostile_reader import CRASHES, LIES, RUNS_ON, SLEEPS, SOUND, plate
from tests.patience import LIMIT_S, until

zxingcpp = pytest.importorskip("zxingcpp", reason="zxing-cpp is not installed; it is in the extra `documents`")

AAMVA = "@\n\x1e\rANSI 636000090002DL00410278\nDLDAQL898902C3\nDCSERIKSSON\r"


@pytest.fixture(scope="module")
def decoder():
    with Decoder(Limits(processor_s=LIMIT_S, wall_s=LIMIT_S)) as made:
        yield made


def drawn(text, kind="QRCode", scale=3):
    formats = {"QRCode": zxingcpp.BarcodeFormat.QRCode, "PDF417": zxingcpp.BarcodeFormat.PDF417}
    return np.pad(np.array(zxingcpp.create_barcode(text, formats[kind]).to_image(scale=scale)), 30, constant_values=255)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        pytest.param("PDF417", AAMVA, id="a licence, with its control characters"),
        pytest.param("QRCode", "Ünïcode 名前 🙂", id="beyond ASCII"),
        pytest.param("QRCode", "Ünïcode 名前 🙂 " * 90, id="more than a pipe takes at once"),
    ],
)
def test_a_code_comes_through_to_the_last_character(decoder, kind, text):
    assert decoder.barcodes(drawn(text, kind)) == (Barcode(kind, text),)


def test_of_many_codes_so_many_come(decoder):
    row = np.hstack([drawn(f"number {one}") for one in range(MOST_CODES + 2)])

    assert len(decoder.barcodes(row)) == MOST_CODES


def test_a_pass_is_no_pdf417_and_no_long_text(decoder):
    assert decoder.codes(drawn("FKP1:a pass")) == ("FKP1:a pass",)
    assert decoder.codes(drawn("FKP1:a pass", "PDF417")) == ()
    assert decoder.codes(drawn("x" * 401)) == decoder.codes(drawn("é")) == ()


@pytest.mark.parametrize(
    ("kind", "text"), [("Trojan", "x"), ("QRCode", ""), ("QRCode", "x" * (LONGEST + 1)), ("QRCode", 7)]
)
def test_what_no_reader_of_ours_says_is_no_barcode(kind, text):
    with pytest.raises(ValueError, match="no barcode"):
        Barcode(kind, text)


def test_a_closed_decoder_starts_no_reader():
    closed = Decoder()
    closed.close()
    with pytest.raises(StoppingError):
        closed.barcodes(plate(SOUND))


def test_closing_a_decoder_ends_the_processes_that_read_codes():
    with Decoder(Limits(wall_s=LIMIT_S)) as decoder:
        decoder.barcodes(plate(SOUND))
        pids = decoder._for_codes().processes
        assert decoder.processes == ()

    assert pids
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


# ---- a reader with holes


@pytest.mark.parametrize(
    ("level", "limits", "said"),
    [
        pytest.param(CRASHES, Limits(wall_s=LIMIT_S), r"the reader of codes crashed on it \(signal 11\)", id="crash"),
        pytest.param(
            RUNS_ON, Limits(0.2, LIMIT_S), r"it took more than 0\.2 s of processor time to search for codes", id="loop"
        ),
        pytest.param(LIES, Limits(wall_s=LIMIT_S), r"the reader of codes failed on it", id="lie"),
    ],
)
def test_a_reader_that_fails_is_a_sentence_and_the_next_picture_is_read(tmp_path, monkeypatch, level, limits, said):
    hostile_reader.stand_in(tmp_path, monkeypatch)
    with Decoder(limits) as decoder:
        decoder(photograph())
        decoding = decoder.processes
        for _ in range(2):
            with pytest.raises(ImageError, match=rf"^Invalid image: {said}"):
                decoder.barcodes(plate(level))
            assert decoder.barcodes(plate(SOUND)) == ()

        assert decoder(photograph()).shape == (64, 96, 3)
        assert decoder.processes == decoding, "what decodes files is not touched"


def test_a_reader_that_hangs_is_ended_and_its_process_replaced(tmp_path, monkeypatch):
    hostile_reader.stand_in(tmp_path, monkeypatch)
    with Decoder(Limits(processor_s=LIMIT_S, wall_s=0.5), most=1, reads_codes=True) as reader:
        reader.warm()
        first = reader.processes
        with pytest.raises(ImageError, match=r"^Invalid image: it could not be searched for codes within 0\.5 s"):
            reader.barcodes(plate(SLEEPS))

        until(lambda: reader.processes and reader.processes != first)
        assert not Path(f"/proc/{first[0]}").exists()


def test_nothing_reads_codes_in_the_kiosks_own_process():
    package = Path(__file__).parent.parent.parent / "kiosk"
    sources = {str(path.relative_to(package)): path.read_text(encoding="utf-8") for path in package.rglob("*.py")}
    importing = {name for name, text in sources.items() if re.search(r"import zxingcpp\b|from zxingcpp", text)}
    reading = {name for name, text in sources.items() if re.search(r"\bcodes_in\b", text)}

    assert importing == {"decoding/codes.py"}
    assert reading == {"decoding/codes.py", "decoding/worker.py"}
