"""Facts about the pages, in a real Chromium against the real server with the real models.

Every page a test opens is watched: an error in its console, a breach of its content security policy or a request to
anywhere else fails the test; see browsed.py.
"""

from __future__ import annotations

import re
import shutil
import urllib.request
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from kiosk.cloud.credentials import Credentials
from kiosk.cloud.view import CloudView
from kiosk.device.calls import row_of
from kiosk.device.enrol import enrol_person
from kiosk.device.site import measure_here
from kiosk.didit.contract import match_row
from kiosk.entrance.news import Health, Still, Topic
from kiosk.networks.inference import read_pack, standard_pack
from kiosk.rules.conditions import Degradation
from kiosk.settings.config import Sources
from kiosk.settings.network import CloudSettings
from kiosk.store import chain
from kiosk.store.chain import Kind
from kiosk.store.decision_log import NOT_OPENED, DecisionFilter, NewDecision
from kiosk.store.outbox import Message
from kiosk.store.subjects import Details, Enrolment
from kiosk.testing.documents import Specimen
from kiosk.types import Template
from tests.api.served import A1, NOW, PASSWORD, match_files, serving
from tests.conftest import GOLDEN
from tests.documents.cards import jpeg, picture_of
from tests.gallery.test_site_curve import strangers
from tests.patience import until
from tests.web.browsed import DESKTOP, NEEDED, PHONE, opened, playwright, serious
from tests.web.test_words import LANGUAGES

VIEWS = (
    "today",
    "live",
    "decisions",
    "reviews",
    "people",
    "people/new",
    "people/import",
    "people/inside",
    "people/passes",
    "guard",
    "audit",
    "settings",
    "keys",
    "operators",
    "setup",
    "acceptance",
)
SCALE_GROUPS = {key: words for key, words in LANGUAGES["en"].items() if key.startswith("scale_group.")}
PASSPORT = Specimen(expiry="350415", optional="ZE184226B")
SCRIPT = "<img src=x onerror='window.isHacked=1'><b>Person C</b>"

pytestmark = NEEDED

ATTACK = """() => new Promise((done) => {
  document.body.insertAdjacentHTML("beforeend", `<img src="data:," onerror="isHacked = 1">`);
  document.body.lastElementChild.addEventListener("error", () => done());
})"""  # over when the attack would have been, whose handler comes first


@pytest.fixture
def served(tmp_path):
    with serving(tmp_path / "state") as served:
        served.kiosk.picture = Still(A1, (480, 640), 0.1, ())
        yield served


def sign_in(page, url: str, *, name: str = "Person C", password: str = PASSWORD) -> None:
    page.goto(f"{url}/")
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()


@pytest.fixture
def operator(chromium, served):
    """Give the operator's page, signed in."""
    with opened(chromium, served.url) as (page, watch):
        sign_in(page, served.url)
        page.get_by_role("heading", name="Today").wait_for()
        yield page, watch


def enrolled(served, name: str, **details):
    """Make person A known by the real networks."""
    outcome = enrol_person(served.device, [A1], Enrolment(templates=(), details=Details(name=name, **details)))
    assert outcome.subject is not None
    return outcome.subject


def reviewable(served, session_number: int | None = None):
    return served.device.save(
        NewDecision(
            kind=Kind.IDENTIFY,
            status="In Review",
            score=74.5,
            session_number=session_number,
            thresholds={"identify": 80.0, "blocklist": 70.0},
            details={"mode": "identify", "reasons": ["borderline"]},
        )
    )


def show(page, view: str) -> None:
    before = page.query_selector("main .view")
    goes = "view => { const is = location.hash !== `#/${view}`; location.hash = `#/${view}`; return is }"
    if page.evaluate(goes, view) and before is not None:
        page.wait_for_function("before => !before.isConnected", arg=before)  # another view may be of the same kind
    section, _, rest = view.partition("/")
    one = {"people": "person", "decisions": "decision"}.get(section)
    name = (
        {"new": "enrol", "import": "import", "inside": "inside", "passes": "passes"}.get(rest, one) if rest else section
    )
    page.locator(f".view-{name}").wait_for()
    playwright.expect(page.locator(".skeleton, [aria-busy]")).to_have_count(0)


# ---- signing in and out


def test_who_signs_in_sees_today_and_stays_signed_in_over_a_reload(operator):
    page, _ = operator

    page.reload()

    page.get_by_role("heading", name="Today").wait_for()
    assert page.locator(".who-name").inner_text() == "Person C"
    assert page.evaluate("document.cookie") == ""  # the session is out of every script's reach


def test_words_and_icons_come_once_and_words_that_were_lost_are_asked_for_again(chromium, served):
    with opened(chromium, served.url) as (page, watch):
        asked = []
        page.on("response", lambda answer: asked.append(answer.url.rpartition("/")[2]))
        sign_in(page, served.url)
        show(page, "people")
        assert [asked.count(name) for name in ("en.json", "icons.svg")] == [1, 1]

        watch.expects(503)
        page.route("**/de.json", lambda route: route.fulfill(status=503), times=1)
        spoken = "import('/web/common/words.js').then(({ speak }) => speak('de').then(() => true, () => false))"
        assert [page.evaluate(spoken) for _ in range(3)] == [False, True, True]
        assert asked.count("de.json") == 2


def test_a_wrong_password_is_told_and_shows_nothing(chromium, served):
    with opened(chromium, served.url) as (page, watch):
        watch.expects(401)
        sign_in(page, served.url, password="wrong")

        page.get_by_role("alert").filter(has_text="is wrong").wait_for()
        assert page.locator("nav").count() == 0


def test_an_operators_key_opens_the_page_and_a_machines_key_does_not(chromium, served):
    with opened(chromium, served.url) as (page, _):
        page.goto(f"{served.url}/")
        page.get_by_role("button", name="Use a key instead").click()
        page.get_by_label("Key").fill(served.keys["device"])
        page.get_by_role("button", name="Sign in").click()
        page.get_by_role("alert").filter(has_text="is for a machine").wait_for()

        page.get_by_label("Key").fill(served.keys["operator"])
        page.get_by_role("button", name="Sign in").click()
        page.get_by_role("heading", name="Today").wait_for()
        assert page.get_by_role("link", name="Keys").count() == 0  # an administrator's


def test_signing_out_ends_the_session_and_leads_to_the_way_in(operator):
    page, watch = operator
    watch.expects(401)

    page.get_by_role("button", name="Sign out").click()

    page.get_by_role("heading", name="Sign in to the kiosk").wait_for()
    assert page.evaluate("fetch('/device/session').then(answer => answer.status)") == 401


def test_a_session_ended_elsewhere_leads_to_the_way_in(operator):
    page, watch = operator
    watch.expects(401)

    page.context.clear_cookies()
    page.evaluate("location.hash = '#/people'")

    page.get_by_role("heading", name="Sign in to the kiosk").wait_for()


# ---- people


def test_somebody_is_enrolled_from_a_file_judged_before_anything_is_stored(operator, served):
    page, _ = operator
    show(page, "people/new")

    page.locator("#photographs").set_input_files(GOLDEN / "person_b_1.jpg")
    page.get_by_text("Good enough").wait_for()
    assert served.device.gallery.subjects == 0
    page.get_by_label("Name").fill("Person B")
    page.get_by_role("button", name="Enrol", exact=True).click()

    page.get_by_role("heading", name="Person B").wait_for()
    (subject,) = served.device.store.people.subjects(limit=5).subjects
    assert subject.details.name == "Person B"


def test_a_face_that_is_known_is_told_before_and_refused_after(operator, served):
    page, _ = operator
    enrolled(served, "Person A")
    show(page, "people/new")

    page.locator("#photographs").set_input_files(GOLDEN / "person_a_2.jpg")
    page.locator(".alike", has_text="Person A").wait_for()
    page.get_by_role("button", name="Enrol", exact=True).click()  # the device said so already, and is not asked again

    page.get_by_text("Already enrolled", exact=True).wait_for()
    assert served.device.gallery.subjects == 1


def test_a_document_fills_the_enrolment_and_its_portrait_is_scored_with_the_photograph(operator, served, tmp_path):
    page, _ = operator
    passport, expired = tmp_path / "passport.jpg", tmp_path / "expired.jpg"
    passport.write_bytes(jpeg(picture_of(PASSPORT)))
    expired.write_bytes(jpeg(picture_of(Specimen(expiry="120415"))))
    show(page, "people/new")

    page.locator("#document").set_input_files(expired)
    page.get_by_text("The document has expired.").wait_for()
    assert page.get_by_label("Name").input_value() == ""
    page.locator("#photographs").set_input_files(GOLDEN / "person_b_1.jpg")
    page.get_by_text("Portrait and photograph:").wait_for()
    page.get_by_role("button", name="Enrol", exact=True).click()
    page.get_by_text("The document does not pass").wait_for()

    page.locator("#document").set_input_files(passport)
    page.get_by_text("The portrait is somebody else's.").wait_for()
    page.get_by_role("button", name="Remove photograph 1").click()
    page.get_by_text("Its portrait is compared once there is a photograph").wait_for()
    page.locator("#photographs").set_input_files(GOLDEN / "person_a_2.jpg")
    page.get_by_text("Portrait and photograph:").wait_for()
    page.get_by_text("very high").wait_for()
    assert serious(page) == []
    assert page.get_by_label("Name").input_value() == "ANNA MARIA ERIKSSON"
    page.get_by_text("Good enough").wait_for()
    page.get_by_role("button", name="Enrol", exact=True).click()

    page.get_by_role("heading", name="ANNA MARIA ERIKSSON").wait_for()
    (subject,) = served.device.store.people.subjects(limit=5).subjects
    assert (subject.details.document_type, subject.details.document_number) == ("Passport", "L898902C3")
    assert subject.valid_until == datetime(2035, 4, 16, tzinfo=timezone.utc).timestamp()


def test_a_file_that_is_no_picture_is_refused_with_the_reason(operator, tmp_path):
    page, watch = operator
    watch.expects(400)
    (tmp_path / "letter.jpg").write_bytes(b"Dear Sir or Madam")
    show(page, "people/new")

    page.locator("#photographs").set_input_files(tmp_path / "letter.jpg")

    page.get_by_text("is not JPEG, PNG, WebP or TIFF").wait_for()


def test_somebody_is_blocked_with_a_reason_and_unblocked(operator, served):
    page, _ = operator
    subject = enrolled(served, "Person A")
    show(page, f"people/{subject.session_number}")

    page.get_by_role("button", name="Block", exact=True).click()
    page.get_by_label("Reason").fill("left in a dispute")
    page.get_by_role("dialog").get_by_role("button", name="Block").click()
    page.get_by_text("left in a dispute").wait_for()
    assert served.device.store.people.subject(subject.session_number).is_blocklisted
    page.get_by_role("button", name="Unblock").click()
    page.get_by_role("dialog").get_by_role("button", name="Unblock").click()

    page.locator(".banner.bad").wait_for(state="detached")
    assert not served.device.store.people.subject(subject.session_number).is_blocklisted


def test_forgetting_erases_and_gives_a_receipt_that_holds(operator, served):
    page, _ = operator
    subject = enrolled(served, "Person A")
    show(page, f"people/{subject.session_number}")

    page.get_by_role("button", name="Forget this person").click()
    page.get_by_role("dialog").get_by_role("button", name="Forget").click()
    with page.expect_download() as download:
        page.get_by_role("link", name="Download the receipt").click()

    receipt = Path(download.value.path()).read_text(encoding="utf-8")
    assert chain.receipt_holds(receipt, served.device.store.vault.public_key)
    assert served.device.store.people.subject(subject.session_number) is None


def test_only_what_was_changed_of_a_person_is_sent(operator, served):
    page, _ = operator
    subject = enrolled(served, "Person A", vendor_data="staff-1", document_number="AB123456")
    show(page, f"people/{subject.session_number}")
    page.get_by_text("Change the details").click()

    page.get_by_label("Name").fill("Person A the Second")
    with page.expect_request(lambda request: request.method == "PATCH") as sent:
        page.get_by_role("button", name="Save").click()

    assert sent.value.post_data_json == {"name": "Person A the Second"}
    page.get_by_role("heading", name="Person A the Second").wait_for()


def test_an_import_shows_what_became_of_each_file(operator, served, tmp_path):
    page, _ = operator
    folder = tmp_path / "people"
    for name in ("person_a_1", "person_b_1"):
        (folder / name).mkdir(parents=True)
        shutil.copy(GOLDEN / f"{name}.jpg", folder / name)
    archive = shutil.make_archive(str(tmp_path / "people"), "zip", folder)
    enrolled(served, "Person A")
    show(page, "people/import")

    page.get_by_label("ZIP archive").set_input_files(archive)
    page.get_by_role("button", name="Import", exact=True).click()

    page.get_by_role("heading", name="Import finished").wait_for()
    page.get_by_text("Enrolled: 1", exact=True).wait_for()
    page.get_by_role("row", name=re.compile("person_a_1")).get_by_text("Already enrolled", exact=True).wait_for()


# ---- decisions


def test_a_decision_appears_while_somebody_looks(operator, served):
    page, _ = operator
    playwright.expect(page.locator(".skeleton, [aria-busy]")).to_have_count(0)

    answer = served.call("POST", "/v3/face-match/", "device", files=match_files()).json()

    page.locator(f"[data-request='{answer['request_id']}']").get_by_text("Approved").wait_for()


def test_what_happened_before_a_slow_stream_opened_is_fetched(chromium, served):
    with opened(chromium, served.url) as (page, _):
        held = []
        page.route("**/device/events*", lambda route: held.append(route))  # noqa: PLW0108  a built-in takes no mark of playwright's
        sign_in(page, served.url)
        page.get_by_role("heading", name="Today").wait_for()
        playwright.expect(page.locator(".skeleton, [aria-busy]")).to_have_count(0)

        until(lambda: held or page.wait_for_timeout(20))  # ms, in which playwright's own loop fills it
        answer = served.call("POST", "/v3/face-match/", "device", files=match_files()).json()
        held[0].continue_()

        page.locator(f"[data-request='{answer['request_id']}']").get_by_text("Approved").wait_for()


def test_a_decision_shows_its_score_its_thresholds_and_whether_its_record_holds(operator, served):
    page, _ = operator
    entry = reviewable(served)

    show(page, f"decisions/{entry.request_id}")

    scale = page.get_by_role("img", name="Score 74.5 of 100, high.")
    assert "Enter from: 80." in scale.get_attribute("aria-label")
    page.get_by_text("Signature valid").wait_for()
    page.get_by_text("Just below the threshold").wait_for()


def test_an_operator_sees_which_cue_denied_and_what_was_asked(operator, served):
    page, _ = operator
    judged = {
        "verdict": "attack",
        "score": 2.5,
        "level": "active",
        "reason": None,
        "cues": {
            "network": {"outcome": "denies", "value": 0.0125, "threshold": 0.15},
            "covered": {"outcome": "unjudged", "value": None, "threshold": 0.9},
        },
        "challenges": [{"kind": "turn", "side": "left", "answer": "late", "took_s": 6.1}],
        "model": "afa783b7e902fdfcf323a7240cac2a1c",
    }
    details = {"reasons": ["attack_suspected"], "liveness": judged}
    entry = served.device.store.record_decision(NewDecision(kind=Kind.IDENTIFY, status="Declined", details=details))

    show(page, f"decisions/{entry.request_id}")

    page.get_by_text("A photograph, screen or mask is suspected").wait_for()
    page.get_by_text("0.01, limit 0.15").wait_for()
    page.get_by_text("Not done in time").wait_for()
    assert page.get_by_text("[object Object]").count() == 0


def test_decisions_are_filtered_by_an_address_that_can_be_kept(operator, served):
    page, _ = operator
    reviewable(served)
    served.device.save(NewDecision(kind=Kind.IDENTIFY, status="Declined", score=12.0))
    show(page, "decisions")
    playwright.expect(page.get_by_role("row")).to_have_count(3)  # with the headings

    page.get_by_label("Status").select_option("Declined")

    playwright.expect(page.locator("tbody tr")).to_have_count(1)
    assert page.url.endswith("#/decisions?status=Declined")


def test_a_review_is_signed_into_the_log_with_its_reason_and_leaves_the_queue(operator, served):
    page, _ = operator
    entry = reviewable(served)
    show(page, "reviews")

    page.get_by_label("Reason").fill("the badge was checked by hand")
    page.get_by_role("button", name="Approve").click()

    page.get_by_text("Nothing waits for a review").wait_for()
    wanted = DecisionFilter(kinds=(Kind.REVIEW,))
    (review,) = served.device.store.log.page(wanted, limit=5, offset=0).decisions
    assert review.entry.details == {"of": entry.request_id, "decision": "approve"}
    assert review.answer == {"reason": "the badge was checked by hand"}


def test_a_review_without_a_reason_is_not_sent(operator, served):
    page, _ = operator
    reviewable(served)
    show(page, "reviews")

    page.get_by_role("button", name="Decline").click()

    assert page.evaluate("document.activeElement.name") == "reason"
    assert served.device.store.log.page(DecisionFilter(kinds=(Kind.REVIEW,)), limit=1, offset=0).total == 0


def test_a_kiosk_that_lets_nobody_in_says_why_and_how_to_mend_it(operator, served):
    page, _ = operator
    served.kiosk.states = (Degradation("camera_lost", "no frame for 3 s", "closed", NOW),)

    served.kiosk.news.publish(Topic.HEALTH, {"is_armed": False})

    page.get_by_text("Not armed: nobody is let in now").wait_for()
    assert "Check the camera's cable" in page.locator(".state").inner_text()


def test_an_answer_that_comes_after_a_newer_one_changes_nothing(operator, served):
    page, _ = operator
    show(page, "reviews")
    held: list[Any] = []
    page.route("**/device/health", lambda route: route.continue_() if held else held.append(route))
    page.evaluate("location.hash = '#/today'")
    playwright.expect(page.locator(".banner-place .skeleton")).to_have_count(1)

    served.kiosk.states = (Degradation("camera_lost", "no frame for 3 s", "closed", NOW),)
    served.kiosk.news.publish(Topic.HEALTH, {"is_armed": False})
    page.get_by_text("Not armed: nobody is let in now").wait_for()
    held[0].fulfill(json={"is_armed": True, "mode": "identify", "states": [], "figures": {}})

    page.get_by_role("button", name="7 days").click()  # by now the held answer was read
    playwright.expect(page.locator("[aria-busy]")).to_have_count(0)
    assert page.get_by_text("Not armed: nobody is let in now").is_visible()


def test_without_camera_and_door_the_page_serves_all_the_same(chromium, tmp_path):
    with serving(tmp_path / "state", with_desk=False) as served, opened(chromium, served.url) as (page, watch):
        watch.expects(409)  # no news and no picture

        sign_in(page, served.url)

        page.get_by_text("Serving calls, without camera and door").wait_for()
        page.get_by_text("This server has no camera").wait_for()
        assert not page.get_by_role("button", name="Open the door once").is_visible()


def test_the_door_is_opened_only_after_a_question(operator, served):
    page, _ = operator

    page.get_by_role("button", name="Open the door once").click()
    assert served.kiosk.asked == []
    page.get_by_role("dialog").get_by_role("button", name="Open the door once").click()

    page.get_by_text("The door was opened.").wait_for()
    assert [what for what, *_ in served.kiosk.asked] == ["release"]


def test_what_waits_to_leave_the_device_is_shown_with_its_trouble(operator, served):
    page, _ = operator
    store = served.device.store
    store.record_decision(NewDecision(kind=Kind.IDENTIFY, status="Approved", outbox=(Message("summary"),)))
    row = store.outbox.claim(served.wall())
    store.outbox.postpone(row.id, served.wall() + 60.0, "the server did not answer")
    settings = CloudSettings(policy="summary", webhook_url="https://example.org/hook")
    served.application.context.cloud = CloudView(store, settings, Credentials(store), now=served.wall)
    page.reload()  # a kiosk has its cloud from the start on, and the page learns so as it begins
    page.get_by_role("heading", name="Today").wait_for()

    show(page, "cloud")

    page.get_by_role("row", name=re.compile("the server did not answer")).wait_for()
    assert page.locator(".tile", has_text="Waiting").locator(".tile-value").inner_text() == "1"
    assert page.get_by_text("A summary").count() >= 1


def test_a_new_key_is_shown_once_and_works(operator, served):
    page, _ = operator
    show(page, "keys")

    page.get_by_label("Name").fill("Turnstile north")
    page.get_by_label("Your own password").fill(PASSWORD)
    page.get_by_role("button", name="Create the key").click()
    key = page.locator(".code.key").inner_text()
    page.get_by_role("button", name="I have copied it").click()

    page.get_by_role("cell", name="Turnstile north", exact=True).wait_for()
    assert key not in page.content()
    asked = urllib.request.Request(f"{served.url}/device/health", headers={"x-api-key": key})
    with urllib.request.urlopen(asked) as answer:
        assert answer.status == 200


# ---- safety


def test_markup_in_a_name_is_shown_as_text_everywhere(operator, served):
    page, _ = operator
    subject = enrolled(served, SCRIPT, vendor_data=SCRIPT)
    entry = reviewable(served, subject.session_number)

    for view in ("today", "people", f"people/{subject.session_number}", "reviews", f"decisions/{entry.request_id}"):
        show(page, view)
        page.get_by_text("<b>Person C</b>").first.wait_for()
        assert page.locator("main b", has_text="Person C").count() == 0
    assert page.evaluate("window.isHacked") is None


def test_a_change_without_the_sessions_token_is_refused(operator, served):
    page, watch = operator
    watch.expects(403)
    subject = enrolled(served, "Person A")

    status = page.evaluate(
        "path => fetch(path, { method: 'DELETE' }).then(answer => answer.status)",
        f"/device/subjects/{subject.session_number}",
    )

    assert status == 403
    assert served.device.store.people.subject(subject.session_number) is not None


def test_a_script_put_into_the_page_does_not_run(operator):
    page, watch = operator

    with page.expect_console_message(lambda told: "Content Security Policy" in told.text):
        page.evaluate(ATTACK)

    assert page.evaluate("window.isHacked") is None
    watch.faults.clear()


# ---- every view, every size, every language


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_no_view_is_wider_than_its_screen(operator, served, size):
    page, _ = operator
    subject = enrolled(served, "Person A-" + "long" * 12, vendor_data="v" * 60)
    entry = reviewable(served, subject.session_number)
    served.call("POST", "/device/acceptance", "admin", json={"act": "begin"})
    page.set_viewport_size(size)

    for view in (*VIEWS, f"people/{subject.session_number}", f"decisions/{entry.request_id}"):
        show(page, view)
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, view


def test_the_menu_of_a_phone_opens_and_closes_by_keyboard(operator):
    page, _ = operator
    page.set_viewport_size(PHONE)
    page.get_by_role("link", name="Decisions", exact=True).wait_for(state="hidden")

    page.get_by_role("button", name="Menu").press("Enter")
    page.get_by_role("link", name="Decisions", exact=True).wait_for()
    page.keyboard.press("Escape")

    page.get_by_role("link", name="Decisions", exact=True).wait_for(state="hidden")


def test_another_language_is_spoken_at_once_and_kept(operator):
    page, _ = operator

    page.get_by_label("Language").select_option("de")

    page.get_by_role("heading", name="Heute").wait_for()
    assert page.evaluate("document.documentElement.lang") == "de"
    page.reload()
    page.get_by_role("heading", name="Heute").wait_for()


def test_the_keyboard_alone_leads_past_the_menu_to_the_content(operator):
    page, _ = operator
    page.evaluate("document.activeElement.blur()")

    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")

    assert page.evaluate("document.activeElement.id") == "main"


def test_a_view_says_that_the_kiosk_does_not_answer_and_how_to_go_on(operator):
    page, watch = operator
    page.route("**/device/subjects*", lambda route: route.abort())

    page.get_by_role("link", name="People", exact=True).click()
    page.get_by_text("The kiosk does not answer").wait_for()
    page.unroute("**/device/subjects*")
    page.get_by_role("button", name="Try again").click()

    page.get_by_text("Nobody is known yet").wait_for()
    assert all("net::ERR_FAILED" in fault for fault in watch.faults)
    watch.faults.clear()


@pytest.mark.parametrize(
    ("size", "scheme"), [(DESKTOP, "light"), (DESKTOP, "dark"), (PHONE, "light")], ids=["desktop", "dark", "phone"]
)
def test_axe_finds_nothing_serious_on_the_operators_page(chromium, served, size, scheme):
    subject = enrolled(served, "Person A")
    entry = reviewable(served, subject.session_number)
    served.call("POST", "/device/acceptance", "admin", json={"act": "begin"})
    # From the start: an open page takes another scheme a tenth of a second after it was told.
    look = {"viewport": size, "color_scheme": scheme, "reduced_motion": "reduce"}

    with opened(chromium, served.url, **look) as (page, _):
        sign_in(page, served.url)
        page.get_by_role("heading", name="Today").wait_for()
        for view in (*VIEWS, "cloud", f"people/{subject.session_number}", f"decisions/{entry.request_id}"):
            show(page, view)
            assert serious(page) == [], view


def test_a_settings_change_is_taken_as_a_whole_or_not_at_all(chromium, tmp_path):
    sources = Sources(None, tmp_path / "settings.toml", {})
    with serving(tmp_path / "state", sources=sources) as served, opened(chromium, served.url) as (page, watch):
        watch.expects(400)
        sign_in(page, served.url)
        page.get_by_role("heading", name="Today").wait_for()
        show(page, "settings")

        page.get_by_label("Enter from, with a code").fill("78")
        page.get_by_label("Enter from, found among all people").fill("1000")
        page.get_by_role("button", name="Apply").click()
        page.locator("[aria-invalid=true]").wait_for()
        assert served.device.config.entrance.verify_threshold == 76.0
        page.get_by_label("Enter from, found among all people").fill("85")
        page.get_by_role("button", name="Apply").click()

        page.get_by_text("Applied.").wait_for()
        entrance = served.device.config.entrance
        assert (entrance.verify_threshold, entrance.identify_threshold) == (78.0, 85.0)


def test_the_audit_finds_nobody_twice_where_nobody_is(operator, served):
    page, _ = operator
    enrolled(served, "Person A")
    show(page, "audit")

    page.get_by_role("button", name="Start the audit").click()

    page.get_by_role("heading", name="Likely duplicates 0").wait_for()
    page.get_by_text("Some 200 people must be enrolled").wait_for()


def test_the_page_says_how_often_strangers_of_a_group_reach_a_score(operator, served):
    page, _ = operator
    measured = read_pack(standard_pack()).measured
    served.application.context.scale_measured = measured

    show(page, "audit")

    table = page.get_by_role("table", name="What a score means within groups")
    table.get_by_role("row").nth(5).wait_for()
    assert table.get_by_role("row").count() == 1 + len(measured["group"])
    for group, row in zip(measured["group"], table.get_by_role("row").all()[1:], strict=True):
        cells = row.get_by_role("cell").all_inner_texts()
        assert cells[0] in SCALE_GROUPS.values()
        assert cells[1] == f"{group['non_mated']:,}"
    page.get_by_text("Scores are reliable from about 15 years of age").wait_for()


def test_the_page_says_what_scores_stand_for_among_the_people_enrolled(operator, served):
    page, _ = operator
    model = served.device.recogniser.model
    for vector in strangers(200, alike=0.6, depth=served.device.gallery.depth):
        served.device.store.people.enrol(Enrolment(templates=[Template(vector, model)]))
    served.device.site_curve = measure_here(served.device)

    show(page, "audit")

    table = page.get_by_role("table", name="What a score stands for here")
    table.get_by_role("row").nth(4).wait_for()
    rows = [
        row.all_inner_texts() for row in (table.get_by_role("row").nth(at).get_by_role("cell") for at in range(1, 5))
    ]
    assert [row[0] for row in rows] == ["50", "70", "80", "90"]
    assert rows[1][1] == "1\u00a0in\u00a010,000"
    assert float(rows[1][4]) > 70.0


# ---- the acceptance


def test_an_administrator_leads_through_a_presentation_by_hand_and_sees_it_counted(operator, served):
    page, _ = operator
    subject = enrolled(served, "Person A")
    show(page, "acceptance")
    page.get_by_role("button", name="Begin").click()
    page.get_by_role("button", name="Do this step: Own people").click()
    page.get_by_label("Number of the person").fill(str(subject.session_number))
    page.get_by_role("button", name="Step up now").click()
    page.get_by_text("Waiting for the door's decision").wait_for()
    assert page.get_by_role("button", name="Count it, next").is_disabled()

    served.device.save(
        NewDecision(
            kind=Kind.IDENTIFY,
            status="Approved",
            score=93.5,
            session_number=subject.session_number,
            details={"reasons": ["matched"]},
            actor="door",
        )
    )
    page.get_by_text("Approved, score 93.5").wait_for()
    page.get_by_role("button", name="Count it, next").click()

    page.get_by_text("0 of 1 went wrong; 62 more without an error show a rate of at most 5 %.").wait_for()
    assert page.get_by_label("Number of the person").input_value() == str(subject.session_number)
    page.get_by_role("button", name="Take back the presentation").click()
    page.locator("[data-step=people]").get_by_text("None yet. 63 without an error").wait_for()


def test_a_step_left_out_stands_so_on_the_page_and_in_the_report(operator):
    page, _ = operator
    show(page, "acceptance")
    page.get_by_role("button", name="Begin").click()
    page.get_by_text("Leave this step out").click()
    page.get_by_label("Reason").fill("no camera <b>yet</b>")
    page.get_by_role("button", name="Leave it out").click()
    page.get_by_text("Left out: no camera <b>yet</b>").wait_for()
    page.get_by_role("button", name="Do this step: Power cut").click()
    page.get_by_role("button", name="I try it now").click()
    page.get_by_label("What happened").fill("came back in 40 s")
    page.get_by_role("button", name="Yes").click()
    page.get_by_text("According to the installer it came back by itself, but the kiosk sees no restart").wait_for()

    with page.context.expect_page() as opening:
        page.get_by_role("link", name="Show the report").click()
    report = opening.value
    report.get_by_text("Left out: no camera <b>yet</b>").wait_for()
    report.get_by_text("came back in 40 s").first.wait_for()
    report.set_viewport_size(PHONE)
    assert report.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert serious(report) == []


def test_who_is_no_administrator_is_told_who_begins(chromium, served):
    with opened(chromium, served.url) as (page, _):
        page.goto(f"{served.url}/")
        page.get_by_role("button", name="Use a key instead").click()
        page.get_by_label("Key").fill(served.keys["operator"])
        page.get_by_role("button", name="Sign in").click()
        page.get_by_role("heading", name="Today").wait_for()
        show(page, "acceptance")

        page.get_by_text("An administrator begins it.").wait_for()
        assert page.get_by_role("button", name="Begin").count() == 0


# ---- nothing misleads


def decided(served, **more):
    return served.device.save(
        NewDecision(**{"kind": Kind.IDENTIFY, "status": "Approved", "score": 91.0, "actor": "door", **more})
    )


def test_an_approval_that_never_opened_is_marked_in_list_and_decision_with_the_reason(operator, served):
    page, _ = operator
    subject = enrolled(served, "Person A")
    late = decided(served, session_number=subject.session_number)
    served.device.store.record_act(
        Kind.DOOR, details={"what": NOT_OPENED, "of": late.request_id, "why": "frame_too_old"}, actor="door"
    )
    opened_one = decided(served, session_number=subject.session_number)

    show(page, "decisions")
    marked = page.get_by_role("row").filter(has_text="Did not open")
    playwright.expect(marked).to_have_count(1)
    marked.get_by_text("Approved").wait_for()
    show(page, f"decisions/{late.request_id}")
    page.get_by_role("heading", name="Approved, but the door did not open").wait_for()
    page.get_by_text("older than half a second").wait_for()
    page.get_by_role("link", name="Record of it").click()
    page.get_by_role("heading", name="Door", exact=True).wait_for()
    show(page, f"decisions/{opened_one.request_id}")
    assert page.get_by_text("did not open").count() == 0


def test_the_blocklists_threshold_is_drawn_only_where_somebody_blocked_is_meant(operator, served):
    page, _ = operator
    thresholds = {"identify": 80.0, "blocklist": 70.0}
    plain = decided(served, thresholds=thresholds)
    alarm = decided(served, status="Declined", thresholds=thresholds, warnings=("FACE_IN_BLOCKLIST",))

    show(page, f"decisions/{plain.request_id}")
    assert page.locator(".scale-label").all_inner_texts() == ["Enter from 80"]
    show(page, f"decisions/{alarm.request_id}")
    assert page.locator(".scale-label").all_inner_texts() == ["Blocked from 70", "Enter from 80"]


def test_a_comparison_of_two_photographs_names_its_two_sides(operator, served):
    page, _ = operator
    served.call("POST", "/v3/face-match/", "device", files=match_files())

    show(page, "decisions")

    page.get_by_role("row").filter(has_text="User photograph ↔ reference photograph").wait_for()
    assert page.get_by_text("Unknown person").count() == 0


def test_a_kiosk_without_attack_detection_is_amber_and_says_one_true_sentence(operator, served):
    page, _ = operator
    served.kiosk.states = (Degradation("pad_off", "A sentence of the device.", "open", NOW),)
    served.kiosk.health = lambda: Health(True, "identify", served.kiosk.states, served.kiosk.figures)

    page.reload()

    banner = page.locator(".banner.maybe")
    banner.get_by_text("whoever holds up a picture is taken for its person").wait_for()
    assert banner.locator(".states li p").count() == 2  # what it is, and the sentence
    assert banner.get_by_text("everything still works").count() == 0


def test_no_figure_says_that_more_strangers_than_all_would_be_taken_for_somebody(operator, served):
    page, _ = operator
    served.kiosk.figures = {"gallery": {"people": 10_050, "fpir": 0.6321, "expected_false_positives": 1.0}}

    page.reload()

    page.locator(".tile", has_text="People known").get_by_text(re.compile(r"taken for one of them: 63\s%")).wait_for()
    said = page.evaluate(
        "import('/web/common/words.js').then(({ share }) => [0, 0.00014, 0.0123, 0.6321, 0.9999999, 1].map(share))"
    )
    assert said == ["0\u00a0%", "0.014\u00a0%", "1.2\u00a0%", "63\u00a0%", "99.9\u00a0%", "100\u00a0%"]


def test_a_person_is_found_by_a_part_of_their_name(operator, served):
    page, _ = operator
    enrolled(served, "Person Ä", vendor_data="staff-1")
    served.device.store.people.enrol(Enrolment(templates=(), details=Details(name="Somebody Else")))
    show(page, "people")

    page.get_by_label("Find", exact=True).fill("pers a")

    page.get_by_role("row").filter(has_text="Somebody Else").wait_for(state="detached")
    page.get_by_role("row", name=re.compile("Person Ä")).wait_for()


# ---- what a reviewer sees, and how they decide


@pytest.fixture
def queue(operator, served):
    """Give the page on the queue, with a borderline decision and one between two people."""
    people = [enrolled(served, "Person A")]
    people.append(served.device.store.people.enrol(Enrolment(templates=(), details=Details(name="Person B"))))
    rows = [match_row(row_of(one, score)) for one, score in zip(people, (83.0, 81.5), strict=True)]
    common = {"status": "In Review", "session_number": 1, "thresholds": {"identify": 80.0, "blocklist": 70.0}}
    borderline = decided(
        served,
        **{**common, "score": 74.5, "images": {"probe": A1}},
        details={"reasons": ["borderline"]},
        answer={"identify": {"match": {**rows[0], "similarity_percentage": 74.5}}},
    )
    between = decided(
        served,
        **{**common, "score": 83.0},
        subjects=(1, 2),
        details={"reasons": ["close_second"]},
        answer={"identify": {"match": rows[0], "others": rows[1:]}},
    )
    page, watch = operator
    show(page, "reviews")
    return page, watch, borderline, between


def review_card(page, entry):
    return page.locator(f".review[data-request='{entry.request_id}']")


def test_a_reviewer_sees_why_it_is_there_the_face_both_scores_and_who_else_it_may_be(queue):
    page, _, borderline, between = queue

    one, other = review_card(page, borderline), review_card(page, between)

    one.get_by_text("The score 74.5 is just below 80, from which people enter.").wait_for()
    page.wait_for_function(
        "selector => document.querySelector(selector).naturalWidth > 0",
        arg=f".review[data-request='{borderline.request_id}'] .face img",
    )
    other.get_by_text("A second person is nearly as similar: 83 and 81.5.").wait_for()
    other.get_by_text("[review] keep_probe is off").wait_for()
    assert other.locator(".candidates a").all_inner_texts() == ["Person A", "Person B"]
    assert other.locator(".scale-next").count() == 1
    assert "Next person, Person B: 81.5." in other.locator(".scale").get_attribute("aria-label")
    assert serious(page) == []


def test_a_review_is_decided_by_keyboard_with_a_reason_of_those_often_given(queue, served):
    page, _, borderline, between = queue

    page.keyboard.press("j")
    page.keyboard.press("d")
    review_card(page, borderline).get_by_text("Say why, or take one of the reasons below.").wait_for()
    page.keyboard.press("Escape")
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("j")
    page.keyboard.press("1")
    page.keyboard.press("a")

    review_card(page, borderline).wait_for(state="detached")
    review_card(page, between).wait_for()
    review = served.device.store.log.review_of(borderline.request_id)
    assert (review.entry.status, review.answer["reason"]) == ("Approved", "I know this person")
    assert served.device.store.review_images.names(borderline.seq) == ()


def test_several_reviews_are_decided_at_once_each_with_a_record_of_its_own(queue, served):
    page, _, *entries = queue
    for entry in entries:
        review_card(page, entry).get_by_label("Choose").check()

    several = page.get_by_role("region", name="Decide several at once")
    several.get_by_label("Reason", exact=False).first.fill("nobody of ours")
    several.get_by_role("button", name="Decline").click()

    page.get_by_text("Nothing waits for a review").wait_for()
    reviews = [served.device.store.log.review_of(entry.request_id) for entry in entries]
    assert [(one.entry.status, one.answer["reason"]) for one in reviews] == [("Declined", "nobody of ours")] * 2


def test_the_queue_is_filtered_by_what_keeps_a_decision_there(queue):
    page, _, borderline, between = queue

    page.get_by_label("Waits because").select_option("close_second")

    review_card(page, borderline).wait_for(state="detached")
    review_card(page, between).wait_for()
