import re
import sys
from dataclasses import fields

import pytest

from kiosk.errors import ConfigError
from kiosk.settings.config import Config, describe, load_config, show, state_directory

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
            "no use for serch; its sections are api, attempts, camera, cloud, degraded, door, enrolment",
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


def test_the_state_directory_is_the_options_then_the_environments_then_the_homes(tmp_path, monkeypatch):
    monkeypatch.setattr("kiosk.settings.config.SYSTEM_STATE", tmp_path / "none" / "kiosk")

    assert state_directory("chosen", {"KIOSK_STATE": "named"}).name == "chosen"
    assert state_directory(None, {"KIOSK_STATE": "named"}).name == "named"
    assert state_directory(None, {"XDG_DATA_HOME": str(tmp_path)}) == tmp_path / "kiosk"


def test_the_system_directory_serves_where_it_can_be_written(tmp_path, monkeypatch):
    monkeypatch.setattr("kiosk.settings.config.SYSTEM_STATE", tmp_path / "kiosk")

    assert state_directory(None, {}) == tmp_path / "kiosk"


def test_a_misspelt_variable_is_refused_as_a_misspelt_setting_is():
    with pytest.raises(ConfigError, match=r"KIOSK_MATCH_DECLINE_TRESHOLD overrides nothing; \[match\] knows decline_"):
        load_config(None, {"KIOSK_MATCH_DECLINE_TRESHOLD": "50"})
