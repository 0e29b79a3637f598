"""Everything that can be given for a file: images in memory, open files, earlier results."""

import base64
import hashlib
import io
import os
import socket
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from clips import clip_bytes
from PIL import Image, ImageOps, PngImagePlugin

from kling_nb.catalog.shipped import endpoint
from kling_nb.errors import MediaInputError
from kling_nb.request.local_file import LocalFile
from kling_nb.request.media_input import for_upload
from kling_nb.request.request import VideoRequest
from kling_nb.video import Video

URL = "https://example.com/a.png"
MP4 = b"\0\0\0\x18ftypisom\0\0\x02\0isommp41" + bytes(range(64))


def png(size=(8, 8), color="teal"):
    buffer = io.BytesIO()
    Image.new("RGB", size, color).save(buffer, "PNG")
    return buffer.getvalue()


PNG = png()


def build(value, name="v1-pro-image", parameter="image_url", **others):
    return VideoRequest.build(endpoint(name), {"prompt": "a heron", parameter: value, **others})


def local_file(value):
    return build(value).files["image_url"]


def refused(value, *args, **others):
    with pytest.raises(MediaInputError) as caught:
        build(value, *args, **others)
    lines = str(caught.value).splitlines()
    assert 2 <= len(lines) <= 4
    assert all(line.isprintable() for line in lines)
    return caught.value


def pixels(file):
    return np.asarray(Image.open(io.BytesIO(file.read())))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    path = tmp_path_factory.mktemp("clips") / "fox.mp4"
    path.write_bytes(clip_bytes())
    return Video.from_file(path)


class TestPillow:
    @pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
    def test_pixels_arrive_as_they_are(self, mode):
        image = Image.radial_gradient("L").convert(mode)
        file = local_file(image)
        assert (file.path, file.name, file.content_type) == (None, "image_url.png", "image/png")
        assert file.size == len(file.read())
        assert np.array_equal(pixels(file), np.asarray(image))

    @pytest.mark.parametrize("mode", ["1", "P", "CMYK", "YCbCr", "HSV", "LAB"])
    def test_other_modes_become_one_that_every_reader_knows(self, mode):
        file = local_file(Image.new("RGB", (8, 8), "white").convert("RGB" if mode == "LAB" else mode))
        assert Image.open(io.BytesIO(file.read())).mode in {"L", "RGB"}

    def test_transparency_of_a_palette_is_kept(self):
        image = Image.new("P", (8, 8), 0)
        image.info["transparency"] = 0
        assert pixels(local_file(image))[0, 0, 3] == 0

    def test_only_the_pixels_go_along(self):
        image = Image.new("RGB", (8, 8), "teal")
        image.info["exif"] = Image.Exif().tobytes()
        image.info["icc_profile"] = b"a profile"
        image.info["comment"] = "a place"
        sent = Image.open(io.BytesIO(local_file(image).read()))
        assert "exif" not in sent.info
        assert "icc_profile" not in sent.info

    def test_is_known_by_its_pixels_and_not_by_the_compressor(self):
        image = Image.linear_gradient("L").convert("RGB")
        small, large = io.BytesIO(), io.BytesIO()
        text = PngImagePlugin.PngInfo()
        text.add_text("Author", "somebody")
        image.save(small, "PNG", compress_level=9)
        image.save(large, "PNG", compress_level=0, pnginfo=text)
        assert build(Image.open(small)).fingerprint == build(Image.open(large)).fingerprint
        assert build(image).fingerprint == build(np.asarray(image)).fingerprint
        turned = build(image.transpose(Image.Transpose.ROTATE_90))
        assert build(image).fingerprint != turned.fingerprint
        assert build(image).input["image_url"] == f"sha256:{local_file(image).sha256}"

    @pytest.mark.parametrize(
        ("image", "remedy"),
        [
            (Image.new("F", (8, 8), 0.5), "(numpy.asarray(image) * 255).round().astype('uint8')"),
            (Image.new("F", (8, 8), 200.0), "numpy.asarray(image).round().astype('uint8')"),
            (Image.new("I", (8, 8), 70_000), "from 70000 to 70000"),
        ],
    )
    def test_values_that_are_no_bytes_are_refused(self, image, remedy):
        error = refused(image)
        assert f"has the mode '{image.mode}'" in error.message
        assert remedy in error.remedy

    @pytest.mark.parametrize("mode", ["I;16", "I;16B", "I"])
    def test_16_bits_keep_their_range(self, mode):
        array = np.array([[0, 128, 257, 32_896, 65_535]], np.uint16)
        image = Image.fromarray(array)
        image = image if mode == "I;16" else image.convert("I").convert(mode)
        assert pixels(local_file(image)).tolist() == [[0, 0, 1, 128, 255]]

    def test_is_upright_as_a_file_is(self, folder):
        exif = Image.Exif()
        exif[0x0112] = 6
        Image.radial_gradient("L").crop((0, 0, 90, 40)).save("turned.jpg", exif=exif)
        image = Image.open("turned.jpg")
        upright = ImageOps.exif_transpose(image)
        assert pixels(local_file(image)).shape == (90, 40)
        assert build(image).fingerprint == build(upright).fingerprint

    @pytest.mark.parametrize("mode", ["RGB", "L"])
    def test_a_transparent_colour_is_kept(self, mode):
        image = Image.new(mode, (8, 8), "white")
        image.info["transparency"] = (255, 255, 255) if mode == "RGB" else 255
        assert pixels(local_file(image))[0, 0, -1] == 0

    def test_what_was_paid_for_in_the_old_form_is_known(self):
        """Earlier releases sent the stored pixels, without orientation and transparency."""
        image = Image.radial_gradient("L").convert("RGB").crop((0, 0, 90, 40))
        turned = image.copy()
        turned.getexif()[0x0112] = 6
        clear = image.copy()
        clear.info["transparency"] = (0, 0, 0)
        assert build(image).earlier == ()
        assert build(turned).earlier == build(clear).earlier == (build(image).fingerprint,)

    def test_without_pixels_is_refused(self):
        assert "has no pixels (0×8)" in refused(Image.new("RGB", (0, 8))).message

    def test_that_does_not_decode_is_refused(self):
        image = Image.open(io.BytesIO(png((64, 64), "red")[:-40]))
        assert "cannot be decoded" in refused(image).message

    def test_where_a_video_is_wanted_is_refused(self):
        error = refused(Image.new("RGB", (8, 8)), "o3-pro-edit", "video_url")
        assert error.message == "video_url: the value is an image, not a video."


class TestNumPy:
    @pytest.mark.parametrize("shape", [(6, 8, 3), (6, 8, 4), (6, 8), (6, 8, 1)])
    def test_shapes(self, shape):
        array = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
        assert np.array_equal(
            pixels(local_file(array)), array.reshape(shape[:2]) if shape[2:] == (1,) else array
        )

    def test_a_view_is_taken_as_it_is_seen(self):
        array = np.arange(6 * 8 * 3, dtype=np.uint8).reshape(6, 8, 3)
        assert np.array_equal(pixels(local_file(array[::-1, ::2])), array[::-1, ::2])

    @pytest.mark.parametrize(
        ("array", "message", "remedy"),
        [
            (np.zeros((6, 8, 3)), "type float64, not uint8", "(array * 255).round().astype('uint8')"),
            (np.full((6, 8), -1.0), "type float64", "((array + 1) * 127.5).round().astype('uint8')"),
            (np.full((6, 8), 99.5), "type float64", "array.round().astype('uint8')"),
            (np.full((6, 8), 400.0), "type float64", "Its values are from 400 to 400."),
            (np.full((6, 8), np.nan), "type float64", "numpy.nan_to_num(array)"),
            (np.full((6, 8, 3), 900, np.uint16), "type uint16", "(array // 257).astype('uint8')"),
            (np.full((6, 8), 200, np.int64), "type int64", "0 to 255: array.astype('uint8')"),
            (np.zeros((6, 8), bool), "type bool", "array.astype('uint8') * 255"),
            (np.full((6, 8), 1j), "type complex128", "Give numbers from 0 to 255"),
            (np.zeros((3, 6, 8), np.uint8), "has the shape 3×6×8", "numpy.moveaxis(array, 0, -1)"),
            (np.zeros((2, 6, 8, 3), np.uint8), "has the shape 2×6×8×3", "array[0]"),
            (np.zeros((6, 8, 2), np.uint8), "has the shape 6×8×2", "(height, width, 3)"),
            (np.zeros(48, np.uint8), "takes one file, and the array has 48 values", "kling_nb.sweep"),
            (np.array(7, np.uint8), "takes a URL, a path or bytes", "takes an image"),
            (np.zeros((0, 8, 3), np.uint8), "has no pixels (0×8×3)", "takes an image"),
        ],
    )
    def test_that_are_no_image_are_refused(self, array, message, remedy):
        error = refused(array)
        assert error.parameter == "image_url"
        assert message in error.message
        assert remedy in error.remedy


class TestAnythingThatIsAnArray:
    class Tensor:
        """As a tensor of another library: NumPy reads it through `__array__`."""

        def __init__(self, array=None):
            self._array = array

        def __array__(self, dtype=None, copy=None):
            if self._array is None:
                raise TypeError("can't convert cuda:0 device type tensor to numpy")
            return self._array

    def test_works(self):
        array = np.arange(6 * 8 * 3, dtype=np.uint8).reshape(6, 8, 3)
        assert build(self.Tensor(array)).fingerprint == build(array).fingerprint

    def test_that_cannot_be_read_is_refused_with_the_remedy(self):
        error = refused(self.Tensor())
        assert "cannot be read as an array (can't convert cuda:0" in error.message
        assert "tensor.detach().cpu().numpy()" in error.remedy


class TestBareBase64:
    def test_is_recognised_by_its_content(self):
        text = base64.b64encode(PNG).decode()
        lines = "\n".join(text[at : at + 60] for at in range(0, len(text), 60))
        assert build(text).fingerprint == build(lines).fingerprint == build(PNG).fingerprint

    def test_that_is_cut_off_is_refused_as_such(self):
        error = refused(base64.b64encode(PNG).decode()[:-3])
        assert "is base64 that cannot be decoded" in error.message

    def test_of_another_kind_is_named(self):
        assert "is an MP4 video, not an image" in refused(base64.b64encode(MP4 + bytes(99)).decode()).message

    def test_a_name_of_such_letters_is_still_a_path(self):
        assert "no such file" in refused("a" * 80).message


class TestOpenFile:
    def test_on_disk_is_not_read_into_memory(self, folder):
        (folder / "cat.png").write_bytes(PNG)
        with Path("cat.png").open("rb") as file:
            file.read()  # where it stands does not count
            found = local_file(file)
            assert file.tell() == len(PNG)
        assert (found.path, found.data, found.name) == (folder / "cat.png", None, "cat.png")
        assert found.read() == PNG

    def test_in_memory_counts_as_a_whole_and_stays_where_it_stood(self):
        buffer = io.BytesIO()
        Image.new("RGB", (8, 8), "teal").save(buffer, "PNG")
        stood = buffer.tell()
        assert local_file(buffer).read() == local_file(buffer).read() == PNG
        assert buffer.tell() == stood

    def test_that_was_just_written_counts_with_what_is_still_in_its_buffer(self):
        with tempfile.NamedTemporaryFile(suffix=".png") as file:
            file.write(PNG)
            assert local_file(file).read() == PNG

    def test_whose_file_was_replaced_is_read_itself(self, folder):
        (folder / "cat.png").write_bytes(PNG)
        with Path("cat.png").open("rb") as file:
            (folder / "new.png").write_bytes(png(color="red"))
            (folder / "new.png").replace(folder / "cat.png")
            found = local_file(file)
        assert (found.path, found.name, found.read()) == (None, "cat.png", PNG)

    def test_that_cannot_go_back(self):
        ours, theirs = socket.socketpair()
        with ours, theirs:
            theirs.sendall(PNG)
            theirs.shutdown(socket.SHUT_WR)
            with ours.makefile("rb") as file:
                assert local_file(file).read() == PNG

    def test_of_an_archive(self, folder):
        with zipfile.ZipFile("a.zip", "w") as archive:
            archive.writestr("cats/cat.png", PNG)
        with zipfile.ZipFile("a.zip") as archive, archive.open("cats/cat.png") as file:
            found = local_file(file)
        assert (found.name, found.read()) == ("cat.png", PNG)

    def test_that_is_closed_or_for_text_or_empty_is_refused(self, folder):
        (folder / "cat.png").write_bytes(PNG)
        with Path("cat.png").open("rb") as file:
            pass
        assert "cannot be read" in refused(file).message
        with Path("cat.png").open(encoding="latin-1") as file:
            error = refused(file)
        assert "is open for text" in error.message
        assert '"rb"' in error.remedy
        assert "open for text" in refused(io.StringIO("x")).message
        assert "is empty, or has been read already" in refused(io.BytesIO()).message

    def test_for_writing_only_is_refused(self):
        read, write = os.pipe()
        os.close(read)
        with os.fdopen(write, "wb") as file:
            assert "cannot be read" in refused(file).message

    def test_that_gives_no_bytes_is_refused(self):
        class Odd:
            def read(self, _size):
                return "text"

        assert "gives str, not bytes" in refused(Odd()).message

    def test_that_is_something_else_is_refused(self):
        assert "is an MP4 video, not an image" in refused(io.BytesIO(MP4)).message


class TestEarlierResult:
    def test_a_video_where_one_is_wanted(self, video):
        request = build(video, "o3-pro-edit", "video_url")
        file = request.files["video_url"]
        assert (file.path, file.content_type) == (video.path, "video/mp4")
        assert file.sha256 == hashlib.sha256(video.path.read_bytes()).hexdigest()
        assert request.input["video_url"] == str(video.path)

    def test_a_frame_of_it_where_an_image_is_wanted(self, video):
        for frame in (video.last_frame, video.frame(0.5), next(video.frames())):
            assert pixels(local_file(frame)).shape == (video.height, video.width, 3)
        assert build(video.last_frame).fingerprint == build(video.last_frame).fingerprint

    def test_the_error_for_a_video_in_place_of_an_image_names_what_to_give(self, video):
        error = refused(video)
        assert error.message == 'image_url takes an image, and "fox.mp4" is a whole video.'
        assert "video.last_frame" in error.remedy
        assert "video.frame(" in error.remedy

    def test_that_is_gone_says_how_to_get_it_back(self, video, tmp_path):
        copy = Video.from_file(video.save(tmp_path / "copy.mp4"))
        copy.path.unlink()
        error = refused(copy, "o3-pro-edit", "video_url")
        assert "no such file" in error.message
        assert error.remedy == "Run its cell again to get it back."


class TestPlaces:
    def test_every_form_in_a_list(self, folder, video):
        (folder / "a.png").write_bytes(PNG)
        with Path("a.png").open("rb") as file:
            given = [file, PNG, Image.open("a.png"), video.last_frame]
            request = build(given, "v1.6-pro-elements", "input_image_urls")
        assert sorted(request.files) == [f"input_image_urls.{index}" for index in range(4)]
        assert request.files["input_image_urls.0"].path == folder / "a.png"

    @pytest.mark.parametrize(
        "alone", [Image.new("RGB", (8, 8)), np.zeros((8, 8, 3), np.uint8), io.BytesIO(PNG)], ids=type
    )
    def test_one_alone_makes_a_list(self, alone):
        request = build(alone, "v1.6-pro-elements", "input_image_urls")
        assert list(request.files) == ["input_image_urls.0"]

    def test_inside_of_objects(self, video):
        elements = [
            {"frontal_image_url": video.last_frame, "reference_image_urls": [np.zeros((8, 8), np.uint8)]}
        ]
        request = build(elements, "v3-pro-image", "elements", start_image_url=URL)
        assert sorted(request.files) == ["elements.0.frontal_image_url", "elements.0.reference_image_urls.0"]

    def test_every_media_property_of_every_endpoint_takes_a_file(self, video):
        from kling_nb.catalog.shipped import endpoints
        from kling_nb.request.request import Coercion

        fitting = {"image": PNG, "video": video, "audio": b"RIFF\x24\0\0\0WAVEfmt " + bytes(64)}

        def given(schema):
            if "x-fal-media" in schema:
                return fitting[schema["x-fal-media"]]
            if schema.get("type") == "array":
                inner = given(schema.get("items", {}))
                return None if inner is None else [inner]
            parts = {name: given(part) for name, part in schema.get("properties", {}).items()}
            return {name: part for name, part in parts.items() if part is not None} or None

        def places(schema):
            if "x-fal-media" in schema:
                return 1
            inner = [*schema.get("properties", {}).values(), schema.get("items", {})]
            return sum(places(part) for part in inner if part)

        for each in [one for one in endpoints() if one.has_schema]:
            coercion = Coercion()
            coercion.convert(each.input_schema, given(each.input_schema) or {}, ())
            assert coercion.problems == []
            assert len(coercion.files) == places(each.input_schema)


class TestDataUri:
    def test_a_long_one_is_a_file(self):
        noise = Image.effect_noise((256, 256), 90)
        buffer = io.BytesIO()
        noise.save(buffer, "PNG")
        data = buffer.getvalue()
        request = build("data:image/png;base64," + base64.b64encode(data).decode())
        assert request.files["image_url"].read() == data
        assert request.input["image_url"] == f"sha256:{hashlib.sha256(data).hexdigest()}"


class TestAnyFileForUpload:
    def test_type_is_recognised_by_content_then_by_name(self, folder):
        (folder / "a.jpg").write_bytes(PNG)
        (folder / "notes.txt").write_text("notes")
        (folder / "blob").write_bytes(b"\0\1\2")
        assert for_upload("a.jpg").content_type == "image/png"
        assert for_upload("notes.txt").content_type == "text/plain"
        assert for_upload(Path("blob")).content_type == "application/octet-stream"
        assert for_upload("blob", "model/gltf-binary").content_type == "model/gltf-binary"
        assert for_upload(MP4).name == "file.mp4"
        assert for_upload("data:image/png;base64," + base64.b64encode(PNG).decode()).read() == PNG

    def test_a_url_stays_one(self):
        assert for_upload(URL) == URL

    @pytest.mark.parametrize(
        ("value", "content_type", "message"),
        [
            ("no.png", None, 'no such file "no.png"'),
            (b"", None, "has no bytes in it"),
            ("page.png", None, "is a web page (HTML), although its name is that of an image"),
            (MP4, "image/png", '"file.mp4" is a video, not "image/png"'),
            ("ftp://host/a", None, 'cannot be read from "ftp:"'),
            ("data:image/png;base64,abc", None, "cannot be decoded"),
            (7, None, "takes a URL, a path or bytes, not 7"),
        ],
    )
    def test_that_cannot_be_is_refused(self, folder, value, content_type, message):
        (folder / "page.png").write_text("<!doctype html><title>404</title>")
        with pytest.raises(MediaInputError) as caught:
            for_upload(value, content_type)
        assert message in caught.value.message
        assert len(str(caught.value).splitlines()) <= 4


class TestChanges:
    @pytest.fixture
    def stable(self, folder):
        """A file whose last change counts as long ago."""
        (folder / "cat.png").write_bytes(PNG)
        found = local_file("cat.png")
        seen = Path("cat.png").stat()
        stamp = (seen.st_dev, seen.st_ino, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns)
        return LocalFile(**{**vars(found), "stamp": stamp})

    def test_a_file_that_was_just_written_is_not_trusted_by_its_times(self, folder):
        (folder / "cat.png").write_bytes(PNG)
        file = local_file("cat.png")
        assert file.stamp is None
        (folder / "cat.png").write_bytes(png(color="red"))
        with pytest.raises(MediaInputError, match="has changed since the request was made"):
            file.verify()

    def test_an_untouched_file_is_the_same(self, stable):
        stamp = stable.verify()
        assert stamp == stable.stamp
        assert stable.verify(stamp) == stamp

    def test_a_touched_file_with_the_same_bytes_is_the_same(self, stable):
        Path("cat.png").write_bytes(PNG)
        assert stable.verify() is not None

    def test_a_file_that_is_written_to_between_two_looks_is_not(self, stable):
        stamp = stable.verify()
        with Path("cat.png").open("ab") as file:
            file.write(b"more")
        with pytest.raises(MediaInputError, match="has changed"):
            stable.verify(stamp)

    def test_bytes_never_change(self):
        assert local_file(PNG).verify() is None


def test_neither_pillow_nor_numpy_is_imported_for_a_path(folder):
    (folder / "cat.png").write_bytes(PNG)
    program = (
        "import sys; from kling_nb.request.request import VideoRequest\n"
        "from kling_nb.catalog.shipped import endpoint\n"
        "VideoRequest.build(endpoint('v1-pro-image'), {'prompt': 'x', 'image_url': 'cat.png'})\n"
        "print({'numpy', 'PIL', 'httpx', 'av'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
