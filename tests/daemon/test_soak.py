"""The soak's short form: some hundred frames of a day with faults. The long one is benchmarks/soak.py."""

from benchmarks.soak import soak


def test_a_short_day_with_faults_loses_no_decision_and_opens_for_nobody_unapproved(tmp_path):
    result, wrong = soak(tmp_path / "state", 700, seed=3)

    assert wrong == []
    assert result["frames"] >= 700
    assert result["decisions_logged"] == result["decisions_announced"] == result["presentations"] > 0
    assert any(what.startswith("fault") for what in result["visits_and_faults"])
