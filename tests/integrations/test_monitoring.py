"""The files for Prometheus and Grafana speak of metrics that a kiosk has, and advise commands that there are."""

import json
import re
from pathlib import Path

import pytest
import yaml

from kiosk.cli.main import build_parser
from kiosk.rules.conditions import Condition, Degradation
from tests.api.served import serving

FOLDER = Path(__file__).parents[2] / "kiosk" / "integrations"
RULES = yaml.safe_load((FOLDER / "prometheus_alerts.yml").read_text(encoding="utf-8"))["groups"][0]["rules"]
PANELS = json.loads((FOLDER / "grafana_dashboard.json").read_text(encoding="utf-8"))["panels"]
EXPRESSIONS = [rule["expr"] for rule in RULES] + [one["expr"] for panel in PANELS for one in panel["targets"]]


@pytest.fixture(scope="module")
def metrics(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("served") / "state") as served:
        served.kiosk.states = (Degradation("pad_off", "off", "open", 0.0),)
        served.call("GET", "/device/people", "operator")  # so that one call was counted
        return served.call("GET", "/metrics", "device").text


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_every_expression_asks_for_a_metric_that_there_is(metrics, expression):
    asked = set(re.findall(r"kiosk_\w+", expression))

    assert {name for name in asked if not re.search(rf"^{name}(\{{| )", metrics, re.MULTILINE)} == set()
    assert asked or expression.startswith("up{")


def test_every_state_asked_for_is_one_of_the_kiosks():
    asked = {
        state
        for expression in EXPRESSIONS
        for choice in re.findall(r'condition=~?"([^"]+)"', expression)
        for state in choice.split("|")
    }

    assert asked
    assert asked <= {condition.value for condition in Condition}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_every_alert_says_what_to_do_in_commands_that_there_are(rule):
    about = rule["annotations"]

    assert about["summary"]
    assert rule["labels"]["severity"] in {"critical", "warning"}
    for command in re.findall(r"`kiosk ([^`]+)`", about["description"]):
        words = [word for word in command.split() if not word.startswith("-")]
        with pytest.raises(SystemExit) as ended:
            build_parser().parse_args([*words, "--help"])
        assert ended.value.code == 0
