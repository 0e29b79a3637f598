"""Hosts: where requests go, and which addresses may see the key."""

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kling_nb.errors import UsageError
from kling_nb.fal.hosts import Hosts

FAL = Hosts()
LOCAL = Hosts(queue="http://127.0.0.1:8787", rest="http://127.0.0.1:8787", api="http://127.0.0.1:8787")


@pytest.mark.parametrize(
    "url",
    [
        "https://queue.fal.run/x",
        "https://queue.fal.run:443/x",
        "https://QUEUE.fal.run/x",
        "https://queue.falrun.com/x",
        "https://rest.fal.ai/storage/upload/initiate",
        "https://api.fal.ai/v1/models",
    ],
)
def test_fals_own_hosts_may(url: str) -> None:
    assert FAL.may_see_key(url)


ELSEWHERE = [
    "http://queue.fal.run/x",
    "https://queue.fal.run:8443/x",
    "https://fal.run/x",
    "https://fal.ai/x",
    "https://v3.fal.media/files/x.mp4",
    "https://evilqueue.fal.run/x",
    "https://queue.fal.run.evil.example/x",
    "https://queue.fal.run@evil.example/x",
    "https://evil.example/queue.fal.run",
    "https://evil.example#queue.fal.run",
    "https://evil.example?https://queue.fal.run/",
    "https://queue.fal.run\\@evil.example/x",
    "https://evil.example\\@queue.fal.run/x",
    "https://user:secret@queue.fal.run/x",
    "https://queue.fal.run\n.evil.example/x",
    "https://queue.fal.run\t/x",
    "https://queue。fal.run/x",
    "//queue.fal.run/x",
    "queue.fal.run/x",
    "ftp://queue.fal.run/x",
    "https:///x",
    "https://[queue.fal.run/x",
    "https://queue.fal.run:port/x",
    "",
]


@pytest.mark.parametrize("url", ELSEWHERE)
def test_others_may_not(url: str) -> None:
    assert not FAL.may_see_key(url)


@given(
    st.lists(
        st.sampled_from(
            [
                "https",
                "http",
                ":",
                "/",
                "//",
                "@",
                "\\",
                "#",
                "?",
                ".",
                "queue.fal.run",
                "evil.example",
                ":443",
                "[",
                "]",
            ]
        ),
        max_size=9,
    ).map("".join)
)
@example("https://queue.fal.run//evil.example@/")
def test_what_may_see_the_key_is_where_the_request_goes(url: str) -> None:
    """Two parsers must not read one address as two hosts."""
    if FAL.may_see_key(url):
        assert httpx.URL(url).host in {"queue.fal.run", "queue.falrun.com", "rest.fal.ai", "api.fal.ai"}
        assert httpx.URL(url).scheme == "https"
        assert not httpx.URL(url).userinfo


def test_a_host_set_instead_takes_fals_place() -> None:
    assert LOCAL.may_see_key("http://127.0.0.1:8787/x")
    for url in ("https://queue.fal.run/x", "http://127.0.0.1:8788/x", "http://localhost:8787/x"):
        assert not LOCAL.may_see_key(url)


@pytest.mark.parametrize(
    "url", ["https://v3b.fal.media/a@b.mp4", "https://example.com/ä.mp4", "https://example.com:9/"]
)
def test_files_are_fetched_from_anywhere_by_https(url: str) -> None:
    assert FAL.may_fetch(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/x",
        "http://127.0.0.1/x",
        "file:///etc/passwd",
        "ftp://example.com/",
        "data:,x",
        "",
        "https://",
        "https://[half",
        "https://a@b/",
        "https://a b/",
    ],
)
def test_files_are_not_fetched_from_everywhere(url: str) -> None:
    assert not FAL.may_fetch(url)


def test_plain_http_only_on_this_machine_and_only_if_the_queue_is_here() -> None:
    assert LOCAL.may_fetch("http://localhost:1234/x")
    assert not LOCAL.may_fetch("http://192.168.0.1/x")


@pytest.mark.parametrize("name", ["queue", "rest", "api"])
@pytest.mark.parametrize(
    "url", ["http://example.com", "queue.fal.run", "", "ftp://x", "https://", "https://a@b", "x y"]
)
def test_a_url_that_is_no_base(name: str, url: str) -> None:
    with pytest.raises(UsageError, match=f"{name}_url") as caught:
        Hosts(**{name: url})
    assert len(str(caught.value).splitlines()) <= 4


@pytest.mark.parametrize(
    "url", ["https://queue.example", "https://queue.example/", "http://localhost:1", "http://[::1]:1"]
)
def test_a_url_that_is_a_base(url: str) -> None:
    assert Hosts(queue=url).queues == (url.rstrip("/"),)


@pytest.mark.parametrize(
    ("endpoint", "base"),
    [
        ("fal-ai/kling-video/v2.5-turbo/pro/text-to-video", "fal-ai/kling-video"),
        ("fal-ai/kling/v1-5/kolors-virtual-try-on", "fal-ai/kling"),
        ("fal-ai/fast", "fal-ai/fast"),
        ("workflows/me/my-flow/x", "workflows/me/my-flow"),
        ("comfy/me/my-flow", "comfy/me/my-flow"),
    ],
)
def test_urls_by_rule(endpoint: str, base: str) -> None:
    ref = FAL.ref(endpoint, "r-1")
    address = f"https://queue.fal.run/{base}/requests/r-1"
    assert (ref.response_url, ref.status_url) == (address, f"{address}/status")
    assert (ref.cancel_url, ref.rule) == (f"{address}/cancel", None)


def test_an_id_cannot_leave_its_place() -> None:
    ref = FAL.ref("fal-ai/kling-video", "../../x?y#z")
    assert ref.response_url == "https://queue.fal.run/fal-ai/kling-video/requests/..%2F..%2Fx%3Fy%23z"


def test_urls_of_a_reply_are_used_where_they_may_be() -> None:
    ref = FAL.ref_from_reply(
        "fal-ai/kling-video/v1/pro/text-to-video",
        "r-1",
        {
            "status_url": "https://queue.falrun.com/other/requests/r-1/status/",
            "response_url": "https://evil.example/x",
            "cancel_url": None,
        },
    )
    assert ref.status_url == "https://queue.falrun.com/other/requests/r-1/status"
    assert ref.response_url == "https://queue.fal.run/fal-ai/kling-video/requests/r-1"
    assert ref.cancel_url == "https://queue.fal.run/fal-ai/kling-video/requests/r-1/cancel"


def test_the_twin_of_a_url_is_on_the_other_host_of_the_queue() -> None:
    main, backup = "https://queue.fal.run/a/b?logs=1", "https://queue.falrun.com/a/b?logs=1"
    assert (FAL.twin(main), FAL.twin(backup)) == (backup, main)
    assert FAL.twin("https://QUEUE.fal.run:443/a/b?logs=1") == backup
    for url in ("https://rest.fal.ai/a", "https://v3.fal.media/a", *ELSEWHERE):
        assert FAL.twin(url) is None
    assert LOCAL.twin(f"{LOCAL.queue}/a") is None
    assert Hosts(queue="https://queue.falrun.com").twin(backup) is None
    assert [FAL.is_backup(url) for url in (main, backup)] == [False, True]
    assert not Hosts(queue="https://queue.falrun.com").is_backup(backup)


def test_urls_of_a_reply_come_before_those_of_the_rule() -> None:
    urls = {
        "status_url": f"{FAL.queue}/odd/status",
        "response_url": None,
        "cancel_url": "https://evil.example",
    }
    ref = FAL.ref_from_reply("fal-ai/kling-video/v1", "r-1", urls)
    assert ref.urls("status_url") == [
        f"{FAL.queue}/odd/status",
        FAL.ref("fal-ai/kling-video", "r-1").status_url,
    ]
    assert ref.urls("cancel_url") == [FAL.ref("fal-ai/kling-video", "r-1").cancel_url]
