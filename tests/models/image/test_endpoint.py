"""Image models behind an images endpoint, over real HTTP on loopback: what is sent, what comes back, and every way it fails."""

import base64
import email
import email.policy
import gzip
import io
import re
import socket
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor

import pytest
from PIL import Image

from gems.errors import ImageModelError, ModelSpecError
from gems.models import http
from gems.models.image import decode
from gems.models.image.base import ImageRequest
from gems.models.image.images_api import EndpointImage
from gems.models.options import ImageOptions
from gems.models.registry import image_model

from ...faulty_server import FaultyServer, Reply
from .acme import AcmeOptions

KEY = "sk-secret-of-mine-1234"
CAT = ImageRequest(prompt="a cat", seed=7)
SIZED = ImageRequest(prompt="a cat", negative_prompt="dogs", seed=7, width=48, height=32)
QUICK = {"retry-after-ms": "1"}


def png(size=(48, 32), color="red", mode="RGB", form="PNG"):
    buffer = io.BytesIO()
    Image.new(mode, size, color).save(buffer, form)
    return buffer.getvalue()


def drawn(data=None, **more):
    return Reply({"created": 1, "data": [{"b64_json": base64.b64encode(png() if data is None else data).decode()}], **more})


def of_acme(reply):
    """Give the image of an answer where Acme has it."""
    if callable(reply):
        return lambda request: of_acme(reply(request))
    if isinstance(reply.body, dict) and reply.body.get("data"):
        item = reply.body["data"][0]
        reply.body = {"canvas": (item.get("b64_json") or item.get("url")) if isinstance(item, dict) else None}
    return reply


def listed(owner="vllm", name="m", **more):
    return Reply({"object": "list", "data": [{"id": name, "object": "model", "created": 1, "owned_by": owner, **more}]})


def failed(status, message="", **more):
    return Reply({"error": {"message": message, **more}}, status=status, headers=QUICK)


@pytest.fixture
def server():
    with_faults = FaultyServer()
    yield with_faults
    threading.Thread(target=with_faults.close).start()  # which takes half a second, and nobody need wait for it


EVERY_BACKEND = pytest.mark.parametrize("backend", ["images API", "acme"])
"""What the base class of HTTP backends does for all of them."""


@pytest.fixture
def backend():
    return "images API"


@pytest.fixture
def model(server, monkeypatch, backend):
    """Build a model at the server, a vLLM-Omni by default, whose key is in GEMS_API_KEY."""
    monkeypatch.setenv("GEMS_API_KEY", KEY)

    def build(*replies, provider="vllm-omni", **options):
        server.replies = list(replies) or [drawn()]
        options = {"retries": 2, "timeout": 5, **options}
        if backend == "acme":
            server.replies = [of_acme(reply) for reply in server.replies]
            return AcmeOptions(model=f"acme:{server.url}#m", **options).make()
        return image_model(ImageOptions(model=f"{server.url}#m", provider=provider, **options))

    return build


def header(heard, name):
    return {key.lower(): value for key, value in heard.headers.items()}.get(name.lower())


def error_of(model, request=CAT):
    with pytest.raises(ImageModelError) as caught:
        model.generate([request])
    message = str(caught.value)
    assert "\n" not in message
    assert KEY not in "".join(traceback.format_exception(caught.value))
    return message


# What is sent


@pytest.mark.parametrize(
    ("provider", "body"),
    [
        ("sglang", {"response_format": "b64_json", "output_format": "png", "seed": 7, "negative_prompt": "dogs", "size": "48x32"}),
        ("vllm-omni", {"response_format": "b64_json", "seed": 7, "negative_prompt": "dogs", "size": "48x32"}),
        ("gems", {"response_format": "b64_json", "seed": 7, "negative_prompt": "dogs", "size": "48x32"}),
        ("openai", {"size": "48x32"}),
    ],
)
def test_a_request_becomes_one_call_in_the_providers_fields(server, model, provider, body):
    (image,) = model(provider=provider, set={"quality": "low"}).generate([SIZED])
    assert (image.mode, image.size, image.getpixel((0, 0))) == ("RGB", (48, 32), (255, 0, 0))
    (heard,) = server.heard
    assert (heard.method, heard.path) == ("POST", "/v1/images/generations")
    assert header(heard, "Authorization") == f"Bearer {KEY}"
    assert heard.json == {"model": "m", "prompt": "a cat", "n": 1, "quality": "low", **body}


def test_a_picture_is_edited_by_a_form(server, model):
    source = png(color="blue")
    request = SIZED.model_copy(update={"source": source, "prompt": "make it röd"})
    model(provider="gems", set={"strength": 0.5}).generate([request])
    (heard,) = server.heard
    assert heard.path == "/v1/images/edits"
    form = email.message_from_bytes(
        f"Content-Type: {header(heard, 'Content-Type')}\n\n".encode() + heard.data, policy=email.policy.HTTP
    )
    parts = {part.get_param("name", header="content-disposition"): part for part in form.iter_parts()}
    image = parts.pop("image")
    assert image.get_content_type() == "image/png"
    assert image.get_filename() == "image.png"
    assert image.get_payload(decode=True) == source
    assert {name: part.get_payload(decode=True).decode() for name, part in parts.items()} == {
        "model": "m", "prompt": "make it röd", "n": "1", "size": "48x32", "seed": "7", "negative_prompt": "dogs",
        "response_format": "b64_json", "strength": "0.5",
    }  # fmt: skip


def test_a_query_in_the_url_goes_along(server, monkeypatch):
    server.replies = [drawn()]
    image_model(ImageOptions(model=f"{server.url}?api-version=1#m", provider="openai")).generate([CAT])
    assert server.heard[0].path == "/v1/images/generations?api-version=1"


# Keys


def test_without_a_key_none_is_sent(server, model, monkeypatch):
    monkeypatch.delenv("GEMS_API_KEY")
    monkeypatch.setenv("OPENAI_API_KEY", KEY)  # is OpenAI's alone
    monkeypatch.setenv("OPENAI_ADMIN_KEY", KEY)
    model(provider=None).generate([CAT])
    assert [name for heard in server.heard for name, value in heard.headers.items() if KEY in value] == []
    assert [header(heard, "Authorization") for heard in server.heard] == [None, None]


def test_a_key_that_is_named_or_needed_must_be_there(monkeypatch):
    with pytest.raises(ModelSpecError, match=r"openai:gpt-image-2 needs a key: set OPENAI_API_KEY"):
        image_model(ImageOptions(model="openai:gpt-image-2"))
    with pytest.raises(ModelSpecError, match="needs a key: set MY_KEY"):
        image_model(ImageOptions(model="http://localhost:1/v1#m", key_env="MY_KEY"))
    monkeypatch.setenv("MY_KEY", f"{KEY}\u200b")
    with pytest.raises(ModelSpecError, match=r"the key in MY_KEY has characters") as caught:
        image_model(ImageOptions(model="http://localhost:1/v1#m", key_env="MY_KEY"))
    assert KEY not in str(caught.value)


def test_openai_is_asked_in_its_own_way(server, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", f"{KEY}\n")  # as from a file
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    server.replies = [drawn()]
    model = image_model(ImageOptions(model="openai:gpt-image-2", set={"quality": "low"}))
    model.generate([CAT])
    assert [heard.path for heard in server.heard] == ["/v1/images/generations"]
    assert server.heard[0].json == {"model": "gpt-image-2", "prompt": "a cat", "n": 1, "quality": "low"}
    assert header(server.heard[0], "Authorization") == f"Bearer {KEY}"
    assert model.can_edit
    assert model.truncated("x" * 32_000) is None
    assert model.truncated("x" * 32_000 + "tail") == "tail"
    assert "32,004 characters" in error_of(model, CAT.model_copy(update={"prompt": "x" * 32_004}))
    assert any("takes no seed" in caveat for caveat in model.caveats(CAT))


def test_settings_tell_models_apart_and_keep_secrets():
    options = ImageOptions(model="http://localhost:9/v1#a/b", provider="sglang", set={"guidance_scale": 4})
    model = EndpointImage(options, "http://me:hidden@localhost:9/v1", "a/b")
    assert model.name == "a/b"
    assert model.settings == {"model": "a/b", "host": "localhost:9", "provider": "sglang", "guidance_scale": 4}


@pytest.mark.parametrize("field", ["n", "stream", "prompt", "model", "image"])
def test_fields_that_would_break_one_picture_a_request_cannot_be_set(field):
    with pytest.raises(ImageModelError, match=f"the field '{field}' cannot be set"):
        image_model(ImageOptions(model="http://localhost:1/v1#m", set={field: 2}))


# Whose server it is


@pytest.mark.parametrize(
    ("owner", "field"), [("sglang", {"output_format": "png", "size": None}), ("vllm", {}), ("gems", {}), ("who", {})]
)
def test_a_server_is_asked_once_whose_it_is(server, model, owner, field):
    drawer = model(listed(owner), drawn(), provider=None)
    assert server.heard == []  # not before the first picture
    drawer.generate([CAT])
    drawer.generate([CAT])
    assert [heard.path for heard in server.heard] == ["/v1/models", "/v1/images/generations", "/v1/images/generations"]
    common = {"model": "m", "prompt": "a cat", "n": 1, "seed": 7, "response_format": "b64_json"}
    assert server.heard[1].json == server.heard[2].json == {**common, **field}
    assert bool([c for c in drawer.caveats(CAT) if "does not say whose it is" in c]) is (owner == "who")


def test_parallel_first_pictures_ask_once(server, model):
    model(lambda request: listed() if request.method == "GET" else drawn(), provider=None).generate([CAT] * 4)
    assert [heard.method for heard in server.heard].count("GET") == 1


@pytest.mark.parametrize("answer", [Reply(b"<html>", content_type="text/html"), Reply([1]), Reply({"data": 3}), failed(404)])
def test_a_server_without_a_list_of_models_is_sent_the_common_fields(server, model, answer):
    model(answer, drawn(), provider=None).generate([CAT])
    assert server.heard[1].json["response_format"] == "b64_json"


def test_a_server_that_was_still_starting_is_asked_again(server, model):
    drawer = model(failed(503), drawn(), listed("sglang"), drawn(), provider=None)
    drawer.generate([CAT])
    drawer.generate([CAT])
    assert "output_format" in server.heard[3].json


def test_the_server_says_whether_its_model_edits(server, model):
    chat = {"id": "chat", "owned_by": "gems", "kind": "chat"}
    cards = [chat, {"id": "m", "owned_by": "gems", "can_edit": True}]
    assert model(Reply({"data": cards}), provider=None).can_edit
    assert not model(listed("sglang", supported_task_types=["T2I"]), provider=None).can_edit


# Fields that a server refuses


def test_a_field_that_the_server_does_not_know_is_left_out_from_then_on(server, model):
    def picky(request):
        if request.method == "GET":
            return listed("someone")
        for field in ("response_format", "seed", "negative_prompt"):
            if field in request.json:
                return failed(400, f"Unknown parameter: '{field}'.", param=field, code="unknown_parameter")
        return drawn()

    drawer = model(picky, provider=None)
    drawer.generate([SIZED])
    drawer.generate([SIZED])
    sent = [set(heard.json) & {"response_format", "seed", "negative_prompt"} for heard in server.heard if heard.data]
    assert [len(fields) for fields in sent] == [3, 2, 1, 0, 0]
    said = drawer.caveats(SIZED)
    assert "the images endpoint takes no seed: the same request gives another image each time" in said
    assert "the images endpoint takes no negative prompt: it was left out" in said


def test_a_field_that_the_user_set_is_not_left_out_in_silence(server, model):
    drawer = model(failed(400, "Unknown parameter: 'seed'.", param="seed", code="unknown_parameter"), set={"seed": 5})
    assert "Unknown parameter: 'seed'" in error_of(drawer)
    assert len(server.heard) == 1


# Errors of the server


@EVERY_BACKEND
def test_what_passes_is_tried_again(server, model):
    drawer = model(failed(429), failed(500), drawn())
    assert drawer.generate([CAT])[0].size == (48, 32)
    assert len(server.heard) == 3
    assert server.heard[0].json == server.heard[2].json


@EVERY_BACKEND
@pytest.mark.parametrize(
    ("status", "said", "tries"),
    [
        (429, r"answered 429: slow down\. Try again later", 3),
        (500, r"answered 500: slow down\. Look at its log", 3),
        (502, r"answered 502: slow down", 3),
        (520, r"answered 520: slow down", 3),
        (400, r"refused the request \(400\): slow down", 1),
        (403, r"refused the request \(403\): slow down", 1),
    ],
)
def test_an_error_says_what_the_server_said(server, model, status, said, tries):
    message = error_of(model(failed(status, "slow\ndown.")))
    assert re.search(said, message), message
    assert server.url.split("/")[2] in message
    assert len(server.heard) == tries


@EVERY_BACKEND
def test_a_server_that_wants_an_hour_of_patience_is_not_waited_for(server, model):
    busy = failed(429, "come back later")
    busy.headers = {"Retry-After": "3600"}
    assert "answered 429: come back later." in error_of(model(busy))
    assert len(server.heard) == 1


@EVERY_BACKEND
def test_a_wait_that_the_server_asks_for_is_waited(server, model):
    busy = failed(429)
    busy.headers = {"Retry-After": "0.01"}
    model(busy, drawn()).generate([CAT])
    assert len(server.heard) == 2


@EVERY_BACKEND
@pytest.mark.parametrize(("status", "reason"), [(502, "Bad Gateway"), (599, "it does not say why")])
def test_a_page_of_a_proxy_is_not_quoted(model, status, reason):
    page = Reply(b"<html><body>nginx</body></html>", status=status, content_type="text/html", headers=QUICK)
    message = error_of(model(page))
    assert f"answered {status}: {reason}." in message
    assert "<" not in message


@EVERY_BACKEND
def test_a_refused_key_is_named_and_not_shown(server, model):
    refused = failed(401, f"Incorrect API key provided: {KEY}.")
    assert error_of(model(refused)).endswith("answered 401: the key in GEMS_API_KEY was refused")
    assert len(server.heard) == 1
    assert "not *** enough" in error_of(model(failed(400, f"not {KEY} enough")))


@EVERY_BACKEND
def test_a_server_that_wants_a_key_says_so(model, monkeypatch):
    monkeypatch.delenv("GEMS_API_KEY")
    assert error_of(model(failed(401))).endswith("it wants a key: set GEMS_API_KEY")


def test_a_model_that_is_not_there_is_told_with_those_that_are(model):
    assert error_of(model(failed(404, "no such model"), listed(name="z-image"))).endswith("has no model 'm': it serves z-image")
    assert "does the address end in /v1" in error_of(model(failed(404)))
    assert "instead of JSON: does the address end in /v1?" in error_of(model(Reply(b"<html>", content_type="text/html")))


@EVERY_BACKEND
@pytest.mark.parametrize("code", ["moderation_blocked", "content_policy_violation"])
def test_a_request_refused_for_its_content_is_not_repeated(server, model, code):
    message = error_of(model(failed(400, "Your request was rejected by the safety system.", code=code)))
    assert "refused to draw this, because of its content: Your request was rejected" in message
    assert len(server.heard) == 1


@EVERY_BACKEND
def test_a_redirect_is_not_followed(server, model):
    message = error_of(model(Reply(status=307, headers={"Location": "http://127.0.0.1:1/elsewhere"})))
    assert "answered 307 and sends elsewhere" in message
    assert len(server.heard) == 1


# Errors on the way


@EVERY_BACKEND
def test_a_server_that_hangs_is_given_up(server, model):
    message = error_of(model(Reply(hang=30), timeout=0.3, retries=1))
    assert "did not answer within 0.3 s after 2 tries" in message
    assert len(server.heard) == 2


def test_a_server_that_is_not_there_is_told(monkeypatch):
    monkeypatch.setenv("GEMS_API_KEY", KEY)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://u:pw@127.0.0.1:{unused.getsockname()[1]}/v1"
        options = ImageOptions(model="openai:m", key_env="GEMS_API_KEY", retries=0)
        message = error_of(EndpointImage(options, url, "m"))
    assert "at the only try" in message
    assert message.endswith("is the server running there?")
    assert "pw" not in message


@EVERY_BACKEND
def test_a_connection_lost_in_mid_answer_is_tried_again(server, model):
    cut = drawn()
    cut.reset_after = 40
    assert model(cut, drawn()).generate([CAT])[0].size == (48, 32)
    assert len(server.heard) == 2
    assert "broke off its answer" in error_of(model(cut, retries=0))


def test_an_answer_that_drips_is_given_up():
    def drip(listener):
        connection, _ = listener.accept()
        with connection:
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
            try:
                while not given_up.wait(0.05):
                    connection.sendall(b" ")
            except OSError:
                pass

    given_up = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=drip, args=[listener], daemon=True).start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        drawer = image_model(ImageOptions(model=f"{url}#m", provider="gems", timeout=0.3, retries=0))
        assert "did not answer within 0.3 s" in error_of(drawer)
        given_up.set()


# Answers of no use


@EVERY_BACKEND
@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (
            Reply(b"<html>", content_type="text/html; charset=utf-8"),
            "answered with text/html instead of JSON: ",
        ),
        (Reply(b"[" * 100_000), "instead of JSON"),
        (Reply({"created": 1}), "without an image"),
        (Reply([]), "without an image"),
        (Reply({"data": []}), "without an image"),
        (Reply({"data": [None]}), "without an image"),
        (Reply({"data": [{"b64_json": None}]}), "without an image"),
        (Reply({"data": [{"b64_json": 7}]}), "without an image"),
        (Reply({"error": {"message": "out of memory"}}), r"without an image (out of memory)"),
        (Reply({"data": [{"b64_json": "no*base64"}]}), "not valid base64"),
        (Reply({"data": [{"b64_json": "abc"}]}), "not valid base64"),
        (drawn(b""), "without an image"),
        (drawn(b"hello"), "not an image"),
        (drawn(b"<svg/>"), "not an image"),
        (drawn(png(form="GIF")), "not an image"),
        (drawn(png()[:60]), "damaged"),
        (drawn(png(form="JPEG")[:-20]), "damaged"),
        (drawn(png()[:20]), "not an image"),
    ],
)
def test_an_answer_of_no_use_says_why(server, model, reply, said):
    assert said in error_of(model(reply))
    assert len(server.heard) == 1


@EVERY_BACKEND
@pytest.mark.parametrize(("mode", "size"), [("L", (10_000, 10_000)), ("1", (20_000, 10_000))])
def test_a_picture_too_large_is_refused_before_its_pixels_are_read(model, monkeypatch, mode, size):
    huge = drawn(png(size, 0, mode))
    monkeypatch.setattr(decode.PngImagePlugin.PngImageFile, "load", lambda self: pytest.fail("pixels were read"))
    assert f"{size[0]}x{size[1]} pixels: at most 64,000,000 are taken" in error_of(model(huge))


@EVERY_BACKEND
def test_an_answer_too_long_is_not_read(server, model, monkeypatch):
    announced = drawn()
    announced.headers["Content-Length"] = str(10**12)
    assert "longer than 134,217,728 bytes" in error_of(model(announced))
    monkeypatch.setattr(http, "MAX_BYTES", 50)
    body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(drawn().data()), drawn().data())
    unannounced = Reply(body, headers={"Transfer-Encoding": "chunked", "Content-Length": "10"})
    assert "longer than 50 bytes" in error_of(model(unannounced))
    assert len(server.heard) == 2


def test_a_compressed_answer_is_read_though_it_is_not_asked_for(server, model):
    packed = Reply(gzip.compress(drawn().data()), headers={"Content-Encoding": "gzip"})
    assert model(packed).generate([CAT])[0].size == (48, 32)
    assert header(server.heard[0], "Accept-Encoding") == "identity"
    packed.headers["Content-Encoding"] = "br"
    assert "compressed in another way" in error_of(model(packed))


# Pictures in other forms


@EVERY_BACKEND
@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP"])
def test_pictures_come_as_rgb(model, form):
    (image,) = model(drawn(png(form=form))).generate([CAT])
    assert image.mode == "RGB"
    assert all(abs(a - b) < 8 for a, b in zip(image.getpixel((5, 5)), (255, 0, 0), strict=True))


@EVERY_BACKEND
def test_what_is_transparent_is_white(model):
    clear, half = png(color=(255, 0, 0, 0), mode="RGBA"), png(color=(255, 0, 0, 128), mode="RGBA")
    assert model(drawn(clear)).generate([CAT])[0].getpixel((0, 0)) == (255, 255, 255)
    assert model(drawn(half)).generate([CAT])[0].getpixel((0, 0)) == (255, 127, 127)


@EVERY_BACKEND
def test_another_size_than_asked_for_is_taken_and_said(model):
    drawer = model(drawn(png((16, 16))))
    (image,) = drawer.generate([SIZED])
    assert image.size == (16, 16)
    assert drawer.caveats(SIZED) == ["m gave 16x16 pixels where 48x32 were requested"]
    assert drawer.caveats(CAT) == []


def test_what_the_server_warns_of_is_passed_on(model):
    drawer = model(drawn(warnings=["sketcher takes no\nnegative prompt"]), provider="gems")
    drawer.generate([SIZED])
    assert drawer.caveats(SIZED) == ["sketcher takes no negative prompt"]


@pytest.mark.parametrize("url", ["/v1/images/7/content", "{server}/images/7/content", "images/7/content"])
def test_a_picture_on_the_server_itself_is_fetched(server, model, url):
    def answer(request):
        if request.method == "POST":
            return Reply({"data": [{"url": url.format(server=server.url)}]})
        return Reply(png(color="blue"), content_type="image/png")

    (image,) = model(answer).generate([CAT])
    assert image.getpixel((0, 0)) == (0, 0, 255)
    assert [heard.path for heard in server.heard][1].endswith("/images/7/content")


def test_a_picture_in_a_data_url_is_read(model):
    url = "data:image/png;base64," + base64.b64encode(png(color="blue")).decode()
    (image,) = model(Reply({"data": [{"url": url}]})).generate([CAT])
    assert image.getpixel((0, 0)) == (0, 0, 255)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1/x.png", "https://bucket.example/x.png", "file:///etc/passwd", "//other/x.png", "ftp://127.0.0.1/x"]
)
def test_a_picture_elsewhere_is_not_fetched(server, model, url):
    assert "which is not fetched: set response_format to b64_json" in error_of(model(Reply({"data": [{"url": url}]})))
    assert len(server.heard) == 1


def test_an_address_that_is_none_is_told(model):
    assert "an address that is none" in error_of(model(Reply({"data": [{"url": "http://[bad"}]})))
    with pytest.raises(ImageModelError, match="http://localhost:port/v1 is not understood"):
        image_model(ImageOptions(model="http://localhost:port/v1#m"))


def test_a_picture_that_is_gone_is_told(model):
    assert "answered 404 for the URL of its image" in error_of(model(Reply({"data": [{"url": "/x"}]}), failed(404)))


# Several at once


def test_pictures_come_in_the_order_of_the_requests(server, model):
    def by_seed(request):
        seed = request.json["seed"]
        reply = drawn(png((seed + 1, 1)))
        reply.hang = 0.1 * (4 - seed)
        return reply

    requests = [ImageRequest(prompt="a cat", seed=seed) for seed in range(5)]
    images = model(by_seed, in_flight=5).generate(requests)
    assert [image.width for image in images] == [1, 2, 3, 4, 5]
    assert server.most_at_once > 1


def test_calls_in_flight_are_limited_over_all_models_of_a_host(server, model):
    lock, at_once = threading.Lock(), []

    def slow(request):  # it counts itself: the server's own count goes down only after the answer is out
        with lock:
            at_once.append(at_once[-1] + 1 if at_once else 1)
        time.sleep(0.03)
        with lock:
            at_once.append(at_once[-1] - 1)
        return drawn()

    first, second = model(slow, in_flight=2), model(slow, in_flight=2)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda drawer: drawer.generate([CAT] * 4), [first, second]))
    assert len(server.heard) == 8
    assert max(at_once) == 2
    assert first.parallel == 2


def test_after_an_error_what_has_not_begun_is_not_begun(server, model):
    with pytest.raises(ImageModelError, match="refused the request"):
        model(failed(400, "no"), in_flight=1).generate([CAT] * 20)
    assert len(server.heard) < 20
