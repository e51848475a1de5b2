import contextlib
import re
import sys
from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiosk.errors import ConfigError
from kiosk.settings.config import Config, describe, load_config, show, state_directory
from kiosk.settings.sections import CameraSettings

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def written(tmp_path, text):
    path = tmp_path / "kiosk.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_without_a_file_everything_has_its_default():
    config = load_config()

    assert config == Config()
    assert (config.match.decline_threshold, config.search.similarity_threshold, config.search.max_matches) == (
        30,
        70.0,
        5,
    )


def test_a_file_changes_what_it_names_and_nothing_else(tmp_path):
    config = load_config(written(tmp_path, "[search]\nsimilarity_threshold = 80\nallow_multiple_faces = true\n"))

    assert (config.search.similarity_threshold, config.search.allow_multiple_faces) == (80.0, True)
    assert config.match == Config().match


def test_the_environment_goes_before_the_file(tmp_path):
    path = written(tmp_path, "[match]\ndecline_threshold = 40\n")

    config = load_config(
        path,
        {
            "KIOSK_MATCH_DECLINE_THRESHOLD": "50",
            "KIOSK_MODELS_PROVIDERS": "CUDAExecutionProvider, CPUExecutionProvider",
            "KIOSK_STORE_KEEP_IMAGES": "TRUE",
            "KIOSK_STATE": "/somewhere",
        },
    )

    assert config.match.decline_threshold == 50
    assert config.models.providers == ("CUDAExecutionProvider", "CPUExecutionProvider")
    assert config.store.keep_images is True


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param(
            "[serch]\n",
            "unknown section serch; the sections are api, attempts, camera, cloud, degraded, door, enrolment",
            id="section",
        ),
        pytest.param("[search]\nsimilarity = 80\n", "has no similarity; it knows allow_multiple", id="setting"),
        pytest.param("[match]\ndecline_threshold = 101\n", "want 0 to 100, got 101", id="over the range"),
        pytest.param("[match]\ndecline_threshold = 30.5\n", "want a whole number", id="fraction"),
        pytest.param("[match]\ndecline_threshold = true\n", "want a whole number", id="a flag is no number"),
        pytest.param("[search]\nwarn_fpir = nan\n", "want 0.0 to 1.0", id="not a number"),
        pytest.param("[models]\nfinder_runtime = 'tf'\n", "want onnx or tflite", id="choice"),
        pytest.param("[camera]\nrotation = 45\n", "want 0 or 90 or 180 or 270, got 45", id="numeric choice"),
        pytest.param("[presentation]\nkeep_s = 0.2\n", r"\[presentation\]: want 0 <= gather_s < keep_s", id="limits"),
        pytest.param("[attempts]\nfree_tries = 8\n", r"\[attempts\]: want 0 <= free_tries", id="patience"),
        pytest.param("[models]\nproviders = []\n", "one or more", id="no provider"),
        pytest.param("models = 3\n", r"want a section \[models\]", id="no section"),
        pytest.param("[models\n", "is not TOML", id="broken"),
    ],
)
def test_a_wrong_file_is_refused_and_says_what_would_be_right(tmp_path, text, said):
    with pytest.raises(ConfigError, match=said):
        load_config(written(tmp_path, text))


def test_a_file_of_windows_is_read_or_told_how_to_save_it(tmp_path):
    path = tmp_path / "kiosk.toml"
    text = "[match]\r\ndecline_threshold = 31\r\n"

    path.write_bytes(text.encode("utf-8-sig"))
    assert load_config(path).match.decline_threshold == 31

    for encoding, said in (("utf-16", "is in UTF-16; save it as UTF-8"), ("cp1252", "byte 3 is not UTF-8")):
        path.write_bytes(("# \xe9\n" + text).encode(encoding))
        with pytest.raises(ConfigError, match=said):
            load_config(path)


def test_a_wrong_variable_is_named():
    with pytest.raises(ConfigError, match="KIOSK_MATCH_DECLINE_THRESHOLD: want a whole number, got 'many'"):
        load_config(None, {"KIOSK_MATCH_DECLINE_THRESHOLD": "many"})


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match="No such file"):
        load_config(tmp_path / "none.toml")


def test_every_setting_is_described_and_the_description_is_a_file_of_defaults(tmp_path):
    text = describe()

    uncommented = re.sub(r"^# (\w+ = )", r"\1", text, flags=re.MULTILINE)
    kept = "\n".join(line for line in uncommented.splitlines() if not line.startswith("# "))
    assert load_config(written(tmp_path, kept)) == Config()
    for section in fields(Config):
        for setting in fields(getattr(Config(), section.name)):
            assert f"# {setting.name} = " in text


def test_what_is_shown_can_be_read_back(tmp_path):
    config = load_config(None, {"KIOSK_MODELS_PACK": '/a "b"\\c', "KIOSK_SEARCH_MAX_MATCHES": "7"})

    assert load_config(written(tmp_path, show(config))) == config
    tomllib.loads(show(config))


def test_the_state_directory_is_the_options_then_the_environments_then_the_homes(tmp_path):
    missing = tmp_path / "none" / "kiosk"

    assert state_directory("chosen", {"KIOSK_STATE": "named"}, system=missing).name == "chosen"
    assert state_directory(None, {"KIOSK_STATE": "named"}, system=missing).name == "named"
    assert state_directory(None, {"XDG_DATA_HOME": str(tmp_path)}, system=missing) == tmp_path / "kiosk"


def test_the_system_directory_serves_where_it_can_be_written(tmp_path):
    assert state_directory(None, {}, system=tmp_path / "kiosk") == tmp_path / "kiosk"


def test_a_misspelt_variable_is_refused_as_a_misspelt_setting_is():
    sentence = r"KIOSK_MATCH_DECLINE_TRESHOLD names no setting; \[match\] knows age_low, decline_"
    with pytest.raises(ConfigError, match=sentence):
        load_config(None, {"KIOSK_MATCH_DECLINE_TRESHOLD": "50"})


# ---- hostile values

DIGITS = [pytest.param("9" * count, id=f"{count} digits") for count in (400, 5000)]
HOSTILE = [
    *DIGITS,
    pytest.param("-" + "9" * 400, id="as many, below zero"),
    pytest.param("1e400", id="beyond a float"),
    pytest.param("nan", id="no number"),
    pytest.param("[" * 2000 + "]" * 2000, id="brackets in brackets"),
    pytest.param("{a=" * 2000 + "1" + "}" * 2000, id="tables in tables"),
    pytest.param('"x"', id="a text"),
    pytest.param('"' + "x" * 100_000 + '"', id="a long text"),
    pytest.param('["a", 1]', id="a mixed list"),
    pytest.param("1979-05-27T07:32:00Z", id="a date"),
    pytest.param("{a = 1}", id="a table"),
    pytest.param('"\\u0000"', id="a NUL"),
    pytest.param('"\\u001b[31m"', id="a control sequence"),
]
PLACES = [f"{section.name}.{one.name}" for section in fields(Config) for one in fields(getattr(Config(), section.name))]


def refusals(place, load):
    """Return the sentence that refuses a setting, if any."""
    try:
        load()
    except ConfigError as error:
        return [(place, str(error))]
    return []


def names_it(place, said):
    section, _, name = place.partition(".")
    words = (name, f"[{section}]", f"KIOSK_{section}_{name}".upper(), "is not TOML", *name.split("_"))
    return any(word in said for word in words) and len(said) < 1000 and said.isprintable()


@pytest.mark.parametrize("value", HOSTILE)
def test_no_value_of_any_setting_ends_in_anything_but_a_sentence(tmp_path, value):
    path = tmp_path / "kiosk.toml"
    refused = []
    for place in PLACES:
        section, _, name = place.partition(".")
        path.write_text(f"[{section}]\n{name} = {value}\n", encoding="utf-8")
        refused += refusals(place, lambda: load_config(path))

    assert refused
    assert [(place, said[:200]) for place, said in refused if not names_it(place, said)] == []


@pytest.mark.parametrize("value", [f"{sign}{one.values[0]}" for one in DIGITS for sign in ("", "-")], ids=range(4))
def test_no_value_of_the_environment_ends_in_anything_but_a_sentence(value):
    refused = []
    for place in PLACES:
        variable = f"KIOSK_{place.replace('.', '_')}".upper()
        refused += refusals(place, lambda variable=variable: load_config(None, {variable: value}))

    assert refused
    assert [(place, said[:200]) for place, said in refused if not names_it(place, said)] == []


@pytest.mark.parametrize(
    "text",
    [
        "a={" + "[" * 5000,
        "a={[" * 5000,
        "[" * 5000,
        "[a" + ".a" * 5000 + "]",
        "a" + ".a" * 5000 + " = 1",
        "match = 1",
        "match = " + "9" * 5000,
        "[[match]]",
        "\udcff".encode("utf-8", "surrogateescape").decode("latin-1"),
        "\x00",
    ],
    ids=range(10),
)
def test_no_file_ends_in_anything_but_a_sentence(tmp_path, text):
    path = tmp_path / "kiosk.toml"
    path.write_text(text, encoding="utf-8")

    with pytest.raises(ConfigError) as refused:
        load_config(path)

    assert len(str(refused.value)) < 1000


@given(st.text(max_size=200))
def test_whatever_stands_in_a_file_is_settings_or_a_sentence(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("fuzz") / "kiosk.toml"
    path.write_text(text, encoding="utf-8", errors="surrogatepass")

    with contextlib.suppress(ConfigError):
        load_config(path)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("http://camera/snap?user=admin&pwd=s3cret", "http://camera/snap?***"),
        ("rtsp://admin:s3cret@camera:554/live", "rtsp://***@camera:554/live"),
        ("dir:frames?fps=10&loop=1", "dir:frames?fps=10&loop=1"),
    ],
)
def test_settings_in_force_are_shown_without_the_secrets_of_an_address(value, shown):
    config = Config(camera=replace(CameraSettings(), source=value))

    assert f'source = "{shown}"' in show(config)


@pytest.mark.parametrize(
    "texts",
    [
        pytest.param(["Ich stimme zu"], id="no language"),
        pytest.param(["xx: I agree"], id="a language without words"),
        pytest.param(["de: "], id="no text"),
        pytest.param(["de: Ja", "de: Ja doch"], id="a language twice"),
    ],
)
def test_a_consent_text_that_no_page_would_show_is_refused(texts):
    with pytest.raises(ConfigError, match="consent_texts"):
        load_config(changes={"enrolment": {"consent_texts": texts}})


def test_a_consent_text_is_found_by_its_language():
    found = load_config(changes={"enrolment": {"consent_texts": ["de: Ja: gern", "ar : نعم"]}}).enrolment

    assert found.text_by_language == {"de": "Ja: gern", "ar": "نعم"}
