"""One upload against the scripted server: in one piece, in parts, and what goes wrong on the way."""

import json
import os

import pytest
from scripted import ScriptedFal

from kling_nb import errors
from kling_nb.fal.auth import Key
from kling_nb.fal.hosts import Hosts
from kling_nb.fal.http import LARGEST_REPLY, Http
from kling_nb.fal.options import Lifecycle
from kling_nb.fal.patience import Patience
from kling_nb.fal.storage import PART_BYTES, WHOLE_BYTES, Storage
from kling_nb.request.media_input import for_upload

MP4 = b"\0\0\0\x18ftypisom\0\0\x02\0isommp41"
CLIP = MP4 + bytes(range(256)) * 40
PART = 1_000
PARTS = -(-len(CLIP) // PART)


@pytest.fixture
async def make_storage(fal, clock):
    """Makes storages on the test's own loop."""
    hosts = Hosts(queue=fal.url, rest=fal.url, api=fal.url)
    https = []

    def make(submit=10.0, largest=LARGEST_REPLY, **sizes):
        patience = Patience(submit=submit, sleep=clock.sleep)
        key = Key(fal.key, "the test")
        https.append(Http(hosts, lambda: key, patience=patience, largest=largest))
        return Storage(https[-1], **sizes)

    yield make
    for http in https:
        await http.aclose()


@pytest.fixture
def whole(make_storage):
    return make_storage()


@pytest.fixture
def parts(make_storage):
    return make_storage(whole_bytes=PART, part_bytes=PART)


@pytest.fixture
def clip(tmp_path):
    path = tmp_path / "clip.mp4"
    path.write_bytes(CLIP)
    return path


@pytest.fixture
def file(clip):
    return for_upload(clip)


class TestInOnePiece:
    async def test_two_steps_and_the_key_is_part_of_the_first(self, fal: ScriptedFal, whole, file):
        url = await whole.upload(file)
        assert fal.cdn.get(url).data == CLIP
        assert fal.cdn.get(url).content_type == "video/mp4"
        assert [record.exchange for record in fal.requests] == ["upload_initiate", "upload"]
        asked, put = fal.requests
        assert asked.headers["authorization"] == f"Key {fal.key}"
        assert asked.query == {"storage_type": "fal-cdn-v3"}
        assert asked.json == {"content_type": "video/mp4", "file_name": "clip.mp4"}
        assert put.headers["content-length"] == str(len(CLIP))
        assert "authorization" not in put.headers
        assert "transfer-encoding" not in put.headers
        assert not fal.stray_keys

    async def test_bytes_from_memory(self, fal, whole):
        url = await whole.upload(for_upload(CLIP))
        assert fal.cdn.get(url).data == CLIP

    @pytest.mark.parametrize(
        "name", [b"caf\xe9.mp4", b"a b?#&%.mp4", "猫.mp4".encode(), b"x" * 200 + b".mp4"]
    )
    async def test_a_file_of_any_name(self, fal, whole, tmp_path, name):
        path = tmp_path / os.fsdecode(name)
        try:
            path.write_bytes(CLIP)
        except OSError:  # a file system that has no such names has no such problem
            return
        url = await whole.upload(for_upload(path))
        assert fal.cdn.get(url).data == CLIP
        assert url.isascii()
        assert url.endswith(".mp4")

    async def test_progress_goes_from_nothing_to_all(self, whole, file):
        seen = []
        await whole.upload(file, on_progress=lambda sent, total: seen.append((sent, total)))
        assert seen[0] == (0, len(CLIP))
        assert seen[-1] == (len(CLIP), len(CLIP))
        assert seen == sorted(seen)

    async def test_a_listener_that_fails_does_not_end_it(self, fal, whole, file, caplog):
        def broken(sent, total):
            raise ZeroDivisionError

        assert fal.cdn.get(await whole.upload(file, on_progress=broken)).data == CLIP
        assert "The on_progress callback of an upload failed" in caplog.text

    @pytest.mark.parametrize(
        ("expires_in", "seconds"),
        [("immediate", 60), ("1h", 3600), ("1d", 86_400), ("7d", 604_800), ("1y", 31_536_000), (90, 90)],
    )
    async def test_a_lifetime_goes_along(self, fal, whole, file, expires_in, seconds):
        await whole.upload(file, lifecycle=Lifecycle.parse(expires_in))
        headers = fal.last("upload_initiate").headers
        for name in ("x-fal-object-lifecycle", "x-fal-object-lifecycle-preference"):
            assert json.loads(headers[name]) == {"expiration_duration_seconds": seconds}

    @pytest.mark.parametrize("expires_in", [None, "never"])
    async def test_the_accounts_own_lifetime_is_left_alone(self, fal, whole, file, expires_in):
        await whole.upload(file, lifecycle=Lifecycle.parse(expires_in))
        assert "x-fal-object-lifecycle" not in fal.last("upload_initiate").headers

    @pytest.mark.parametrize("expires_in", ["2d", "", 0, -1, True, 1.5])
    def test_a_lifetime_that_makes_no_sense_is_refused(self, expires_in):
        with pytest.raises(errors.UsageError, match="never, immediate, 1h, 1d, 7d, 30d, 1y"):
            Lifecycle.parse(expires_in)


class TestInParts:
    async def test_as_fals_own_client_sends_them(self, fal: ScriptedFal, parts, file):
        url = await parts.upload(file)
        assert fal.cdn.get(url).data == CLIP
        assert fal.cdn.get(url).content_type == "video/mp4"
        assert fal.count("multipart_part") == PARTS
        assert fal.count("multipart_initiate") == fal.count("multipart_complete") == 1
        listed = fal.last("multipart_complete").json["parts"]
        assert [part["partNumber"] for part in listed] == list(range(1, PARTS + 1))
        paths = {record.path for record in fal.requests if record.exchange == "multipart_part"}
        assert {path.rpartition("/")[2] for path in paths} == {str(n) for n in range(1, PARTS + 1)}
        on_storage = [record for record in fal.requests if record.listener == "media"]
        assert all(record.query["signature"] == "abc123" for record in on_storage)
        assert not fal.stray_keys
        assert fal.last("multipart_initiate").headers["authorization"] == f"Key {fal.key}"

    async def test_several_at_once_over_few_connections(self, fal, parts, file):
        await parts.upload(file)
        assert fal.connections <= 5

    async def test_above_90_mib_by_10_mib(self, fal, whole, tmp_path):
        path = tmp_path / "long.mp4"
        path.write_bytes(MP4)
        os.truncate(path, WHOLE_BYTES)
        await whole.upload(for_upload(path))
        assert fal.count("upload") == 1
        os.truncate(path, WHOLE_BYTES + 1)
        url = await whole.upload(for_upload(path))
        sizes = [int(r.headers["content-length"]) for r in fal.requests if r.exchange == "multipart_part"]
        assert sorted(sizes) == [1, *[PART_BYTES] * 9]
        assert len(fal.cdn.get(url).data) == WHOLE_BYTES + 1

    async def test_progress_takes_back_what_a_failed_try_sent(self, fal, parts, file):
        fal.fault("multipart_part", "status", status=503, times=3)
        seen = []
        await parts.upload(file, on_progress=lambda sent, total: seen.append(sent))
        assert seen[0] == 0
        assert seen[-1] == max(seen) == len(CLIP)
        assert min(seen) == 0

    @pytest.mark.parametrize("expires_after", [0, 3, PARTS])
    async def test_parts_that_were_sent_before_the_url_expired_are_not_sent_again(
        self, fal, parts, file, expires_after
    ):
        def expire(reply):
            if fal.count("multipart_part") >= expires_after:
                fal.cdn.signature = "def456"
            return reply

        exchange = "multipart_part" if expires_after else "multipart_initiate"
        fal.fault(exchange, "edit", edit=expire, times=None)
        assert fal.cdn.get(await parts.upload(file)).data == CLIP
        assert fal.count("multipart_initiate") == fal.count("upload_token") == 1
        assert PARTS <= fal.count("multipart_part") <= PARTS + 4  # one refused part of each worker
        assert fal.last("upload_token").headers["authorization"] == f"Key {fal.key}"
        done = fal.last("multipart_complete")
        assert done.headers["authorization"] == f"Bearer {fal.cdn.token}"
        assert done.query == {}
        assert not fal.stray_keys

    @pytest.mark.parametrize("trouble", ["refused", "another host"])
    async def test_without_a_token_the_whole_upload_starts_again(self, fal, parts, file, trouble):
        if trouble == "refused":
            fal.fault("upload_token", "status", status=403)
        else:
            fal.fault("upload_token", "foreign_urls", to="https://example.com", times=6)
        fal.fault("multipart_part", "status", skip=2, status=403)
        seen = []
        url = await parts.upload(file, on_progress=lambda sent, total: seen.append(sent))
        assert fal.cdn.get(url).data == CLIP
        assert fal.count("multipart_initiate") == 2
        assert seen[-1] == max(seen) == len(CLIP)

    @pytest.mark.parametrize("tag", ["header", "json"])
    async def test_a_tag_may_come_either_way(self, fal, parts, file, tag):
        def edit(reply):
            from dataclasses import replace

            if tag == "json":
                return replace(reply, headers=tuple(h for h in reply.headers if h[0].lower() != "etag"))
            return reply.with_body(b"")

        fal.fault("multipart_part", "edit", edit=edit, times=None)
        assert fal.cdn.get(await parts.upload(file)).data == CLIP


PASSING = [
    ("reset", {"at": "before_body"}),
    ("reset", {"at": "after_body"}),
    ("close", {"at": "mid_head"}),
    ("close", {"at": "mid_body"}),
    ("status", {"status": 503}),
    ("status", {"status": 500}),
    ("nginx", {}),
    ("busy", {"retry_after": 1}),
]


class TestFaults:
    @pytest.mark.parametrize("exchange", ["upload_initiate", "upload"])
    @pytest.mark.parametrize(("kind", "options"), PASSING)
    async def test_a_passing_one_is_tried_again(self, fal, whole, file, exchange, kind, options):
        fal.fault(exchange, kind, times=2, **options)
        assert fal.cdn.get(await whole.upload(file)).data == CLIP
        assert not fal.unused_faults
        assert not fal.stray_keys

    @pytest.mark.parametrize("exchange", ["multipart_initiate", "multipart_part", "multipart_complete"])
    @pytest.mark.parametrize(("kind", "options"), PASSING)
    async def test_a_passing_one_of_a_part_is_tried_again(self, fal, parts, file, exchange, kind, options):
        fal.fault(exchange, kind, times=2, **options)
        assert fal.cdn.get(await parts.upload(file)).data == CLIP
        assert fal.count("multipart_part") == PARTS + (2 if exchange == "multipart_part" else 0)
        assert not fal.stray_keys

    @pytest.mark.parametrize("exchange", ["upload_initiate", "upload"])
    async def test_silence_is_not_waited_for_without_end(self, fal, make_storage, file, exchange):
        fal.fault(exchange, "stall", at="after_body")
        assert fal.cdn.get(await make_storage(submit=0.3).upload(file)).data == CLIP

    async def test_how_long_to_wait_is_heard(self, fal, whole, file, clock):
        fal.fault("upload", "busy", retry_after=7)
        await whole.upload(file)
        assert clock.waits == [7.0]

    @pytest.mark.parametrize("exchange", ["upload_initiate", "upload"])
    async def test_one_that_lasts_ends_it(self, fal, whole, file, exchange):
        fal.fault(exchange, "reset", times=None)
        with pytest.raises(errors.UnreachableError) as caught:
            await whole.upload(file)
        assert caught.value.message.startswith("The upload failed. No usable answer from")
        assert "Not charged" in caught.value.remedy
        assert fal.count(exchange) == (6 if exchange == "upload_initiate" else 12)  # by two routes

    async def test_one_that_lasts_ends_all_parts(self, fal, parts, file):
        fal.fault("multipart_part", "status", status=500, times=None)
        with pytest.raises(errors.PlatformError) as caught:
            await parts.upload(file)
        assert "Not charged" in caught.value.remedy
        assert fal.count("multipart_complete") == 0

    @pytest.mark.parametrize(
        ("exchange", "status", "kind", "tries"),
        [
            ("upload_initiate", 401, errors.AuthenticationError, 1),
            ("upload_initiate", 422, errors.InputRefused, 1),
            ("upload_initiate", 404, errors.EndpointNotFound, 2),
            ("upload", 403, errors.AccessDenied, 3),  # a new URL, then the second route
            ("upload", 413, errors.PlatformError, 2),
            ("upload", 404, errors.ResponseError, 2),
        ],
    )
    async def test_a_refusal_that_lasts_ends_it(self, fal, whole, file, exchange, status, kind, tries):
        fal.fault(exchange, "status", status=status, times=None)
        with pytest.raises(kind) as caught:
            await whole.upload(file)
        assert fal.count(exchange) == tries
        assert "Not charged" in caught.value.remedy or isinstance(caught.value, errors.AuthenticationError)
        assert len(str(caught.value).splitlines()) <= 4

    @pytest.mark.parametrize(
        ("exchange", "kind", "options", "times"),
        [
            ("upload_initiate", "status", {"status": 404}, 1),
            ("upload", "status", {"status": 404}, 1),
            ("upload", "status", {"status": 503}, 6),
            ("upload", "reset", {"at": "in_body"}, 6),
            ("upload", "status", {"status": 403}, 2),
        ],
    )
    async def test_a_route_that_fails_is_replaced_by_the_second_one(
        self, fal, whole, file, exchange, kind, options, times
    ):
        fal.fault(exchange, kind, times=times, **options)
        assert fal.cdn.get(await whole.upload(file, lifecycle=Lifecycle(60))).data == CLIP
        asked = fal.last("upload_initiate")
        assert asked.query == {"storage_type": "gcs"}
        assert asked.json == {"content_type": "video/mp4", "file_name": "clip.mp4"}
        assert not fal.stray_keys

    async def test_an_upload_url_that_has_expired_starts_the_upload_again(self, fal, whole, file):
        fal.fault("upload", "status", status=403)
        assert fal.cdn.get(await whole.upload(file)).data == CLIP
        asked = [record for record in fal.requests if record.exchange == "upload_initiate"]
        assert [record.query["storage_type"] for record in asked] == ["fal-cdn-v3"] * 2
        first, second = [record.path for record in fal.requests if record.exchange == "upload"]
        assert first != second

    async def test_an_empty_account_says_so(self, fal, whole, file):
        fal.fault("upload_initiate", "no_money")
        with pytest.raises(errors.InsufficientBalance):
            await whole.upload(file)

    @pytest.mark.parametrize("exchange", ["upload_initiate", "multipart_initiate"])
    @pytest.mark.parametrize("kind", ["truncated_json", "wrong_types", "not_an_object", "empty"])
    async def test_an_answer_without_urls_is_asked_for_again(self, fal, make_storage, file, exchange, kind):
        storage = make_storage(whole_bytes=PART if exchange == "multipart_initiate" else WHOLE_BYTES)
        fal.fault(exchange, kind)
        assert fal.cdn.get(await storage.upload(file)).data == CLIP

    async def test_a_url_that_nothing_may_go_to_is_not_used(self, fal, whole, file):
        def lure(reply):
            value = json.loads(reply.body) | {"upload_url": "http://192.0.2.1/steal"}
            return reply.with_body(json.dumps(value).encode())

        fal.fault("upload_initiate", "edit", edit=lure, times=None)
        with pytest.raises(errors.UnreachableError, match="no allowed URL for the file"):
            await whole.upload(file)

    async def test_a_redirect_is_not_followed(self, fal, whole, file):
        fal.fault("upload", "redirect", times=None)
        with pytest.raises(errors.ResponseError):
            await whole.upload(file)
        assert not fal.stray_keys

    async def test_a_redirect_to_no_url_is_a_refusal_too(self, fal, whole, file):
        fal.fault("upload", "status", status=307, headers={"location": "A:0"}, times=None)
        with pytest.raises(errors.ResponseError):
            await whole.upload(file)

    @pytest.mark.parametrize("exchange", ["upload_initiate", "upload"])
    async def test_an_answer_without_end_is_left(self, fal, make_storage, file, exchange):
        """The storage host is one that a reply named: it must not fill the memory."""

        def endless(reply):
            return reply.with_body(b" " * 200_000)

        fal.fault(exchange, "edit", edit=endless, times=None)
        with pytest.raises(errors.UnreachableError, match="more than 100,000 bytes"):
            await make_storage(largest=100_000).upload(file)


class TestFilesThatChange:
    async def test_before_it(self, fal, whole, clip, file):
        clip.write_bytes(CLIP[:-1] + b"!")
        with pytest.raises(errors.MediaInputError, match="has changed since the request was made"):
            await whole.upload(file)
        assert fal.requests == ()

    async def test_gone_before_it(self, fal, whole, clip, file):
        clip.unlink()
        with pytest.raises(errors.MediaInputError, match="cannot be read any more"):
            await whole.upload(file)

    async def test_shorter_while_it_is_sent(self, fal, whole, clip, file):
        def cut(sent, total):
            os.truncate(clip, 100)

        with pytest.raises(errors.MediaInputError, match=r"shorter during the upload|has changed"):
            await whole.upload(file, on_progress=cut)

    @pytest.mark.parametrize("whole_bytes", [WHOLE_BYTES, PART])
    async def test_other_bytes_while_it_is_sent(self, make_storage, clip, file, whole_bytes):
        storage = make_storage(whole_bytes=whole_bytes)

        def touch(sent, total):
            if sent == 0:
                clip.write_bytes(CLIP[:-1] + b"!")

        with pytest.raises(errors.MediaInputError, match="has changed"):
            await storage.upload(file, on_progress=touch)
