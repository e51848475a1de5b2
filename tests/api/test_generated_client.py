"""A client that openapi-python-client writes from the document calls the server, by names a person would choose."""

import importlib.util
import json
import os
import subprocess
import sys
from importlib import import_module

import pytest

from kiosk.device.enrol import enrol_person
from kiosk.store.subjects import Details, Enrolment
from tests.api.served import A1, A2, B1, serving
from tests.patience import LIMIT_S

pytestmark = pytest.mark.skipif(  # looked for, not loaded: it is another process's
    importlib.util.find_spec("openapi_python_client") is None,
    reason="openapi-python-client wants Python 3.11; it is in the extra test",
)


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("generated") / "state") as served:
        details = Details(name="Person A", vendor_data="visitor-7")
        enrol_person(served.device, [A1], Enrolment(templates=(), details=details))
        yield served


@pytest.fixture(scope="module")
def document(served):
    return served.call("GET", "/openapi.json").json()


@pytest.fixture(scope="module")
def written(document, tmp_path_factory):
    """Give what the generator said, and the folder of the package it wrote."""
    folder = tmp_path_factory.mktemp("written")
    (folder / "openapi.json").write_text(json.dumps(document), encoding="utf-8")
    (folder / "config.yml").write_text("post_hooks: []\n", encoding="utf-8")  # it need not be pretty
    command = [sys.executable, "-m", "openapi_python_client", "generate", "--path", "openapi.json", "--meta", "none"]
    said = subprocess.run(
        [*command, "--config", "config.yml", "--output-path", "kiosk_client"],
        cwd=folder,
        env={**os.environ, "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=LIMIT_S * 4,
        check=False,
    )
    assert said.returncode == 0, said.stdout + said.stderr
    return said.stdout + said.stderr, folder


@pytest.fixture(scope="module")
def client(written):
    """Give a function that imports from the package, as a program would."""
    _, folder = written
    sys.path.insert(0, str(folder))
    yield lambda name: import_module(f"kiosk_client.{name}")
    sys.path.remove(str(folder))
    for name in [one for one in sys.modules if one.partition(".")[0] == "kiosk_client"]:
        del sys.modules[name]


@pytest.fixture
def connection(client, served):
    return client("client").AuthenticatedClient(
        base_url=served.url,
        token=served.keys["device"],
        auth_header_name="x-api-key",
        prefix="",
        httpx_args={"trust_env": False},
    )


def photograph(client, content):
    return client("types").File(payload=content, file_name="photograph.jpg", mime_type="image/jpeg")


def test_every_operation_has_a_name_of_its_own_without_its_path(document):
    names = [one["operationId"] for methods in document["paths"].values() for one in methods.values()]

    assert len(set(names)) == len(names)
    assert [name for name in names if not name.islower() or name.startswith(("get_", "post_", "v3_"))] == []
    assert {"match_faces", "search_faces", "list_sessions", "read_session", "enrol_person"} <= set(names)


def test_shared_shapes_are_components_that_answers_refer_to(document):
    answers = document["paths"]["/v3/face-match/"]["post"]["responses"]
    shown = answers["200"]["content"]["application/json"]["schema"]

    assert shown == {"$ref": "#/components/schemas/FaceMatchAnswer"}
    assert {"FaceMatch", "FaceSearchAnswer", "Person", "Decision", "Warning"} <= set(document["components"]["schemas"])


def test_no_class_of_the_client_is_named_after_a_path(written):
    said, folder = written
    models = [path.stem for path in (folder / "kiosk_client" / "models").glob("*.py")]

    assert [
        name for name in models if "response200" in name.replace("_", "") or name.startswith(("get_", "post_"))
    ] == []
    assert "face_match_answer" in models
    assert "Unable to parse" not in said


def test_match_search_and_sessions_answer_a_generated_client(client, connection):
    models = client("models")
    with connection:
        match = client("api.didit.match_faces").sync(
            client=connection,
            body=models.MatchFacesBody(
                user_image=photograph(client, A1), ref_image=photograph(client, A2), vendor_data="visitor-7"
            ),
        )
        search = client("api.didit.search_faces").sync(
            client=connection, body=models.SearchFacesBody(user_image=photograph(client, A2))
        )
        sessions = client("api.didit.list_sessions").sync(client=connection, vendor_data="visitor-7")

    assert isinstance(match, models.FaceMatchAnswer)
    assert (match.face_match.status, match.vendor_data) == (models.Status.APPROVED, "visitor-7")
    assert isinstance(search, models.FaceSearchAnswer)
    assert [row.user_details.name for row in search.face_search.matches] == ["Person A"]
    assert isinstance(sessions, models.Sessions)
    assert [one.session_id for one in sessions.results] == [str(match.request_id)]


def test_a_refusal_is_a_shape_of_the_client_too(client, connection):
    models = client("models")
    with connection:
        refused = client("api.didit.match_faces").sync(
            client=connection,
            body=models.MatchFacesBody(user_image=photograph(client, B1), ref_image=photograph(client, b"no picture")),
        )

    assert isinstance(refused, models.FieldErrors)
    assert list(refused.additional_properties) == ["ref_image"]
