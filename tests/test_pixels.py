"""Images of every mode and with odd files come out as a person would see them, or with one clear error."""

import base64
import io
import struct
import time
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms

from gems import ImageModel, run
from gems.errors import ImageModelError, ImageStoreError
from gems.models.image.base import ImageRequest, generate_rgb
from gems.models.image.decode import decode_image
from gems.pixels import to_rgb
from gems.server.errors import ApiError
from gems.server.image_codec import source_png
from gems.storage.image_store import ImageStore

RED, WHITE = (255, 0, 0), (255, 255, 255)


def encoded(image, form="PNG", **options):
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def with_chunk(data, kind, content):
    """Put a chunk behind the header of a PNG."""
    return data[:33] + chunk(kind, content) + data[33:]


def ramp(dtype=np.uint16):
    return Image.fromarray(np.linspace(0, 65535, 6).astype(dtype).reshape(1, 6))


def half_clear(mode):
    image = Image.new("RGBA", (2, 1), (255, 0, 0, 255))
    image.putpixel((0, 0), (0, 0, 0, 0))
    return image.convert(mode)


def turned():
    image = Image.new("RGB", (16, 32), "white")
    image.paste(RED, (0, 16, 16, 32))
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter to the right
    return encoded(image, "JPEG", exif=exif, quality=95)


def profile(space):
    return ImageCms.ImageCmsProfile(ImageCms.createProfile(space)).tobytes()


def swapped():
    """Return a profile of RGB in which red and green are each other."""
    data = profile("sRGB")
    data = data.replace(b"rXYZ", b"xXYZ", 1).replace(b"gXYZ", b"rXYZ", 1).replace(b"xXYZ", b"gXYZ", 1)
    return data.replace("sRGB".encode("utf-16-be"), "mine".encode("utf-16-be"))


def readers(tmp_path):
    """Every way that an image comes in by, from the bytes of a PNG, a JPEG or a WebP."""
    store = ImageStore(tmp_path / "store")
    return {
        "endpoint": decode_image,
        "edit source": lambda data: Image.open(io.BytesIO(source_png(data, 10**8, "image"))),
        "store": lambda data: store.open(store.put(Image.open(io.BytesIO(data)))),
    }


RED_PIXEL = Image.new("RGB", (1, 1), RED)
CASES = {
    "16-bit grey": (encoded(ramp()), [(v, v, v) for v in (0, 51, 102, 153, 204, 255)]),
    "16-bit grey, its black clear": (encoded(ramp(), transparency=0), [WHITE, *((v, v, v) for v in (51, 102, 153, 204, 255))]),
    "RGBA": (encoded(half_clear("RGBA")), [WHITE, RED]),
    "WebP": (encoded(half_clear("RGBA"), "WEBP", lossless=True), [WHITE, RED]),
    "LA": (encoded(half_clear("LA")), [WHITE, (76, 76, 76)]),
    "grey, its black clear": (encoded(Image.fromarray(np.uint8([[0, 255]])), transparency=0), [WHITE, WHITE]),
    "RGB, its black clear": (encoded(half_clear("RGB"), transparency=(0, 0, 0)), [WHITE, RED]),
    "CMYK": (encoded(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG", quality=100), [RED] * 64),
    "palette, clear in part": (encoded(half_clear("RGBA").quantize(4)), [WHITE, RED]),
    "1 bit": (encoded(Image.new("1", (2, 1), 1)), [WHITE, WHITE]),
    "sRGB": (encoded(RED_PIXEL, icc_profile=profile("sRGB")), [RED]),
    "another RGB": (encoded(RED_PIXEL, icc_profile=swapped()), [(0, 255, 0)]),
    "RGB with the profile of another space": (encoded(RED_PIXEL, icc_profile=profile("LAB")), [RED]),
    "a profile of junk": (encoded(RED_PIXEL, icc_profile=b"junk"), [RED]),
    "grey with the profile of another space": (encoded(Image.new("L", (1, 1), 7), icc_profile=profile("sRGB")), [(7, 7, 7)]),
    "EXIF data of junk": (with_chunk(encoded(RED_PIXEL), b"eXIf", b"MM\0*\xff\xff\xff\xff"), [RED]),
}


@pytest.mark.parametrize("way", ["endpoint", "edit source", "store"])
@pytest.mark.parametrize(("data", "pixels"), CASES.values(), ids=CASES)
def test_an_image_comes_out_as_a_person_sees_it(tmp_path, way, data, pixels):
    image = readers(tmp_path)[way](data)
    assert image.mode == "RGB"
    assert "icc_profile" not in image.info
    assert np.abs(np.int16(image.get_flattened_data()) - np.int16(pixels)).max() <= 1


@pytest.mark.parametrize("way", ["endpoint", "edit source", "store"])
def test_an_image_is_turned_as_its_file_says(tmp_path, way):
    image = readers(tmp_path)[way](turned())
    assert image.size == (32, 16)
    assert image.getpixel((4, 8))[1] < 20 < 235 < image.getpixel((28, 8))[1]


@pytest.mark.parametrize("way", ["endpoint", "edit source"])
@pytest.mark.parametrize(
    ("kind", "head"),
    [
        (b"zTXt", b"flow\0\0"),
        (b"iTXt", b"flow\0\1\0\0\0"),
        (b"iCCP", b"wide\0\0"),
        (b"iCCP", b""),
        (b"tEXt", b"flow\0"),
    ],
)
def test_long_texts_and_profiles_do_not_keep_an_image_from_being_read(tmp_path, way, kind, head):
    content = b"x" * 3_000_000
    data = encoded(Image.new("RGB", (2, 2), RED))
    before = with_chunk(data, kind, head + (content if kind == b"tEXt" else zlib.compress(content)))
    after = data[:-12] + chunk(kind, head + zlib.compress(content)) + data[-12:]
    for one in (before, after):
        assert readers(tmp_path)[way](one).getpixel((0, 0)) == RED


def no_palette(clear):
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 3, 0, 0, 0))
    clear = chunk(b"tRNS", b"\0\x80") if clear else b""
    return b"\x89PNG\r\n\x1a\n" + head + clear + chunk(b"IDAT", zlib.compress(b"\0\0")) + chunk(b"IEND", b"")


@pytest.mark.parametrize(("way", "error"), [("endpoint", ImageModelError), ("edit source", ApiError), ("store", ImageStoreError)])
@pytest.mark.parametrize("clear", [False, True])
def test_a_palette_that_is_missing_is_one_clear_error(tmp_path, way, error, clear):
    with pytest.raises(error, match="damaged: send it anew" if way == "edit source" else "its palette is missing"):
        readers(tmp_path)[way](no_palette(clear))


def animated(width, height):
    """Return a WebP whose canvas is much larger than its frames."""
    frames = [Image.new("RGB", (32, 32), color) for color in ("red", "blue")]
    data = bytearray(encoded(frames[0], "WEBP", save_all=True, append_images=frames[1:], lossless=True))
    data[24:30] = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return bytes(data)


def test_a_small_webp_with_a_canvas_that_no_webp_has_is_refused_at_once(tmp_path):
    began = time.process_time()
    with pytest.raises(ImageModelError, match="has 1245216x32 pixels: at most 64,000,000 are taken, and 16,383 a side of a WebP"):
        decode_image(animated(1245216, 32))
    with pytest.raises(ApiError, match="too many pixels"):
        source_png(animated(1245216, 32), 10**8, "image")
    assert time.process_time() - began < 0.2


@pytest.mark.parametrize(
    "mode", ["RGB", "RGBA", "RGBa", "RGBX", "L", "LA", "La", "1", "P", "PA", "CMYK", "YCbCr", "HSV", "LAB", "I;16", "I;16B"]
)
def test_an_image_of_any_mode_becomes_rgb_and_stays_as_it_was(mode):
    image = Image.new(mode, (4, 3))
    before = image.tobytes(), dict(image.info)
    made = to_rgb(image)
    assert (made.mode, made.size) == ("RGB", (4, 3))
    assert (image.tobytes(), dict(image.info)) == before


class Mine(ImageModel):
    """Gives what it was told to."""

    name = "mine"

    def __init__(self, given):
        self.given = given

    def generate(self, requests):
        return self.given


PICTURE = Image.new("RGB", (8, 8), RED)
REQUEST = ImageRequest(prompt="a red circle", seed=0)
ARRAY = np.zeros((8, 8, 3), np.uint8)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (None, "and returned None"),
        (PICTURE, "and returned PIL.Image.Image"),
        (encoded(PICTURE), "and returned bytes"),
        (7, "and returned int"),
        ([], "and gave 0 images for 1"),
        ([PICTURE, PICTURE], "and gave 2 images for 1"),
        ([None], "and there was None in it"),
        ([encoded(PICTURE)], "and there was bytes in it"),
        ([[PICTURE]], "and there was list in it"),
        ([ARRAY], "and there was numpy.ndarray in it; an array of 8 bits becomes one by PIL.Image.fromarray"),
        (ARRAY[None], "and there was numpy.ndarray in it; an array"),
        ([Image.new("RGB", (0, 8))], "and one has no pixels"),
        ([Image.new("F", (8, 8))], "and one cannot be read: levels of mode F have no fixed range: convert it to RGB"),
    ],
)
def test_a_model_that_returns_something_else_gets_one_clear_error(given, said):
    with pytest.raises(ImageModelError) as error:
        generate_rgb(Mine(given), [REQUEST])
    assert str(error.value).startswith(f"the image model 'mine' must return a list with one PIL image for each request, {said}")


def test_a_run_ends_with_that_error(tmp_path):
    with pytest.raises(ImageModelError, match="the image model 'mine' must return a list"):
        run("a red circle", image=Mine(None), preset="original", runs=tmp_path)


@pytest.mark.parametrize(
    "given", [(PICTURE,), iter([PICTURE]), [half_clear("RGBA")], [Image.open(io.BytesIO(encoded(PICTURE)))]], ids=range(4)
)
def test_what_is_clear_is_taken(given):
    [image] = generate_rgb(Mine(given), [REQUEST])
    assert image.mode == "RGB"
    assert image.getpixel((1, 0)) == RED


def test_a_served_model_is_asked_for_the_same():
    from starlette.testclient import TestClient

    from gems.models.shapes import shapes_chat
    from gems.server import create_app

    for given, status in [(None, 500), ([half_clear("RGBA")], 200)]:
        answer = TestClient(create_app(shapes_chat(), Mine(given))).post("/v1/images/generations", json={"prompt": "a"})
        assert answer.status_code == status
    image = Image.open(io.BytesIO(base64.b64decode(answer.json()["data"][0]["b64_json"])))
    assert list(image.get_flattened_data()) == [WHITE, RED]
