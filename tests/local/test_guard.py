"""Who may ask, and how much they may send."""

import socket

import httpx
import pytest
from local.running_server import APP, TEXT

ROUTES = [
    ("POST", f"/{TEXT}"),
    ("GET", f"{APP}/requests/abc/status"),
    ("GET", f"{APP}/requests/abc/status/stream"),
    ("GET", f"{APP}/requests/abc"),
    ("PUT", f"{APP}/requests/abc/cancel"),
    ("POST", "/storage/auth/token"),
    ("POST", "/storage/upload/initiate"),
]


@pytest.fixture
def bare(server):
    with httpx.Client(base_url=server.url, trust_env=False) as client:
        yield client


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_the_key_is_needed(server, bare, method, path):
    missing = bare.request(method, path)
    assert missing.status_code == 401
    assert missing.json()["detail"].startswith("Cannot access application")
    for wrong in ("Key a:b", f"Bearer {server.key}", "Key", server.key, f"Key {server.key}x"):
        reply = bare.request(method, path, headers={"Authorization": wrong})
        assert (reply.status_code, reply.json()["detail"]) == (401, "No user found for Key ID and Secret")


@pytest.mark.parametrize("path", [*(path for _, path in ROUTES), "/health", "/files/00/x", "/nowhere"])
def test_other_hosts_and_origins_are_refused(server, path):
    port = server.url.rpartition(":")[2]
    for headers in (
        {"Host": "evil.example"},
        {"Host": f"evil.example:{port}"},
        {"Host": "127.0.0.1:1"},
        {"Origin": "https://evil.example"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": f"https://127.0.0.1:{port}"},
        {"Origin": "null"},
    ):
        for method in ("GET", "POST", "PUT", "OPTIONS"):
            assert server.http.request(method, path, headers=headers).status_code == 403, (method, headers)


def test_its_own_names_are_taken(server):
    port = server.url.rpartition(":")[2]
    for headers in (
        {"Host": f"localhost:{port}"},
        {"Origin": server.url},
        {"Origin": f"http://localhost:{port}"},
    ):
        assert server.http.get("/health", headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("GET", "/", 404),
        ("GET", "/nowhere", 404),
        ("POST", "/nowhere", 404),
        ("GET", "/no/where", 404),
        ("DELETE", f"/{TEXT}", 405),
        ("DELETE", f"{APP}/requests/abc", 405),
        ("GET", "/storage/auth/token", 405),
    ],
)
def test_every_error_is_json(server, method, path, code):
    reply = server.http.request(method, path)
    assert (reply.status_code, reply.headers["content-type"]) == (code, "application/json")
    assert reply.json()["detail"]


def test_json_bodies_have_a_limit(server):
    large = b" " * ((10 << 20) + 1)
    pieces = (large[at : at + 65536] for at in range(0, len(large), 65536))  # sent without their length
    for content in (large, pieces):
        reply = server.http.post(f"/{TEXT}", content=content)
        assert (reply.status_code, reply.json()) == (413, {"detail": "Body larger than 10485760 bytes"})


def test_uploads_have_a_limit(server):
    upload = server.http.post("/storage/upload/initiate", json={"file_name": "x.mp4"}).json()["upload_url"]
    host, path = upload.removeprefix("http://").split("/", 1)
    name, port = host.split(":")
    with socket.create_connection((name, int(port)), timeout=10) as connection:
        head = f"PUT /{path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {(1 << 30) + 1}\r\n\r\n"
        connection.sendall(head.encode())
        assert connection.recv(4096).startswith(b"HTTP/1.1 413 ")


def test_a_refusal_arrives_although_the_body_is_still_on_its_way(server):
    """A connection cut in place of a 401 would read as a submission of unknown fate."""
    body = b"x" * (4 << 20)
    with httpx.Client(base_url=server.url, trust_env=False) as bare:
        for path in (f"/{TEXT}", "/files/upload", "/storage/upload/initiate", "/nowhere"):
            assert bare.post(path, content=body).status_code in {401, 404}
