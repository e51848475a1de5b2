"""Every setting there is: sections of kiosk.toml as frozen classes, each field with default, range, unit and sentence.

Two sections are the rules themselves and stand with them: [presentation] in rules/limits.py, [attempts] in
rules/patience.py. `config.py` reads them all from file and environment. A section checks here what its settings must
be together.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass

from kiosk.errors import ConfigError
from kiosk.rules.conditions import policy
from kiosk.rules.regions import FURNITURE_LOW_S, read_regions
from kiosk.rules.schedule import read_schedule
from kiosk.setting import setting
from kiosk.settings.languages import LANGUAGES


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """[models]: which networks, and what runs them."""

    pack: str = setting("", "Folder of another model pack; empty for the one that ships with the kiosk.")
    accept_non_commercial: bool = setting(
        False, "Load models whose licence forbids commercial use; set it only if your use is not commercial."
    )
    threads: int = setting(0, "Threads one network may use; 0 for half the cores, at most two.", low=0, high=64)
    providers: tuple[str, ...] = setting(
        ("CPUExecutionProvider",), "onnxruntime execution providers, best first; a Jetson may list TensorRT and CUDA."
    )
    finder_runtime: str = setting(
        "onnx", "What runs the face detector: onnxruntime (onnx) or LiteRT (tflite).", choices=("onnx", "tflite")
    )


@dataclass(frozen=True, slots=True)
class MatchSettings:
    """[match]: 1:1 comparisons, Didit's Face Match."""

    decline_threshold: int = setting(
        30, "Score below which a match is declined when the request does not say.", low=0, high=100, unit="score"
    )
    review_threshold: int = setting(
        0, "Score below which an approved match goes to review instead; 0 for never.", low=0, high=100, unit="score"
    )
    age_low: float = setting(
        15.0,
        "Estimated age below which a match carries the warning AGE_BELOW_SCALE, as scores do not hold for children; "
        "0 for never.",
        low=0.0,
        high=100.0,
        unit="years",
    )


@dataclass(frozen=True, slots=True)
class SearchSettings:
    """[search]: 1:N searches, Didit's Face Search."""

    similarity_threshold: float = setting(
        70.0, "Similarity at which a person is listed.", low=0.0, high=100.0, unit="score"
    )
    blocklist_threshold: float = setting(
        -1.0,
        "Similarity at which a blocklisted person declines; -1 for the same as similarity_threshold.",
        low=-1.0,
        high=100.0,
        unit="score",
    )
    hold_fpir: float = setting(
        0.0,
        "Chance that a stranger's search lists anybody; the threshold rises with the number of people to keep it; "
        "0 for off.",
        low=0.0,
        high=0.5,
        unit="share",
    )
    warn_fpir: float = setting(
        0.1,
        "`kiosk doctor` warns where a stranger's search lists anybody with this chance or more.",
        low=0.0,
        high=1.0,
        unit="share",
    )
    allow_multiple_faces: bool = setting(False, "Only mention several faces in a picture instead of asking for review.")
    max_matches: int = setting(5, "Most people in an answer.", low=1, high=100, unit="people")
    shards: int = setting(
        0,
        "How many `kiosk shard` processes hold the people that the API's face search looks among; 0 for the gallery "
        "here.",
        low=0,
        high=256,
    )
    shards_hub: str = setting(
        "", "Address of the NATS server that carries questions to the shards; empty without shards.", may_be_empty=True
    )

    def __post_init__(self) -> None:
        if self.shards and not self.shards_hub.startswith(("nats://", "tls://")):
            raise ConfigError(
                f"[search] shards = {self.shards} needs shards_hub, an address that begins with nats:// or tls://, "
                f"got {self.shards_hub!r}"
            )


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """[store]: what is kept, and how long."""

    retention_days: float = setting(
        1095.75, "How long a person is kept when the enrolment does not say.", low=1.0, high=36525.0, unit="days"
    )
    keep_images: bool = setting(False, "Keep the enrolment photographs, encrypted like everything personal.")
    log_days: float = setting(
        365.0,
        "How long a record of the decision log is kept that nothing needs any more; 0 for always.",
        low=0.0,
        high=36525.0,
        unit="days",
    )
    outbox_days: float = setting(
        90.0,
        "How long a row of the outbox is kept after it was written, once it arrived or was given up.",
        low=1.0,
        high=36525.0,
        unit="days",
    )
    keep_calls: bool = setting(
        False,
        "Make an approved, saved call of the API a session that later searches find, as Didit does. Off, as it keeps "
        "the face of everybody whom a call is about: turn it on where they agreed. It opens no door.",
    )


@dataclass(frozen=True, slots=True)
class CameraSettings:
    """[camera]: where pictures come from, and when they are not to be trusted."""

    source: str = setting(
        "v4l2:/dev/video0",
        "picamera2:0, v4l2:/dev/video0, rtsp://…, http(s)://… (MJPEG), file:video.mp4, dir:frames/ or demo:; "
        "options follow as ?width=1280&height=720&fps=30 or ?fps=10&loop=1.",
    )
    rotation: int = setting(
        0, "Turn the picture clockwise, for a camera mounted on its side.", choices=(0, 90, 180, 270), unit="degrees"
    )
    mirror: bool = setting(False, "Swap left and right after turning, for a camera that shows a mirror image.")
    warmup_frames: int = setting(
        10,
        "Frames dropped after a camera opens, while it finds its exposure; recordings lose none.",
        low=0,
        high=300,
        unit="frames",
    )
    max_pixels: int = setting(
        8_294_400, "Largest frame taken; a larger one counts as no frame.", low=4_096, high=33_177_600, unit="px"
    )
    open_within_s: float = setting(
        10.0, "Time a camera has from its start to its first frame.", low=1.0, high=120.0, unit="s"
    )
    lost_after_s: float = setting(1.5, "Time without a new frame until it is lost.", low=0.1, high=60.0, unit="s")
    frozen_after_s: float = setting(
        1.5,
        "Time with exactly the same pixels until it is frozen; 0 for never: some network cameras repeat a still scene.",
        low=0.0,
        high=3600.0,
        unit="s",
    )
    blind_after_s: float = setting(
        1.0,
        "Time with frames too black, too white or too even until it counts as covered.",
        low=0.0,
        high=60.0,
        unit="s",
    )
    black_below: float = setting(
        12.0, "Mean brightness below which a frame is black.", low=0.0, high=128.0, unit="of 255"
    )
    white_above: float = setting(
        248.0, "Mean brightness above which a frame is white.", low=128.0, high=255.0, unit="of 255"
    )
    even_below: float = setting(
        2.0, "Standard deviation of brightness below which a frame shows nothing.", low=0.0, high=64.0, unit="of 255"
    )
    reopen_first_s: float = setting(
        0.5, "Wait before a camera is reopened, doubled with each failure.", low=0.05, high=60.0, unit="s"
    )
    reopen_longest_s: float = setting(
        30.0, "Longest wait before a camera is reopened.", low=0.05, high=3600.0, unit="s"
    )
    long_edge: int = setting(
        1920,
        "Longer edge to which a larger frame is scaled on the way, such as 4K; 0 to keep every frame as it is.",
        low=0,
        high=8192,
        unit="px",
    )


def _hold(section: str, check: Callable[[], object]) -> None:
    """Hold settings that must fit together against the rule of whoever uses them."""
    try:
        check()
    except ValueError as error:
        raise ConfigError(f"[{section}]: {error}") from None


@dataclass(frozen=True, slots=True)
class PadSettings:
    """[pad]: how photographs, screens and masks are told from people (presentation-attack detection)."""

    level: str = setting(
        "auto",
        "What is asked of a visitor: nothing, and nothing is looked for (off); nothing, the picture alone is judged "
        "(passive); one random movement (active); six colours and a movement (strict). auto is active with a screen, "
        "else passive.",
        choices=("auto", "off", "passive", "active", "strict"),
    )
    screen: bool = setting(False, "The kiosk has a screen in front of the visitor, which can ask for a challenge.")
    flashes: bool = setting(
        True,
        "Level strict shows six colours in 2.4 s; false, for the sake of people sensitive to flashing light, asks for "
        "three movements instead.",
    )
    tries: int = setting(2, "Challenges that a person may fail before the screen offers another way in.", low=1, high=5)
    answer_s: float = setting(6.0, "Time for the answer to a challenge.", low=2.0, high=30.0, unit="s")
    turn_deg: float = setting(
        25.0,
        "Least turn of the head that counts as done; below 22 a curved print passes.",
        low=22.0,
        high=60.0,
        unit="°",
    )
    mouth_open: float = setting(
        0.25,
        "Least gap of the lips that counts as an opened mouth; prints reach 0.16.",
        low=0.18,
        high=0.6,
        unit="of the eyes' distance",
    )
    network_low: float = setting(
        0.15,
        "Limit for the network's answer, 0 for a picture to 1 for a person, median of the frames; below it an attack "
        "is suspected.",
        low=0.0,
        high=0.95,
    )
    face_share_high: float = setting(
        0.6,
        "Edge of a face above which its owner should step back, so that the edge of a print would be seen.",
        low=0.2,
        high=0.8,
        unit="of the shorter edge",
    )
    calibrated_for: str = setting(
        "", "Network that network_low was measured for on this site, as `kiosk evaluate pad --calibrate` prints it."
    )
    presentations: int = setting(
        2,
        "Presentations of one face that may fail all tries before it is offered the other way in at once.",
        low=1,
        high=20,
    )
    forget_s: float = setting(
        300.0, "Time after which a presentation that failed no longer counts.", low=10.0, high=86400.0, unit="s"
    )
    spoken: str = setting(
        "off",
        "Whether challenges are said aloud: not, by the browser's own voice, or by the files of spoken_folder.",
        choices=("off", "speech", "files"),
    )
    spoken_folder: str = setting(
        "", "Folder with LANGUAGE/NAME.mp3, .ogg or .wav: turn_left, turn_right, mouth, flash, wrong_way."
    )

    @property
    def chosen_level(self) -> str:
        """The level in force: off, passive, active or strict; by itself one that asks wants a screen."""
        return ("active" if self.screen else "passive") if self.level == "auto" else self.level

    def __post_init__(self) -> None:
        """Refuse a challenge that nobody could be asked."""
        if self.level in {"active", "strict"} and not self.screen:
            raise ConfigError(f"[pad]: level {self.level} asks on a screen; set screen = true, or level = passive")
        if self.spoken == "files" and not self.spoken_folder:
            raise ConfigError("[pad]: spoken = files needs spoken_folder, or set spoken = speech")


_LEFT = ("open", "log_only", "closed")


@dataclass(frozen=True, slots=True)
class DegradedSettings:
    """[degraded]: what each fault leaves: all (open), judging without opening (log_only) or nothing (closed)."""

    clock_untrusted: str = setting(
        "log_only", "The time is not known; hours and holidays stay closed in any case.", choices=_LEFT
    )
    disk_full: str = setting("closed", "Decisions cannot be recorded.", choices=_LEFT)
    gallery_stale: str = setting("log_only", "The cloud's blocklists are older than [health] allows.", choices=_LEFT)
    pad_off: str = setting("open", "The detection of photographs and masks is switched off.", choices=_LEFT)
    pad_passive: str = setting(
        "open", "Photographs are looked for in the picture alone; nobody is asked for a movement.", choices=_LEFT
    )
    pad_uncalibrated: str = setting("open", "The limits of attack detection were not set on this site.", choices=_LEFT)
    pad_too_bright: str = setting("open", "The screen's colours do not show on faces in this light.", choices=_LEFT)
    throttled: str = setting("open", "Heat or a weak supply slows the processor down.", choices=_LEFT)
    list_held: str = setting(
        "open",
        "A list of the cloud lost most of its entries; they stay blocked until an operator confirms the loss.",
        choices=_LEFT,
    )
    panel_lost: str = setting(
        "log_only", "The access control panel does not ask this reader, see [osdp].", choices=_LEFT
    )
    reader_lost: str = setting("open", "A reader or keypad of this kiosk does not answer, see [osdp].", choices=_LEFT)
    neighbour_lost: str = setting(
        "open",
        "A kiosk of the fleet on which [passage] depends does not answer; such rules let nobody in.",
        choices=_LEFT,
    )
    log_rolled_back: str = setting(
        "log_only",
        "Other kiosks of the fleet hold a newer record of this kiosk's log than it has: its store was put back.",
        choices=_LEFT,
    )
    face_stays: str = setting(
        "log_only", "A face that does not move is in view, or several are for a minute without a pause.", choices=_LEFT
    )

    def __post_init__(self) -> None:
        """Refuse what the guard would refuse."""
        _hold("degraded", lambda: policy(asdict(self)))


@dataclass(frozen=True, slots=True)
class ScheduleSettings:
    """[schedule]: who may enter when; hours are local, and 07:00-19:00 ends as 19:00 begins."""

    time_zone: str = setting("UTC", "Time zone of the door, for instance Europe/Berlin.")
    week: tuple[str, ...] = setting(
        ("mon-sun 00:00-24:00",),
        "Lines like mon-fri 07:00-19:00, or cleaners: sat 22:00-02:00 for people with a plan of that name.",
    )
    holidays: tuple[str, ...] = setting(
        (), "Days like 2026-12-25, or 2026-12-24 07:00-12:00 for other hours than the week's.", may_be_empty=True
    )

    def __post_init__(self) -> None:
        """Refuse lines that cannot be read."""
        _hold("schedule", lambda: read_schedule(self.time_zone, self.week, self.holidays))


@dataclass(frozen=True, slots=True)
class EntranceSettings:
    """[entrance]: what is decided about a person who steps up; stricter than the API's defaults, as it opens a door."""

    mode: str = setting(
        "identify",
        "Who is this (identify), is this the person of the code (verify), enrol people (enrol), or only look "
        "for duplicates and blocked people (screen).",
        choices=("identify", "verify", "enrol", "screen"),
    )
    identify_threshold: float = setting(
        80.0, "Similarity from which a person found among all people may enter.", low=30.0, high=100.0, unit="score"
    )
    verify_threshold: float = setting(
        76.0,
        "Similarity with the person of the code or card from which they may enter.",
        low=30.0,
        high=100.0,
        unit="score",
    )
    hold_fpir: float = setting(
        0.001,
        "Chance that a stranger is mistaken for anybody; identify_threshold rises with the number of people to keep "
        "it; 0 for off.",
        low=0.0,
        high=0.5,
        unit="share",
    )
    blocklist_threshold: float = setting(
        70.0, "Similarity with a blocked person from which the alarm is raised.", low=0.0, high=100.0, unit="score"
    )
    review_margin: float = setting(
        10.0,
        "How far below the threshold a decision goes to review instead of being declined.",
        low=0.0,
        high=70.0,
        unit="score",
    )
    lead: float = setting(
        5.0,
        "How far the person found must be ahead of the next most similar; less goes to review.",
        low=0.0,
        high=50.0,
        unit="score",
    )
    claim_s: float = setting(
        30.0, "How long a code waits for its person to step up, in mode verify.", low=1.0, high=600.0, unit="s"
    )
    idle_fps: float = setting(
        10.0, "Frames a second that are looked at while nobody is there.", low=1.0, high=240.0, unit="1/s"
    )
    scale: str = setting(
        "stricter",
        "Which false-match rates the door's thresholds stand for: those of the shipped scale (shipped), or, once 200 "
        "people are enrolled, the higher of those and of the people here (stricter); then more is also asked of a face "
        "that resembles many of them.",
        choices=("stricter", "shipped"),
    )
    age_low: float = setting(
        15.0,
        "Estimated age below which somebody who would be let in goes to review instead, as scores do not hold for "
        "children; 0 for never.",
        low=0.0,
        high=100.0,
        unit="years",
    )
    furniture_s: float = setting(
        60.0,
        "Time without any motion after which a face is furniture, such as a poster, and ignored; before, nobody is "
        "judged beside it. 0 to judge every face, however still.",
        low=0.0,
        high=3600.0,
        unit="s",
    )
    ignore: tuple[str, ...] = setting(
        (),
        "Parts of the picture in which no face counts, such as a television: left, top, right and bottom as shares of "
        'the picture, for instance "0.70 0.00 1.00 0.35".',
        may_be_empty=True,
    )

    def __post_init__(self) -> None:
        """Refuse parts of a picture that are none, and a wait that a mannequin would outlast."""
        _hold("entrance", lambda: read_regions(self.ignore))
        if 0.0 < self.furniture_s < FURNITURE_LOW_S:
            raise ConfigError(f"[entrance] furniture_s: want 0 for off, or at least {FURNITURE_LOW_S:g} s")


@dataclass(frozen=True, slots=True)
class EnrolmentSettings:
    """[enrolment]: how people are enrolled in front of the camera."""

    consent_version: str = setting(
        "", "Name of the consent text that people agree to, such as 2026-11; empty keeps mode enrol locked."
    )
    consent_text: str = setting("", "The text itself, as the screen shows it.")
    consent_texts: tuple[str, ...] = setting(
        (),
        'The same text in other languages of the pages, each as LANGUAGE: TEXT, such as "de: Ich bin einverstanden …"; '
        "the screen shows the one of the language that was chosen, else consent_text.",
        may_be_empty=True,
    )
    references: int = setting(3, "Good frames that are kept as references of one person.", low=1, high=10)
    gather_s: float = setting(1.0, "Least time over which the frames are taken.", low=0.0, high=10.0, unit="s")
    mirrored: bool = setting(
        False,
        "Average the reference of a photograph with that of its mirror image: fewer people are missed, and slightly "
        "more strangers reach a score.",
    )
    by: str = setting(
        "anybody",
        "Who may begin an enrolment: an operator who is signed in, or anybody at the kiosk's own screen. A person "
        "enrolled without an operator waits for one's approval, and opens nothing before.",
        choices=("operator", "anybody"),
    )

    @property
    def text_by_language(self) -> dict[str, str]:
        """The consent text in other languages, by code."""
        return {code.strip(): text.strip() for code, _, text in (one.partition(":") for one in self.consent_texts)}

    def __post_init__(self) -> None:
        """Refuse a text that no page would show."""
        for one in self.consent_texts:
            code, _, text = one.partition(":")
            if code.strip() not in LANGUAGES or not text.strip():
                known = ", ".join(LANGUAGES)
                raise ConfigError(
                    f"[enrolment] consent_texts: want LANGUAGE: TEXT, with one of {known}, got {one[:80]!r}"
                )
        if len(self.text_by_language) < len(self.consent_texts):
            raise ConfigError("[enrolment] consent_texts: want each language once")


@dataclass(frozen=True, slots=True)
class ReviewSettings:
    """[review]: what a reviewer is shown of a decision that waits for them."""

    keep_probe: bool = setting(
        False,
        "Keep a crop of the face of each decision In Review, encrypted, until an operator has decided; then it is "
        "erased. Off, a reviewer decides by scores alone.",
    )
    probe_days: float = setting(
        7.0, "How long such a crop is kept where nobody decides.", low=0.1, high=366.0, unit="days"
    )


@dataclass(frozen=True, slots=True)
class HealthSettings:
    """[health]: when the kiosk counts as degraded, and where it says so."""

    status_file: str = setting(
        "",
        "File with the kiosk's present state; empty for status.json in systemd's runtime directory, if there is one.",
    )
    self_test_s: float = setting(
        3600.0,
        "How often the self-test runs the golden faces, the portraits that ship with the networks.",
        low=10.0,
        high=86400.0,
        unit="s",
    )
    disk_low_mb: float = setting(200.0, "Free space below which the disk counts as full.", low=1.0, high=1e6, unit="MB")
    holdover_h: float = setting(
        72.0, "How long a clock is trusted after its last synchronisation.", low=0.0, high=8760.0, unit="h"
    )
    hot_c: float = setting(
        80.0, "Temperature of the processor from which it counts as throttled.", low=40.0, high=120.0, unit="°C"
    )
    gallery_stale_h: float = setting(
        0.0,
        "Age from which the cloud's lists, as last read completely, count as out of date; 0 for never.",
        low=0.0,
        high=8760.0,
        unit="h",
    )
