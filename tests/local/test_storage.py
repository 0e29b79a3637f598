"""Uploads and downloads: FAL-PROTOCOL §9."""

import hashlib

import httpx
import pytest

BYTES = bytes(range(256)) * 40


@pytest.fixture
def bare(server):
    """A client without the key: what uploads and downloads are made with."""
    with httpx.Client(timeout=30, trust_env=False) as client:
        yield client


@pytest.fixture
def token(server):
    reply = server.http.post("/storage/auth/token", params={"storage_type": "fal-cdn-v3"}, json={})
    assert reply.status_code == 200
    assert set(reply.json()) == {"token", "token_type", "base_url", "expires_at"}
    assert reply.json()["base_url"] == server.url
    return {"Authorization": f"{reply.json()['token_type']} {reply.json()['token']}"}


def initiate(server, tail="", name="cat.png", content_type="image/png", storage="fal-cdn-v3"):
    reply = server.http.post(
        f"/storage/upload/initiate{tail}",
        params={"storage_type": storage},
        json={"content_type": content_type, "file_name": name},
    )
    assert reply.status_code == 200
    return reply.json()["upload_url"], reply.json()["file_url"]


@pytest.mark.parametrize("storage", ["fal-cdn-v3", "gcs"])
def test_two_steps(server, bare, png, storage):
    upload, file = initiate(server, storage=storage)
    assert bare.get(file).status_code == 404
    assert bare.put(upload, content=png, headers={"Content-Type": "image/png"}).status_code == 200
    reply = bare.get(file)
    assert (reply.content, reply.headers["content-type"]) == (png, "image/png")
    assert file.endswith("/cat.png")


def test_an_upload_url_is_its_own_permission(server, bare):
    upload, _ = initiate(server)
    path, _, _ = upload.partition("?")
    other, _ = initiate(server)
    for url in (path, f"{path}?token=guess", f"{path}?{other.partition('?')[2]}"):
        assert bare.put(url, content=b"x").status_code == 401
    assert bare.put(f"{server.url}/upload/00ff?token=guess", content=b"x").status_code == 404


def test_two_steps_in_parts(server, bare):
    upload, file = initiate(server, "-multipart", "clip.mp4", "video/mp4")
    path, _, query = upload.partition("?")
    parts = []
    for number, piece in ((2, BYTES[5000:]), (1, BYTES[:5000])):
        reply = bare.put(f"{path}/{number}?{query}", content=piece)
        assert reply.json() == {"partNumber": number, "etag": reply.headers["etag"]}
        assert reply.headers["etag"] == hashlib.md5(piece).hexdigest()
        parts.append(reply.json())
    assert bare.get(file).status_code == 404
    assert bare.post(f"{path}/complete", json={"parts": parts}).status_code == 401
    assert bare.post(f"{path}/complete?{query}", json={"parts": parts}).status_code == 200
    reply = bare.get(file)
    assert (reply.content, reply.headers["content-type"]) == (BYTES, "video/mp4")


@pytest.mark.parametrize("parts", [[], [{"partNumber": 7}], [{"etag": "x"}], ["1"], None])
def test_parts_that_are_not_there(server, bare, parts):
    upload, _ = initiate(server, "-multipart")
    path, _, query = upload.partition("?")
    bare.put(f"{path}/1?{query}", content=b"x")
    assert bare.post(f"{path}/complete?{query}", json={"parts": parts}).status_code == 400
    assert bare.put(f"{path}/0?{query}", content=b"x").status_code == 400


def test_by_token(server, bare, token):
    headers = {**token, "Content-Type": "application/json", "X-Fal-File-Name": "notes.json"}
    reply = bare.post(f"{server.url}/files/upload", content=b"{}", headers=headers)
    url = reply.json()["access_url"]
    assert url.endswith("/notes.json")
    assert bare.get(url).content == b"{}"


def test_by_token_in_parts(server, bare, token):
    headers = {**token, "Content-Type": "video/mp4", "X-Fal-File-Name": "clip.mp4"}
    start = bare.post(f"{server.url}/files/upload/multipart", headers=headers).json()
    url, upload = start["access_url"], start["uploadId"]
    tags = []
    for number, piece in ((1, BYTES[:99]), (2, BYTES[99:])):
        reply = bare.put(f"{url}/multipart/{upload}/{number}", content=piece, headers=token)
        tags.append({"partNumber": number, "etag": reply.headers["etag"]})
    reply = bare.post(f"{url}/multipart/{upload}/complete", json={"parts": tags[::-1]}, headers=token)
    assert reply.status_code == 200
    assert bare.get(url).content == BYTES


def test_uploads_need_a_permission(server, bare):
    for headers in ({}, {"Authorization": "Bearer guess"}, server.auth):
        for path in ("/files/upload", "/files/upload/multipart"):
            assert bare.post(server.url + path, content=b"x", headers=headers).status_code == 401
    for path in ("/storage/auth/token", "/storage/upload/initiate", "/storage/upload/initiate-multipart"):
        assert bare.post(server.url + path, json={}).status_code == 401


@pytest.fixture(scope="module")
def file(server):
    upload, file = initiate(server, name="clip.mp4", content_type="video/mp4")
    with httpx.Client(trust_env=False) as client:
        client.put(upload, content=BYTES)
    return file


@pytest.mark.parametrize(
    ("wanted", "code", "content_range", "part"),
    [
        ("bytes=0-99", 206, "bytes 0-99/10240", slice(0, 100)),
        ("bytes=10000-", 206, "bytes 10000-10239/10240", slice(10000, None)),
        ("bytes=-40", 206, "bytes 10200-10239/10240", slice(-40, None)),
        ("bytes=10000-99999", 206, "bytes 10000-10239/10240", slice(10000, None)),
        ("bytes=0-", 200, None, slice(None)),
        ("lines=1-2", 200, None, slice(None)),
    ],
)
def test_ranges(bare, file, wanted, code, content_range, part):
    reply = bare.get(file, headers={"Range": wanted})
    assert (reply.status_code, reply.headers.get("content-range")) == (code, content_range)
    assert reply.content == BYTES[part]
    assert reply.headers["accept-ranges"] == "bytes"


def test_a_range_beyond_the_end(bare, file):
    reply = bare.get(file, headers={"Range": "bytes=20000-"})
    assert (reply.status_code, reply.headers["content-range"]) == (416, "bytes */10240")


def test_head_and_validators(bare, file):
    head = bare.head(file)
    assert (head.status_code, head.headers["content-length"], head.content) == (200, "10240", b"")
    again = bare.get(file, headers={"If-None-Match": head.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize("path", ["/files/0000000000000000/clip.mp4", "/files/../../etc/passwd", "/files/x"])
def test_files_that_are_not_there(server, bare, path):
    reply = bare.get(server.url + path)
    assert reply.status_code == 404
    assert "not found" in reply.json()["detail"]


def test_the_name_is_part_of_the_url(bare, file):
    assert bare.get(file.replace("clip.mp4", "other.mp4")).status_code == 404


@pytest.mark.parametrize(
    ("name", "content_type", "seen"),
    [
        ("../../evil.png", "image/png", "evil.png"),
        ("日本.png", "image/png", "_.png"),
        (None, "image/png", "file.png"),
        ("a b?c#d.mp4", "video/mp4", "a_b_c_d.mp4"),
        ("C:\\images\\cat.jpg", None, "cat.jpg"),
    ],
)
def test_names_are_made_safe(server, bare, name, content_type, seen):
    upload, file = initiate(server, name=name, content_type=content_type)
    bare.put(upload, content=b"x")
    assert file.rpartition("/")[2] == seen
    assert bare.get(file).status_code == 200


def test_an_uploaded_page_cannot_run(server, bare):
    upload, file = initiate(server, name="page.html", content_type="text/html")
    bare.put(upload, content=b"<script>1</script>")
    headers = bare.get(file).headers
    assert headers["content-security-policy"].startswith("sandbox")
    assert headers["x-content-type-options"] == "nosniff"
