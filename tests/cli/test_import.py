"""An import loses nobody: every file of a folder or row of a table is somebody's, or says why not."""

import csv
import json
import os
import shutil
import unicodedata
from pathlib import Path

import pytest
from PIL import Image

from kiosk.cli.import_sources import read_source
from kiosk.errors import ConfigError
from kiosk.rules.text import shown
from kiosk.store.directory import open_store
from kiosk.store.keys import read_keys
from tests.conftest import GOLDEN
from tests.decoding.bombs import scan_bomb

pytestmark = pytest.mark.usefixtures("state")
A1, A2, B1, C1 = (GOLDEN / f"person_{name}.jpg" for name in ("a_1", "a_2", "b_1", "c_1"))
FTYP_HEIC = b"\0\0\0\x1cftypheic\0\0\0\0mif1heic" + b"\0" * 64


@pytest.fixture
def imported(kiosk):
    """Import something; return the counts and the rows of the report."""

    def go(source, *more):
        code, out, error = kiosk("gallery", "import", source, "--json", *more)
        assert code == 0, error
        told = json.loads(out)
        content = Path(told["report"]).read_text(encoding="utf-8")
        return told, list(csv.DictReader(content.splitlines()))

    return go


def place(root, **files):
    """Lay files: a path with __ for /, and a photograph or bytes."""
    for name, content in files.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            shutil.copy(content, path)


def listed(kiosk):
    return [row["name"] for row in json.loads(kiosk("gallery", "list", "--json")[1])["subjects"]]


def test_folders_of_thumbnails_are_nobody_and_said(kiosk, imported, tmp_path):
    tree = tmp_path / "people"
    for path, photograph in (
        ("Person A.jpg", A1),
        ("@eaDir/Person A.jpg/SYNOPHOTO_THUMB_M.jpg", A1),
        (".thumbnails/1.jpg", B1),
        ("Person C/c.jpg", C1),
        ("Person C/.c.jpg", C1),
        ("Person C/@eaDir/c.jpg", B1),
    ):
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(photograph, tree / path)
    place(tree, **{"Person C__._c.jpg": b"\0\5\x16\7", "Thumbs.db": b"x"})
    (tree / "__MACOSX").mkdir()

    told, rows = imported(tree)

    assert sorted(listed(kiosk)) == ["Person A", "Person C"]
    assert told["people"] == {"added": 2}
    passed = {Path(row["file"]).name: row["detail"] for row in rows if row["outcome"] == "passed_over"}
    assert set(passed) == {"@eaDir", ".thumbnails", ".c.jpg", "._c.jpg", "__MACOSX", "Thumbs.db"}
    assert all(sentence.startswith("passed over: ") for sentence in passed.values())


def test_the_bytes_decide_and_whoever_has_no_photograph_has_a_row(kiosk, imported, tmp_path):
    tree = tmp_path / "people"
    place(
        tree,
        **{
            "Jfif__download.jfif": A1,
            "Nameless__scan": B1,
            "Heic__IMG_0001.HEIC": FTYP_HEIC,
            "Empty__notes.txt": b"",
            "Words__notes.txt": b"hello",
        },
    )
    (tree / "Bare").mkdir()

    told, rows = imported(tree)

    assert sorted(listed(kiosk)) == ["Jfif", "Nameless"]
    assert told["people"] == {"added": 2, "no_photograph": 3, "unreadable": 1}
    said = {row["person"]: row["detail"] for row in rows if row["outcome"] in {"no_photograph", "unreadable"}}
    assert set(said) == {"Bare", "Empty", "Words", "Heic"}
    assert said["Heic"].startswith("Invalid image: ")
    assert any("the file is empty" in row["detail"] for row in rows)


def test_names_that_no_list_can_show_are_reported_and_the_others_go_on(kiosk, imported, tmp_path):
    tree = tmp_path / "people"
    composed = unicodedata.normalize("NFC", "José")
    apart = unicodedata.normalize("NFD", "José")
    place(tree, **{"Person A__a.jpg": A1, f"{composed}__a.jpg": B1, f"{apart}__a.jpg": B1})
    for name in (b"caf\xe9", b"Ann\n#2 | Person B", b"x\x1b[31m"):
        place(tree, **{f"{os.fsdecode(name)}__c.jpg": C1})

    told, rows = imported(tree)
    kiosk("gallery", "list")

    assert sorted(listed(kiosk)) == [composed, "Person A"]
    assert told["people"] == {"added": 2, "bad_name": 4}
    bad_form = max(composed, apart, key=lambda name: sorted((composed, apart)).index(name))  # the later of the two
    bad = {row["person"]: row["detail"] for row in rows if row["outcome"] == "bad_name"}
    assert set(bad) == {r"caf\xe9", r"Ann\n#2 | Person B", r"x\x1b[31m", bad_form}
    assert "is not in UTF-8" in bad[r"caf\xe9"]
    assert "another Unicode form" in bad[bad_form]


@pytest.mark.parametrize(
    ("encoding", "delimiter"),
    [("utf-8", ","), ("utf-8-sig", ";"), ("utf-16", "\t"), ("utf-16-le", ";"), ("cp1252", ";")],
)
def test_a_table_as_excel_writes_it_is_understood(kiosk, imported, tmp_path, encoding, delimiter):
    for path in (A1, A2, B1):
        shutil.copy(path, tmp_path / path.name)
    rows = [
        ("File", "NAME", " Vendor_Data ", "", ""),
        ("person_a_1.jpg", "Jürgen", "a", "", ""),
        ("person_a_2.jpg", "Jürgen", "a", "", ""),
        ("", "", "", "", ""),
        (".\\person_b_1.jpg", "Zoë", "b", "", ""),
        ("", "Nobody", "c", "", ""),
    ]
    text = "\r\n".join(delimiter.join(row) for row in rows) + "\r\n"
    table = tmp_path / "people.csv"
    table.write_bytes(text.encode(encoding))

    told, report = imported(table)

    assert listed(kiosk) == ["Jürgen", "Zoë"]
    assert told["people"] == {"added": 2, "bad_row": 1}
    assert told["photographs"] == {"added": 3}
    assert [row["detail"] for row in report if row["person"] == "Nobody"] == ["line 6: no file is named"]


ANN = [("Ann", "a.jpg")]


@pytest.mark.parametrize(
    ("content", "people"),
    [
        pytest.param("file|name\na.jpg|Ann\n", ANN, id="bars"),
        pytest.param("sep=|\nfile|name\na.jpg|Ann\n", ANN, id="a separator that is named"),
        pytest.param('"sep=,"\nfile,name\na.jpg,Ann\n', ANN, id="named in quotation marks"),
        pytest.param("\n\n;;;\nfile;name\na.jpg;Ann\n", ANN, id="blank rows before the header"),
        pytest.param(",file,name\n,a.jpg,Ann\n", ANN, id="a blank column before the others"),
        pytest.param("file,name\ra.jpg,Ann\r", ANN, id="line ends of an old Mac"),
        pytest.param("file,name\r\na.jpg,Ann\r\n\x1a", ANN, id="DOS's mark of the end"),
        pytest.param("file,name\n\u00a0a.jpg\u00a0,\u00a0Ann\u202f\n", ANN, id="blanks of a page"),
        pytest.param("file,name\na.jpg,Ann\n".encode("utf-32"), ANN, id="UTF-32"),
        pytest.param('file,name\na.jpg,"=""Ann"""\n', ANN, id="Excel kept from reading a number"),
        pytest.param("FILE;Vendor-Data\na.jpg;7\n", [(None, "a.jpg")], id="hyphens in the header"),
    ],
)
def test_a_table_as_other_programs_write_it_is_understood(tmp_path, content, people):
    table = tmp_path / "people.csv"
    table.write_bytes(content if isinstance(content, bytes) else content.encode())

    source = read_source(table)

    assert [(one.details.name, *(path.name for path in one.files)) for one in source.items] == people
    assert not source.asides


def test_a_quotation_mark_that_is_never_closed_swallows_nobody(tmp_path):
    table = tmp_path / "people.csv"
    table.write_text('file,name\na.jpg,Ann\nb.jpg,"Bob\nc.jpg,Cem\n', encoding="utf-8")

    with pytest.raises(ConfigError, match="line 3: a quotation mark there is never closed"):
        read_source(table)

    table.write_text('file,name\na.jpg,"Ann\nb.jpg,Bob"\nc.jpg,Cem\n', encoding="utf-8")
    source = read_source(table)

    assert [one.details.name for one in source.items] == ["Cem"]
    assert [one.sentence for one in source.asides] == [
        "lines 2 to 3: a text goes over several lines; is a quotation mark missing?"
    ]


def test_a_number_that_a_spreadsheet_shortened_is_nobodys(tmp_path):
    table = tmp_path / "people.csv"
    text = "\nsep=;\n;;\nfile;name;document_number\na.jpg;Ann;1,23E+11\nb.jpg;1E+5;12\n"
    table.write_text(text, encoding="utf-8")

    source = read_source(table)

    assert [one.details.name for one in source.items] == ["1E+5"]
    assert [one.sentence for one in source.asides] == [
        "line 5: 1,23E+11 is a number that a spreadsheet shortened; format the column as text"
    ]


@pytest.mark.parametrize("head", [b"PK\x03\x04", b"\xd0\xcf\x11\xe0", b"\x1f\x8b"])
def test_a_workbook_called_csv_is_named(tmp_path, head):
    (tmp_path / "people.csv").write_bytes(head + b"\0" * 60)

    with pytest.raises(ConfigError, match="save it as CSV UTF-8"):
        read_source(tmp_path / "people.csv")


def test_a_line_that_names_the_separator_is_not_the_header(imported, tmp_path):
    shutil.copy(A1, tmp_path / "a.jpg")
    (tmp_path / "people.csv").write_text("sep=;\nfile;name\na.jpg;Person A\n", encoding="utf-8")

    assert imported(tmp_path / "people.csv")[0]["people"] == {"added": 1}


def test_no_cell_of_a_report_is_a_formula(imported, tmp_path):
    names = ["=HYPERLINK(1)", "-cmd(1)", "+1", "@SUM(1)", " =1", "\uff1d1", "\u200b=1", "\t=1"]
    table = tmp_path / "people.csv"
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("file", "name"))
        writer.writerows((f"{number}.jpg", name) for number, name in enumerate(names))

    _, rows = imported(table)

    assert len(rows) == len(names)
    for row in rows:
        assert row["person"].startswith("'") or row["outcome"] == "bad_row", row
        assert unicodedata.normalize("NFKC", row["person"])[:1] not in set("=+-@"), row
        assert not {"\t", "\n", "\r"} & set("".join(row.values()))


def test_a_resumed_report_names_everybody_with_their_number(imported, tmp_path):
    tree = tmp_path / "people"
    place(tree, **{"Person A__a.jpg": A1, "Person B__b.jpg": B1, "Twin__t.jpg": A2})
    imported(tree)
    state = tmp_path / "state"
    with (
        open_store(state, read_keys(state), now=lambda: 1.8e9) as store,
        store.database.write() as connection,  # as if it had been stopped before its last step
    ):
        connection.execute("UPDATE import_run SET finished_at = NULL")

    told, rows = imported(tree)

    assert {row["person"]: (row["outcome"], row["session_number"]) for row in rows} == {
        "Person A": ("earlier", "1"),
        "Person B": ("earlier", "2"),
        "Twin": ("earlier", "1"),
    }
    assert told["people"] == {"earlier": 3}


def test_a_link_a_pipe_and_a_folder_of_no_use_hold_nothing_up(imported, tmp_path):
    tree = tmp_path / "people"
    place(tree, **{"Person A__a.jpg": A1})
    os.mkfifo(tree / "Person A" / "pipe.jpg")
    (tree / "Person A" / "loop").symlink_to(tree)
    (tree / "Person A" / "gone.jpg").symlink_to(tree / "nowhere.jpg")

    told, rows = imported(tree)

    assert told["people"] == {"added": 1}
    assert {Path(row["file"]).name: row["outcome"] for row in rows} == {
        "a.jpg": "added",
        "pipe.jpg": "passed_over",
        "loop": "passed_over",
        "gone.jpg": "unreadable",
    }


def test_a_folder_of_many_people_and_every_trouble_is_accounted_for_file_by_file(kiosk, imported, tmp_path):
    tree = tmp_path / "people"
    grey = tmp_path / "grey.png"
    Image.new("RGB", (64, 64), (90, 90, 90)).save(grey)
    jpeg = A1.read_bytes()
    troubles = {
        "Truncated__a.jpg": jpeg[: len(jpeg) // 2],
        "Empty file__a.jpg": b"",
        "Text as JPEG__a.jpg": b"no picture",
        "PDF__a.pdf": b"%PDF-1.7\n",
        "PDF as JPEG__a.jpg": b"%PDF-1.7\n",
        "HEIC__a.heic": FTYP_HEIC,
        "HEIC as JPEG__a.jpg": FTYP_HEIC,
        "AVIF__a.avif": FTYP_HEIC.replace(b"heic", b"avif"),
        "GIF__a.gif": b"GIF89a" + b"\0" * 40,
        "RAW__a.cr2": b"II*\0\x10\0\0\0CR\2\0" + b"\0" * 99,
        "Video__a.mov": b"\0\0\0\x14ftypqt  \0\0\0\0qt  " + b"\0" * 40,
        "Base64__a.jpg": b"data:image/jpeg;base64,/9j/4AAQ",
        "Too large__a.jpg": jpeg + b"\0" * (6 << 20),
        "Bomb__a.jpg": scan_bomb(2000, 3000),
        "Padding__a.jpg": b"\xff" * 1_000_000,
        "No face__a.png": grey,
        "Zeros__a.jpg": b"\0" * 4096,
        "Words__read me.txt": b"hello",
        "Nested__2024__a.jpg": B1,
        "Nested__2024__.hidden.jpg": B1,
        "Nested__2024__._a.jpg": b"\0\5\x16\7",
        "@eaDir__a.jpg": B1,
        ".trash__a.jpg": B1,
        "#recycle__a.jpg": B1,
        "=formula__a.jpg": C1,
        "Two people__a.jpg": A1,
        "Two people__b.jpg": C1,
        "Person A__a.jfif": A1,
        "Top.mpo": A2,
        "desktop.ini": b"[x]",
        "list.docx": b"PK\x03\x04" + b"\0" * 40,
    }
    place(tree, **troubles)
    (tree / "Bare").mkdir()
    place(tree, **{f"{os.fsdecode(bytes([255, 254]))}__c.jpg": C1})
    files = {str(Path(folder, name)) for folder, _, names in os.walk(tree) for name in names}

    told, rows = imported(tree)

    in_rows = {row["file"] for row in rows}
    folders_aside = [row["file"] + "/" for row in rows if row["outcome"] == "passed_over"]
    lost = {one for one in files if shown(one) not in in_rows and not shown(one).startswith(tuple(folders_aside))}
    assert lost == set()
    assert sum(told["people"].values()) == len(list(tree.iterdir())) - 5  # without what is nobody's
    assert all(row["detail"] for row in rows if row["outcome"] != "added")
    assert told["photographs"]["added"] == told["people"]["added"] == len(listed(kiosk))
    made = [path for path in (tmp_path / "state").iterdir() if path.is_file()]
    assert {path.stat().st_mode & 0o777 for path in made} == {0o600}, made


def test_no_name_forges_a_row_of_a_list(kiosk):
    code, _, error = kiosk("enrol", A1, "--name", "Person A\n#2 | Person B")

    assert code == 1
    assert error == "Error: --name contains characters that cannot be seen, such as line ends; leave them out\n"


def test_an_error_that_quotes_a_file_name_stays_on_its_line(kiosk):
    _, _, error = kiosk("match", "no\nError: such.jpg", A1)

    assert error.splitlines() == [r"Error: no\nError: such.jpg: No such file or directory"]
