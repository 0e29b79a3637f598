"""Webhooks that arrive: what is believed, and what it says. FAL-PROTOCOL §8."""

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from kling_nb import errors
from kling_nb.fal.webhooks import PAUSE_SECONDS, KeySource, WebhookKeys, check_webhook, parse, verify
from kling_nb.notebook.flags import parse_line

NOW = 1_790_000_000
PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
PUBLIC = PRIVATE.public_key().public_bytes_raw()
KEYS = [OTHER.public_key().public_bytes_raw(), PUBLIC]
GOOD = {
    "request_id": "r-1",
    "gateway_request_id": "g-1",
    "status": "OK",
    "payload": {"video": {"url": "https://v3.fal.media/a.mp4"}},
}


def body_of(event: Any) -> bytes:
    return json.dumps(event).encode()


def signed(
    body: bytes, *, at: str = str(NOW), request_id: str = "r-1", key: Ed25519PrivateKey = PRIVATE
) -> dict[str, str]:
    message = "\n".join([request_id, "user-1", at, hashlib.sha256(body).hexdigest()])
    return {
        "X-Fal-Webhook-Request-Id": request_id,
        "X-Fal-Webhook-User-Id": "user-1",
        "X-Fal-Webhook-Timestamp": at,
        "X-Fal-Webhook-Signature": key.sign(message.encode()).hex(),
        "Content-Type": "application/json",
    }


def rejected(headers: Any, body: bytes, **options: Any) -> str:
    """Which check failed."""
    with pytest.raises(errors.WebhookRejected) as caught:
        verify(headers, body, **{"now": NOW, "keys": KEYS, **options})
    assert len(str(caught.value).splitlines()) <= 4
    return caught.value.check


# -- what is believed ---------------------------------------------------------


@pytest.mark.parametrize("change", [str, str.lower, str.upper])
def test_a_good_one(change):
    body = body_of(GOOD)
    headers = {change(name): value for name, value in signed(body).items()}
    event = verify(headers, body, now=NOW, keys=KEYS)
    assert (event.request_id, event.gateway_request_id, event.ok) == ("r-1", "g-1", True)
    assert (event.payload, event.error, event.payload_error) == (GOOD["payload"], None, None)


def test_headers_may_be_pairs():
    body = body_of(GOOD)
    assert verify(list(signed(body).items()), body, now=NOW, keys=KEYS).ok


@pytest.mark.parametrize("missing", [name for name in signed(b"") if name.startswith("X-Fal")])
def test_a_missing_header(missing):
    body = body_of(GOOD)
    headers = signed(body)
    del headers[missing]
    assert rejected(headers, body) == "headers"


def test_a_header_that_is_there_twice():
    body = body_of(GOOD)
    pairs = [*signed(body).items(), ("x-fal-webhook-user-id", "user-2")]
    assert rejected(pairs, body) == "headers"


def test_a_line_break_cannot_move_the_fields_of_what_is_signed():
    body = body_of(GOOD)
    digest = hashlib.sha256(body).hexdigest()
    message = f"r-1\nuser-1\n5\n{NOW}\n{digest}"
    headers = signed(body) | {
        "X-Fal-Webhook-Request-Id": "r-1\nuser-1",
        "X-Fal-Webhook-User-Id": "5",
        "X-Fal-Webhook-Signature": PRIVATE.sign(message.encode()).hex(),
    }
    assert rejected(headers, body) == "headers"


@pytest.mark.parametrize("away", [-300, 0, 300])
def test_a_time_within_five_minutes(away):
    body = body_of(GOOD)
    assert verify(signed(body, at=str(NOW + away)), body, now=NOW, keys=KEYS).ok


@pytest.mark.parametrize(
    "at", [str(NOW - 301), str(NOW + 301), "soon", "-1", "1e9", f" {NOW}.0", "²", "9" * 40]
)
def test_a_time_beyond_or_none(at):
    body = body_of(GOOD)
    assert rejected(signed(body, at=at), body) == "timestamp"


@pytest.mark.parametrize("signature", ["", "00", "zz" * 64, "ab" * 64, "ab" * 65])
def test_a_signature_that_is_none(signature):
    body = body_of(GOOD)
    check = rejected(signed(body) | {"X-Fal-Webhook-Signature": signature}, body)
    assert check == ("headers" if not signature else "signature")


def test_the_signature_of_a_stranger():
    body = body_of(GOOD)
    assert rejected(signed(body), body, keys=KEYS[:1]) == "signature"
    assert rejected(signed(body), body, keys=[]) == "signature"


@settings(derandomize=True, max_examples=60, deadline=None, database=None)
@given(
    at=st.integers(0, 10_000), bit=st.integers(0, 7), where=st.sampled_from(["body", "id", "user", "time"])
)
def test_any_changed_bit_is_noticed(at, bit, where):
    body = body_of(GOOD)
    headers = signed(body)
    if where == "body":
        raw = bytearray(body)
        raw[at % len(raw)] ^= 1 << bit
        assert rejected(headers, bytes(raw)) == "signature"
        return
    name = {"id": "Request-Id", "user": "User-Id", "time": "Timestamp"}[where]
    text = headers[f"X-Fal-Webhook-{name}"]
    place = at % len(text)
    changed = text[:place] + chr(ord(text[place]) ^ (1 << bit)) + text[place + 1 :]
    assert rejected(headers | {f"X-Fal-Webhook-{name}": changed}, body) in {
        "headers",
        "timestamp",
        "signature",
    }


@pytest.mark.parametrize("body", [b"", b"not json", b"[]", b"{}", b'{"status": "MAYBE"}', b"[" * 100_000])
def test_a_signed_body_that_says_nothing(body):
    assert rejected(signed(body), body) == "body"


def test_a_body_that_is_parsed_already_is_a_mistake_of_the_caller():
    with pytest.raises(TypeError, match="raw bytes"):
        verify(signed(b"{}"), GOOD, keys=KEYS)  # type: ignore[arg-type]


# -- what it says ----------------------------------------------------------------


def event_of(**fields: Any) -> Any:
    body = body_of({"request_id": "r-1", "gateway_request_id": "g-2", **fields})
    return verify(signed(body), body, now=NOW, keys=KEYS)


def test_a_refused_input_names_the_parameter():
    detail = [{"loc": ["body", "prompt"], "msg": "too rude", "type": "content_policy_violation"}]
    event = event_of(status="ERROR", error="Invalid status code: 422", payload={"detail": detail})
    assert not event.ok
    assert isinstance(event.error, errors.ContentRefused)
    assert (event.error.status_code, event.error.request_id) == (422, "r-1")
    assert event.error.details[0].parameter == "prompt"
    assert event.payload == {"detail": detail}


@pytest.mark.parametrize(
    ("error", "payload", "kind", "code", "error_type"),
    [
        (
            "Runner disconnected",
            {"detail": "x", "error_type": "runner_disconnected"},
            errors.PlatformError,
            0,
            "runner_disconnected",
        ),
        ("Invalid status code: 404", None, errors.RequestNotFound, 404, None),
        ("Invalid status code: 500", {"detail": "Internal Server Error"}, errors.PlatformError, 500, None),
        ("Something new", ["odd"], errors.PlatformError, 0, None),
        (None, None, errors.PlatformError, 0, None),
    ],
)
def test_other_failures(error, payload, kind, code, error_type):
    event = event_of(status="ERROR", error=error, payload=payload)
    assert type(event.error) is kind
    assert (event.error.status_code, event.error.error_type) == (code, error_type)


def test_a_result_that_could_not_be_put_into_json():
    event = event_of(status="OK", payload=None, payload_error="not serialisable")
    assert (event.ok, event.payload, event.payload_error) == (True, None, "not serialisable")


def test_ids_may_be_missing():
    body = body_of({"status": "OK", "payload": {}})
    event = verify(signed(body), body, now=NOW, keys=KEYS)
    assert (event.request_id, event.gateway_request_id) == ("r-1", None)


# -- keys ------------------------------------------------------------------------


class Host:
    """Publishes keys, and counts how often it was asked."""

    def __init__(self) -> None:
        self.url = ""
        self.keys = [PRIVATE]
        self.code = 200
        self.asked = 0

    def document(self) -> bytes:
        entries = [
            {"kty": "OKP", "crv": "Ed25519", "x": _x(key.public_key().public_bytes_raw())}
            for key in self.keys
        ]
        return json.dumps({"keys": [{"kty": "RSA", "n": "AQAB"}, *entries]}).encode()


def _x(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


@contextmanager
def serving() -> Iterator[Host]:
    host = Host()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            assert self.path == "/.well-known/jwks.json"
            assert "Authorization" not in self.headers
            host.asked += 1
            body = host.document()
            self.send_response(host.code)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    host.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield host
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(scope="module")
def shared_host() -> Iterator[Host]:
    with serving() as host:
        yield host


@pytest.fixture
def host(shared_host: Host) -> Host:
    shared_host.keys, shared_host.code, shared_host.asked = [PRIVATE], 200, 0
    return shared_host


class Hand:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = float(NOW)

    def __call__(self) -> float:
        return self.now


class FarSource(KeySource):
    """The test's host, treated as one that is not on this machine."""

    @property
    def loopback(self) -> bool:
        return False


def check(ring: WebhookKeys, key: Ed25519PrivateKey = PRIVATE) -> bool:
    body = body_of(GOOD)
    try:
        return verify(signed(body, key=key), body, now=NOW, keys=ring).ok
    except errors.WebhookRejected:
        return False


def test_keys_are_asked_for_once_a_day(host):
    clock = Hand()
    ring = WebhookKeys(FarSource(host.url), clock=clock)
    for hours in (0, 1, 23.9):
        clock.now = NOW + hours * 3600
        assert check(ring)
    assert host.asked == 1
    clock.now = NOW + 24 * 3600
    assert check(ring)
    assert host.asked == 2


def test_a_new_key_is_found_and_forgeries_do_not_make_it_ask_without_end(host):
    clock = Hand()
    ring = WebhookKeys(FarSource(host.url), clock=clock)
    assert check(ring)
    clock.now += PAUSE_SECONDS
    host.keys = [PRIVATE, OTHER]
    assert check(ring, OTHER)
    assert host.asked == 2
    stranger = Ed25519PrivateKey.from_private_bytes(bytes(32))
    for _ in range(5):
        assert not check(ring, stranger)
    assert host.asked == 2
    clock.now += PAUSE_SECONDS
    for _ in range(5):
        assert not check(ring, stranger)
    assert host.asked == 3


def test_a_preview_server_on_this_machine_is_asked_again_at_once(host):
    ring = WebhookKeys(KeySource(host.url))
    assert check(ring)
    host.keys = [OTHER]
    assert check(ring, OTHER)
    assert not check(ring, PRIVATE)


def test_keys_outlive_the_process_for_a_day(host, tmp_path):
    clock = Hand()
    source = FarSource(host.url, tmp_path / "new" / "home")
    assert check(WebhookKeys(source, clock=clock))
    host.code = 503
    clock.now += 3600
    assert check(WebhookKeys(source, clock=clock))
    assert host.asked == 1
    elsewhere = FarSource(host.url + "/other", source.folder)
    for other, later in ((source, 24 * 3600), (elsewhere, 0)):
        clock.now += later
        with pytest.raises(errors.UnreachableError, match=r"(?s)webhook keys.*503"):
            check(WebhookKeys(other, clock=clock))


@pytest.mark.parametrize(
    "kept", ["", "{}", "[]", '{"url": 1}', "\ud83d", '{"keys": ["zz"], "fetched_at": 1}']
)
def test_a_spoilt_file_is_passed_over(host, tmp_path, kept):
    (tmp_path / "webhook-keys.json").write_bytes(kept.encode("utf-8", "surrogatepass"))
    assert check(WebhookKeys(FarSource(host.url, tmp_path)))
    assert host.asked == 1


@pytest.mark.parametrize("document", [None, [], {}, {"keys": {}}, {"keys": []}, {"keys": [1, {"x": 5}]}])
def test_a_document_without_keys(document):
    with pytest.raises(ValueError, match="no ED25519 key"):
        parse(document)


@pytest.mark.parametrize("entry", [{"x": "AA"}, {"x": "ä"}, {"crv": "X25519", "x": _x(bytes(32))}, {}])
def test_entries_that_are_no_such_key_are_passed_over(entry):
    assert parse({"keys": [entry, {"crv": "Ed25519", "x": _x(PUBLIC)}]}) == (PUBLIC,)


# -- addresses ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/hook",
        "http://example.com:8080/hook?a=1",
        "https://user:word@example.com/",
        "https://93.184.216.34/",
        "https://[2606:2800:220:1:248:1893:25c8:1946]/",
        "https://hooks.local.example.org/",
    ],
)
def test_urls_that_fal_can_reach(url):
    check_webhook(url, local=False)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://127.0.0.1:9000/", "loopback"),
        ("http://127.1/", "loopback"),
        ("http://2130706433/", "loopback"),
        ("http://0x7f.0.0.1/", "loopback"),
        ("http://[::1]/", "loopback"),
        ("http://[::ffff:127.0.0.1]/", "loopback"),
        ("https://[2002:7f00:1::]/", "loopback"),
        ("http://169.254.169.254/latest", "link-local"),
        ("http://[fe80::1]/", "link-local"),
        ("http://10.0.0.8/", "private"),
        ("http://192.168.1.2/", "private"),
        ("http://172.16.0.1/", "private"),
        ("http://100.64.0.1/", "private"),
        ("http://[fd00::1]/", "private"),
        ("http://0.0.0.0/", "unspecified"),
        ("http://224.0.0.1/", "multicast"),
        ("http://localhost:8888/", "this machine"),
        ("http://LOCALHOST./", "this machine"),
        ("http://hub.localhost/", "this machine"),
        ("http://printer.local/", "this machine"),
        ("http://jupyterhub/", "this machine"),
        ("http://db.internal/", "this machine"),
    ],
)
def test_urls_that_it_cannot(url, reason):
    with pytest.raises(errors.UsageError, match=reason) as caught:
        check_webhook(url, local=False)
    assert "Nothing was sent" in str(caught.value)
    check_webhook(url, local=True)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.com/hook",
        "ftp://example.com/",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "https://",
        "https:///x",
        "https://exa mple.com/",
        "https://example.com/\n",
        "https://example.com:port/",
        "https://[::1/",
        "https://[fe80::1%25eth0]/",
        "https://example.com\\@127.0.0.1/",
        7,
    ],
)
@pytest.mark.parametrize("local", [True, False])
def test_urls_that_are_none(url, local):
    with pytest.raises(errors.UsageError):
        check_webhook(url, local=local)


# -- the flag ------------------------------------------------------------------------


def test_the_flag_is_no_parameter_of_the_request():
    call = parse_line("fox --webhook https://example.com/hook?a=1", default_endpoint="v1-pro")
    assert (call.name, dict(call.parameters)) == ("fox", {})
    assert call.submit_arguments() == {"webhook_url": "https://example.com/hook?a=1"}
