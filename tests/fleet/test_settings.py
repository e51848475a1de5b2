"""The owner's settings are taken by each kiosk as a whole or not at all, after the checks of a start."""

import argparse
import io
import json
from typing import Any

import pytest

from kiosk.cli.main import main
from kiosk.cli.start_checks import list_mistakes
from kiosk.errors import ConfigError
from kiosk.fleet.member import leave
from kiosk.fleet.orders import SETTINGS
from kiosk.fleet.settings import SettingsKeeper, check_settings
from kiosk.fleet.sync import FleetSync
from kiosk.settings.config import ORDERED_NAME, Sources
from kiosk.store.chain import Kind
from kiosk.store.decision_log import DecisionFilter
from tests.fleet.keys import Kiosk
from tests.fleet.test_hub import site  # noqa: F401  a fixture
from tests.fleet.test_orders import ordered
from tests.patience import until
from tests.store.stored import Clock

BODY = {"entrance": {"identify_threshold": 85.0}, "schedule": {"week": ["mon-fri 08:00-18:00"]}}


class At:
    """A kiosk's settings, and what keeps them to the owner's."""

    def __init__(self, kiosk, member, file=None):
        self.path = kiosk.directory / ORDERED_NAME
        self.reloads: list[Any] = []
        self.chosen = argparse.Namespace(config=file, state=str(kiosk.directory))
        self.sources = Sources(file, kiosk.directory / "settings.toml", {}, self.path)
        self.keeper = SettingsKeeper(
            kiosk.store,
            member,
            self.path,
            check=lambda path: [one.sentence for one in list_mistakes(self.chosen, ordered=path)],
            reload=lambda: self.reloads.append(self.sources.load()),
        )


@pytest.fixture
def kiosk(tmp_path, fleet):
    made = Kiosk(tmp_path / "a", fleet, Clock())
    fleet.let_in(made)
    made.member.hear_roster(fleet.signed)
    yield made
    made.store.close()


def acts(kiosk):
    page = kiosk.store.decisions(DecisionFilter(kinds=(Kind.SETTINGS,)))
    found = [dict(one.entry.details) for one in page.decisions]
    return [one for one in found if "fleet_settings" in one]


def order(fleet, kiosk, body, revision=1):
    assert kiosk.member.hear_order(SETTINGS, ordered(fleet, body, kind=SETTINGS, revision=revision))


def test_they_go_before_the_kiosks_own_file_and_page(fleet, kiosk, tmp_path):
    file = tmp_path / "kiosk.toml"
    file.write_text("[entrance]\nidentify_threshold = 70.0\nverify_threshold = 60.0\n")
    at = At(kiosk, kiosk.member, file)
    at.sources.keep({"entrance": {"identify_threshold": 75.0}})
    at.keeper.look()
    assert at.reloads == []
    order(fleet, kiosk, BODY)
    at.keeper.look()
    at.keeper.look()

    (config,) = at.reloads
    assert (config.entrance.identify_threshold, config.entrance.verify_threshold) == (85.0, 60.0)
    assert config.schedule.week == ("mon-fri 08:00-18:00",)
    assert at.keeper.figures() == {"revision": 1, "in_force": 1, "fault": None}
    assert acts(kiosk) == [{"fleet_settings": 1}]
    again = At(kiosk, kiosk.member, file)
    again.keeper.look()  # another process finds them in force
    assert again.reloads == []
    assert again.keeper.figures()["in_force"] == 1


@pytest.mark.parametrize(
    "body",
    [
        pytest.param({**BODY, "match": {"decline_threshold": 300}}, id="out of range"),
        pytest.param({**BODY, "match": {"tresh": 1}}, id="unknown"),
        pytest.param({**BODY, "camera": {"source": "dir:/"}}, id="of one kiosk"),
        pytest.param({**BODY, "entrance": {"ignore": []}}, id="of one picture"),
        pytest.param({**BODY, "door": 1}, id="no section"),
        pytest.param({**BODY, "attempts": {"free_tries": 9, "lockout_tries": 8}}, id="against each other"),
        pytest.param({**BODY, "pad": {"level": "active"}}, id="a screen that is not here"),
    ],
)
def test_what_would_keep_a_kiosk_from_starting_is_refused_as_a_whole(fleet, kiosk, body):
    at = At(kiosk, kiosk.member)
    order(fleet, kiosk, BODY)
    at.keeper.look()
    order(fleet, kiosk, body, 2)
    at.keeper.look()
    at.keeper.look()

    assert at.sources.ordered() == BODY
    assert len(at.reloads) == 1
    assert at.keeper.figures()["in_force"] == 1
    assert at.keeper.figures()["fault"].startswith("The fleet's settings 2 were refused here, as a whole: ")
    assert acts(kiosk) == [{"fleet_settings": 2, "is_refused": True}, {"fleet_settings": 1}]
    assert [path.name for path in kiosk.directory.glob(".fleet*")] == []


def test_what_fits_by_itself_and_not_with_the_kiosks_own_file_is_refused_here(fleet, kiosk, tmp_path):
    file = tmp_path / "kiosk.toml"
    file.write_text("[attempts]\nlockout_tries = 5\n")
    at = At(kiosk, kiosk.member, file)
    body = {"attempts": {"free_tries": 6}}
    check_settings(body)
    order(fleet, kiosk, body)
    at.keeper.look()

    assert at.sources.ordered() == {}
    assert "lockout_tries" in at.keeper.figures()["fault"]
    order(fleet, kiosk, {"attempts": {"free_tries": 6, "lockout_tries": 7}}, 2)
    at.keeper.look()
    assert at.keeper.figures() == {"revision": 2, "in_force": 2, "fault": None}


def test_a_program_that_refuses_what_another_took_starts_with_the_rest_and_hears_the_next(fleet, kiosk, tmp_path):
    file = tmp_path / "kiosk.toml"
    file.write_text("")
    at = At(kiosk, kiosk.member, file)
    order(fleet, kiosk, {**BODY, "attempts": {"free_tries": 6, "lockout_tries": 7}})
    at.keeper.look()
    at.path.write_text(
        at.path.read_text().replace("[entrance]", "[entrance]\nof_tomorrow = 1") + "\n[tomorrow]\nx = 1\n"
    )
    config = at.sources.load()
    assert (config.entrance.identify_threshold, config.attempts.free_tries) == (85.0, 6)
    fitting, reason = at.sources.fitting()
    assert fitting == {**BODY, "attempts": {"free_tries": 6, "lockout_tries": 7}}
    assert "tomorrow" in str(reason)
    with pytest.raises(ConfigError):
        at.sources.load({"attempts": {"no_such": 1}})
    at.path.write_text("not = toml = at all")
    assert at.sources.load().entrance.identify_threshold != 85.0
    order(fleet, kiosk, {"entrance": {"identify_threshold": 86.0}}, 2)
    at.keeper.look()
    assert at.reloads[-1].entrance.identify_threshold == 86.0


def test_what_does_not_fit_any_more_is_said_in_health(fleet, kiosk, tmp_path):
    file = tmp_path / "kiosk.toml"
    file.write_text("")
    order(fleet, kiosk, {"attempts": {"free_tries": 6}})
    one = At(kiosk, kiosk.member, file)
    one.keeper.look()
    with pytest.raises(ConfigError, match="lockout_tries"):
        one.sources.load({"attempts": {"lockout_tries": 5}})  # no operator undoes an order so
    file.write_text("[attempts]\nlockout_tries = 5\n")
    again = At(kiosk, kiosk.member, file)
    again.keeper.look()

    assert again.sources.load().attempts.lockout_tries == 5
    assert again.keeper.figures()["fault"].startswith("Some of the fleet's settings 1 were left out here: ")


def test_an_empty_order_gives_everything_back_and_leaving_does_too(fleet, kiosk):
    at = At(kiosk, kiosk.member)
    order(fleet, kiosk, BODY)
    at.keeper.look()
    order(fleet, kiosk, {}, 2)
    at.keeper.look()
    assert at.sources.ordered() == {}
    order(fleet, kiosk, BODY, 3)
    at.keeper.look()
    leave(kiosk.store)

    assert not at.path.exists()


def test_a_disk_that_takes_nothing_is_tried_again(fleet, kiosk):
    at = At(kiosk, kiosk.member)
    at.path.mkdir()  # whose place no file can take
    order(fleet, kiosk, BODY)
    at.keeper.look()
    assert "were not taken" in at.keeper.figures()["fault"]
    at.path.rmdir()
    at.keeper.look()

    assert at.keeper.figures()["fault"] is None
    assert len(at.reloads) == 1


def test_the_owner_sets_them_by_a_file_and_a_running_kiosk_takes_them(site, tmp_path, capsys, monkeypatch):  # noqa: F811
    fleet, _, _, kiosks = site
    a, b, _ = kiosks
    folder = tmp_path / "owner"
    folder.mkdir()
    fleet.admin.write(folder / "owner.key", "a passphrase", cost=1 << 10)
    (folder / "fleet.json").write_text(fleet.invitation.dump())
    made = []

    def keeper(member):
        made.append(At(a, member))
        return made[0].keeper

    a.sync.close()
    a.sync = FleetSync(a.store, keeper=keeper)
    a.sync.start()

    def run(*words):
        monkeypatch.setattr("sys.stdin", io.StringIO("a passphrase\n"))
        return main([str(word) for word in words])

    (tmp_path / "all.toml").write_text("[entrance]\nidentify_threshold = 88.0\n")
    assert run("fleet", "settings", "set", tmp_path / "all.toml", "--owner", folder) == 0
    until(lambda: made[0].reloads)
    assert made[0].reloads[0].entrance.identify_threshold == 88.0
    assert a.sync.figures()["settings"]["in_force"] == 1
    until(lambda: b.sync.member.order(SETTINGS) is not None)  # kept where nothing takes it
    capsys.readouterr()
    assert run("--state", a.directory, "fleet", "settings", "show", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {
        "revision": 1,
        "settings": {"entrance": {"identify_threshold": 88.0}},
    }
    (tmp_path / "all.toml").write_text('[api]\nbind = "0.0.0.0"\n')
    assert run("fleet", "settings", "set", tmp_path / "all.toml", "--owner", folder) == 1
    assert "belongs to one kiosk" in capsys.readouterr().err


def test_what_belongs_to_one_kiosk_is_no_order():
    with pytest.raises(ConfigError, match="belongs to one kiosk"):
        check_settings({"search": {"shards": 4}})
