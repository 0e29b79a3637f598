"""The platform API apart from its list of requests: FAL-PROTOCOL §12.1, §12.5, §16.9."""

import asyncio
import json

import httpx
import pytest
from local.running_server import TEXT

from kling_nb.fal.patience import Patience
from kling_nb.session import Session

SIGN = "/v1/storage/files/sign"


def make_private(server, acl):
    """Return the URL of a result whose header restricts who may fetch it."""
    wanted = {"initial_acl": {"default": acl, "rules": []}}
    job = server.submit(headers={"X-Fal-Object-Lifecycle-Preference": json.dumps(wanted)})
    server.finish(job)
    return server.http.get(job["response_url"]).json()["video"]["url"]


@pytest.fixture(scope="module")
def private(server):
    """URLs of two private results, by ACL."""
    return {acl: make_private(server, acl) for acl in ("forbid", "hide")}


@pytest.mark.parametrize(("acl", "status"), [("forbid", 403), ("hide", 404)])
def test_a_private_result_is_served_by_a_signed_url_only(server, private, acl, status):
    url = private[acl]
    assert server.http.get(url).status_code == httpx.get(f"{url}?identity=guess").status_code == status
    reply = server.http.post(SIGN, params={"url": url}, json={"expiration_seconds": 60})
    signed = reply.json()["signed_url"]
    assert signed.startswith(f"{url}?identity=")
    assert httpx.get(signed).headers["content-type"] == "video/mp4"


def test_a_lifecycle_that_cannot_be_read_is_ignored(server):
    for text in ("{", '{"initial_acl": "forbid"}'):
        job = server.submit(headers={"X-Fal-Object-Lifecycle-Preference": text})
        server.finish(job)
        assert server.http.get(server.http.get(job["response_url"]).json()["video"]["url"]).is_success


def test_a_signed_url_is_refused_as_fal_refuses_it(server, private):
    url = private["forbid"]
    ask = {"params": {"url": url}, "json": {"expiration_seconds": 60}}
    assert httpx.post(server.url + SIGN, **ask).status_code == 401
    for wrong, status in (
        ({"params": {"url": f"{url}?identity=x"}}, 404),
        ({"params": {"url": "https://example.com/a.mp4"}}, 404),
        ({"json": {"expiration_seconds": 604_801}}, 400),
        ({"json": {}}, 400),
    ):
        reply = server.http.post(SIGN, **{**ask, **wrong})
        assert reply.status_code == status
        assert set(reply.json()["error"]) == {"type", "message"}


def test_a_signature_permits_one_file_and_no_upload(server, private):
    one, two = private["hide"], private["forbid"]
    reply = server.http.post(SIGN, params={"url": one}, json={"expiration_seconds": 60})
    token = reply.json()["signed_url"].rpartition("=")[2]
    assert httpx.get(f"{two}?identity={token}").status_code == 403
    file_id = one.split("/")[-2]
    assert httpx.put(f"{server.url}/upload/{file_id}?token={token}", content=b"x").status_code == 401


def test_endpoints_are_active_and_previews_are_not_billed(server):
    found = httpx.get(f"{server.url}/v1/models", params={"endpoint_id": [TEXT, "fal-ai/unknown"]}).json()
    assert [(one["endpoint_id"], one["metadata"]["status"]) for one in found["models"]] == [(TEXT, "active")]
    assert server.http.get("/v1/models/billing-events").json()["billing_events"] == []
    assert httpx.get(f"{server.url}/v1/models/billing-events").status_code == 401


def test_kling_nb_fetches_a_private_preview(server, tmp_path):
    places = dict.fromkeys(("queue_url", "rest_url", "api_url"), server.url)
    folders = {"home": tmp_path / "home", "media": tmp_path / "media"}
    patience = Patience(sleep=lambda seconds: asyncio.sleep(0))
    with Session(backend="fal", credentials=server.key, patience=patience, **places, **folders) as session:
        assert session.generate("a red kite", lifecycle={"acl": "hide"}).path.is_file()
        assert session.reconcile().jobs[0][1] is None
        assert not session.is_deprecated("v1-pro")
