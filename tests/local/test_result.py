"""The result: FAL-PROTOCOL §6, and the types of §11.1."""

import pytest
from local.running_server import APP, IMAGE, LONG, TEXT

TURBO = "fal-ai/kling-video/v3/turbo/pro/text-to-video"


def details(reply):
    assert reply.status_code == 422
    assert reply.headers["x-fal-billable-units"] == "0"
    assert reply.headers["x-fal-retryable"] == "false"
    for entry in reply.json()["detail"]:
        assert entry["url"] == f"https://docs.fal.ai/errors/#{entry['type']}"
    return [(entry["loc"], entry["type"], entry.get("ctx")) for entry in reply.json()["detail"]]


def test_success_is_a_file_object_with_units_in_seconds(server):
    reply = server.result(TEXT, {"prompt": "a paper boat on a river"})
    assert reply.status_code == 200
    assert reply.headers["x-fal-billable-units"] == "5"
    assert reply.headers["x-fal-request-id"]
    (video,) = reply.json().values()
    assert set(video) == {"url", "content_type", "file_name", "file_size"}
    assert (video["content_type"], video["file_name"]) == ("video/mp4", "output.mp4")
    file = server.http.get(video["url"])
    assert len(file.content) == video["file_size"]


def test_not_yet(server):
    running = server.submit_held()
    reply = server.http.get(running["response_url"])
    assert reply.status_code == 400
    body = reply.json()
    assert body.pop("detail") == "Request is still in progress"
    assert set(body) == {"request_id", "response_url", "status_url", "cancel_url"}
    server.cancel(running)


def test_405_under_the_full_id(server):
    for path in (f"/{TEXT}", f"/{TEXT}/requests/abc", f"{APP}/requests/abc/response"):
        reply = server.http.get(path)
        assert (reply.status_code, reply.json()) == (405, {"detail": "Method Not Allowed"})


def test_failure_is_reported_in_the_status_too(server):
    job = server.submit(TEXT, {"prompt": "x", "duration": "7"})
    status = server.finish(job)
    assert status["status"] == "COMPLETED"
    assert status["error"] == "Invalid status code: 422"
    assert [line["level"] for line in status["logs"]] == ["ERROR"]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"duration": "5"}, [(["body", "prompt"], "missing", None)]),
        ({"prompt": None}, [(["body", "prompt"], "missing", None)]),
        ({"prompt": 3}, [(["body", "prompt"], "string_type", None)]),
        (
            {"prompt": "x", "duration": 5},
            [(["body", "duration"], "one_of", {"expected": ["5", "10"]})],
        ),
        (
            {"prompt": "x", "aspect_ratio": "4:3", "duration": "7"},
            [
                (["body", "aspect_ratio"], "one_of", {"expected": ["16:9", "9:16", "1:1"]}),
                (["body", "duration"], "one_of", {"expected": ["5", "10"]}),
            ],
        ),
        ([1, 2], [(["body"], "dict_type", None)]),
    ],
)
def test_what_is_wrong_with_a_simple_input(server, values, expected):
    assert sorted(details(server.result(TEXT, values))) == expected


@pytest.mark.parametrize(
    ("endpoint", "values", "place", "kind", "limits"),
    [
        (LONG, {"prompt": "x" * 2501}, ["prompt"], "string_too_long", {"max_length": 2500}),
        (LONG, {"prompt": "x", "cfg_scale": 1.5}, ["cfg_scale"], "less_than_equal", {"le": 1}),
        (LONG, {"prompt": "x", "cfg_scale": -1}, ["cfg_scale"], "greater_than_equal", {"ge": 0}),
        (LONG, {"prompt": "x", "cfg_scale": "high"}, ["cfg_scale"], "float_type", None),
        (LONG, {"prompt": "x", "multi_prompt": [{"prompt": "x"}]}, [], "value_error", None),
        (TURBO, {"prompt": "x", "multi_prompt": [{"prompt": "x"}]}, [], "value_error", None),
        (TURBO, {"multi_prompt": []}, ["multi_prompt"], "sequence_too_short", {"min_length": 1}),
        (TURBO, {"multi_prompt": [{}] * 7}, ["multi_prompt"], "sequence_too_long", {"max_length": 6}),
        (LONG, {"multi_prompt": [{"duration": "99"}]}, ["multi_prompt", 0, "duration"], "one_of", ...),
    ],
)
def test_what_is_wrong_with_a_long_input(server, endpoint, values, place, kind, limits):
    found = {tuple(path): (type_, ctx) for path, type_, ctx in details(server.result(endpoint, values))}
    type_, ctx = found["body", *place]
    assert type_ == kind
    assert limits is ... or ctx == limits


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("https://example.com/cat.png", "file_download_error"),
        ("http://127.0.0.1:1/cat.png", "file_download_error"),
        ("http://localhost.example.com/cat.png", "file_download_error"),
        ("file:///etc/passwd", "file_download_error"),
        ("data:image/png;base64,***", "file_download_error"),
        ("data:image/png;base64,", "file_download_error"),
        ("data:image/png;base64,aGVsbG8=", "image_load_error"),
    ],
)
def test_images_that_cannot_be_fetched(server, url, kind):
    ((path, found, _),) = details(server.result(IMAGE, {"prompt": "x", "image_url": url}))
    assert (path, found) == (["body", "image_url"], kind)


def test_long_inputs_are_not_sent_back_whole(server, image_uri):
    reply = server.result(IMAGE, {"image_url": image_uri})
    assert details(reply) == [(["body", "prompt"], "missing", None)]
    assert len(reply.content) < 1500


def test_broken_json_is_shown_to_be_broken(server):
    job = server.http.post(f"/{TEXT}", content=b'{"prompt": ').json()
    server.finish(job)
    ((path, kind, _),) = details(server.http.get(job["response_url"]))
    assert (path, kind) == (["body"], "json_invalid")
