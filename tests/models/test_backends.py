"""Backends by scheme: those of GEMS and of other distributions, options of their own, and models that are loaded once."""

import inspect
import json
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from gems import Gems, write_gallery
from gems.errors import ImageModelError, ModelSpecError
from gems.models.backends import BUILT_IN
from gems.models.image.diffusers import DiffusersImage
from gems.models.image.families import RESERVED
from gems.models.options import ChatOptions, ImageOptions, ModelOptions, without_hosts_and_folders
from gems.models.registry import chat_model, image_model
from gems.models.shapes import CALL_OPTIONS, WEIGHTS

from .image.acme import AcmeOptions

PLAIN = """
from PIL import Image
from gems import ImageModel
from gems.models.options import ImageOptions

class PlainOptions(ImageOptions):
    spec, about = "plain:COLOUR", "one colour"
    border: int = 0
    def make(self):
        return PlainImage(self)

class PlainImage(ImageModel):
    def __init__(self, options):
        self.name = options.model.partition(":")[2]
    def generate(self, requests):
        return [Image.new("RGB", (64, 64), self.name) for _ in requests]
"""

MINE = """
from gems.models.options import ChatOptions
from gems.models.shapes import shapes_chat

class MineOptions(ChatOptions):
    spec = "mine:NAME"
    def make(self):
        return shapes_chat()
"""


REMOTE = """
from gems.models.image.http_image import HttpImage, HttpImageOptions

class RemoteOptions(HttpImageOptions):
    spec = "remote:NAME"
    retries: int = 0
    def make(self):
        return RemoteImage(self, "http://127.0.0.1:1/v2", "large")

class RemoteImage(HttpImage):
    def draw(self, request):
        return self.inline_image("", self.post("/paint", json={}))
"""


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Install a distribution `gems-plain` with a module and entry points."""

    def distribution(code=PLAIN, value="gems_plain:PlainOptions", group="gems.image_models", scheme="plain"):
        site = tmp_path / "site"
        info = site / "gems_plain-1.2.dist-info"
        info.mkdir(parents=True)
        (site / "gems_plain.py").write_text(code)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: gems-plain\nVersion: 1.2\n")
        (info / "entry_points.txt").write_text(f"[{group}]\n{scheme} = {value}\n")
        monkeypatch.syspath_prepend(site)
        monkeypatch.delitem(sys.modules, "gems_plain", raising=False)

    return distribution


def test_a_distribution_adds_an_image_backend_in_fifteen_lines(install, command):
    assert command("run", "a red circle", "--image", "plain:navy")[0] == 2
    install()
    code, out, error = command("run", "a red circle", "--image", "plain:navy", "--preset", "original", "--json")
    assert code == 0, error
    assert json.loads(out)["usage"]["images"] == 1
    assert image_model("plain:navy").generate([None])[0].getpixel((0, 0)) == (0, 0, 128)
    assert ImageOptions(model="plain:navy", border=3).border == 3
    assert f"image models: {', '.join([*BUILT_IN['image'], 'plain'])}\n" in command("doctor", "--no-draw")[1]
    with pytest.raises(ModelSpecError, match=r"the image model plain:navy has no option device: its options are border, price"):
        ImageOptions(model="plain:navy", device="cpu")
    with pytest.raises(ModelSpecError, match=r"'plain' is not understood: write shapes, .*, plain:COLOUR"):
        image_model("plain")


def test_a_distribution_adds_a_chat_backend(install):
    install(MINE, "gems_plain:MineOptions", "gems.chat_models", "mine")
    assert chat_model("mine:x").model_name == "shapes-chat"


@pytest.mark.parametrize(
    ("kind", "distribution"),
    [
        ("image", (PLAIN.replace('.partition(":")', '.rpartition("/")'),)),
        ("chat", (MINE, "gems_plain:MineOptions", "gems.chat_models", "plain")),
    ],
)
def test_of_a_folder_of_another_backend_only_the_name_is_kept(install, tmp_path, kind, distribution):
    install(*distribution)
    model = {kind: f"plain:{tmp_path}/navy"}
    with Gems(runs=tmp_path / "runs", **model) as client:
        done = client.run("a red circle", preset="original")
    assert getattr(done.models, kind).model == "plain:…/navy"
    files = [path for path in (tmp_path / "runs").rglob("*") if path.is_file()]
    assert not [path for path in files if f"{tmp_path}/navy".encode() in path.read_bytes()]
    with pytest.raises(ModelSpecError, match=f"in a folder navy, whose path is not kept: add --{kind} plain:FOLDER"):
        Gems(runs=tmp_path / "runs").resume(done.thread)
    assert Gems(runs=tmp_path / "runs", **model).resume(done.thread).image == done.image


@pytest.mark.parametrize(
    ("code", "value", "why"),
    [
        ("import nowhere_to_be_found", "gems_plain:PlainOptions", "ModuleNotFoundError: No module named 'nowhere_to_be_found'"),
        ("", "gems_plain:PlainOptions", "AttributeError"),
        ("class PlainOptions: pass", "gems_plain:PlainOptions", "gems_plain:PlainOptions is not a subclass of ImageOptions"),
    ],
)
def test_a_distribution_that_is_broken_is_named_and_hinders_no_other(install, code, value, why):
    install(code, value)
    with pytest.raises(ModelSpecError, match=rf"the image backend 'plain' of gems-plain 1.2 cannot be used \({why}.*uninstall"):
        image_model("plain:navy")
    assert image_model("card").name == "card"
    with pytest.raises(ModelSpecError, match=r"write shapes, (?!.*plain).*, card"):
        image_model("pain")
    stored = {"image": {"model": "plain:navy", "border": 3}}  # a run can be listed though its model cannot be made
    assert ModelOptions.model_validate(stored).model_dump()["image"] == {**stored["image"], "price": None}


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"model": "openai:gpt-image-2", "device": "cuda"}, "device"),
        ({"model": "shapes", "provider": "gems"}, "provider"),
        ({"model": "shapes", "offload": "model"}, "offload"),
        ({"model": "diffusers:a/b", "timeout": 3}, "timeout"),
        ({"model": "card", "set": {"style": 1}}, "set"),
    ],
)
def test_an_option_of_another_image_backend_is_refused_by_name(options, name):
    with pytest.raises(ModelSpecError, match=rf"the image model {options['model']} has no option {name}: its options are .*price"):
        ImageOptions(**options)


@pytest.mark.parametrize("options", [{"temperature": 0.0}, {"thinking": False}, {"model": "random", "max_tokens": 9}])
def test_an_option_of_another_chat_backend_is_refused_by_name(options):
    with pytest.raises(ModelSpecError, match=r"has no option .*: its options are price_input, price_output"):
        ChatOptions(**options)


def test_an_option_that_is_not_given_is_none_of_another_backend():
    assert ImageOptions(model="openai:m", device=None) == ImageOptions(model="openai:m")


def test_records_of_earlier_versions_hold_the_options_of_all_backends():
    flat = {"call": {}, "device": "cuda:9", "dtype": None, "offload": "none", "batch": None, "wait": None, "provider": None}
    flat |= {"timeout": 300.0, "retries": 4, "in_flight": 4, "key_env": None, "price": 0.5}
    chat = {"model": "shapes", "thinking": None, "temperature": 1.0, "in_flight": 8, "extra_body": {}, "price_input": 2.0}
    record = {"chat": chat, "roles": {"verifier": chat}, "image": {"model": "openai:m", **flat}}
    models = ModelOptions.model_validate(record)
    assert models.chat == models.roles["verifier"] == ChatOptions(price_input=2.0)
    assert models.image == ImageOptions(model="openai:m", price=0.5)
    assert ModelOptions.model_validate_json(models.model_dump_json()) == models


@pytest.mark.parametrize("model", ["shapes", f"diffusers:{WEIGHTS}"])
@pytest.mark.parametrize(
    ("call", "why"),
    [
        ({"max_rounds": 2}, r"has no option 'max_rounds': it is a setting of the run: use its option .*max_rounds under \[run\]"),
        ({"num_inference_step": 2}, r"did you mean num_inference_steps\?"),
        ({"generator": 2}, "comes from the requests"),
    ],
)
def test_an_option_that_the_call_does_not_have_is_refused_before_the_weights_are_loaded(monkeypatch, model, call, why):
    monkeypatch.setattr(DiffusersImage, "load", lambda self: pytest.fail("weights were loaded"))
    with pytest.raises(ImageModelError, match=why):
        image_model(ImageOptions(model=model, set=call))


def test_a_run_with_such_an_option_is_not_made(command, tmp_path):
    code, _, error = command("run", "a red circle", "--set", "max_rounds=2", "--runs", str(tmp_path / "runs"))
    assert code != 0
    assert "the image model shapes has no option 'max_rounds': it is a setting of the run: use its option" in error
    assert "run(max_rounds=...)" in error
    assert not (tmp_path / "runs").exists()


def test_a_setting_of_the_run_is_no_field_of_a_request():
    with pytest.raises(ImageModelError, match="m has no option 'max_rounds': it is a setting of the run"):
        image_model(ImageOptions(model="http://localhost:1/v1#m", set={"max_rounds": 2}))
    assert image_model(ImageOptions(model="http://localhost:1/v1#m", set={"seed": 2})).name == "m"


def test_hosts_and_keys_in_specs_of_other_backends_are_kept_out():
    models = ModelOptions.model_validate({"image": {"model": "acme:http://gpu7.lab:8188#m"}})
    assert without_hosts_and_folders("gpu7.lab:8188 answered 500", models) == "HOST answered 500"
    with pytest.raises(ModelSpecError, match="a key has no place in a URL"):
        AcmeOptions(model="acme:http://me:secret@gpu7.lab:8188#m").make()


def test_a_host_that_only_the_code_of_a_backend_names_is_written_nowhere(install, command, tmp_path):
    install(REMOTE, "gems_plain:RemoteOptions", scheme="remote")
    runs = ("--runs", str(tmp_path / "runs"))
    code, _, error = command("run", "a red circle", "--image", "remote:large", "--thread", "t", "--preset", "original", *runs)
    assert code == 2
    assert "cannot reach http://127.0.0.1:1/v2" in error  # whoever called it may know
    write_gallery(runs=tmp_path / "runs")
    (summary,) = Gems(runs=tmp_path / "runs").list()
    assert "cannot reach http://HOST/v2" in summary.told
    assert "cannot reach http://HOST/v2" in command("runs", *runs)[1]
    files = [path for path in (tmp_path / "runs").rglob("*") if path.is_file()]
    assert [path.name for path in files if path.suffix == ".html"]
    assert not [path for path in files if b"127.0.0.1" in path.read_bytes()]


def test_what_is_missing_is_told_in_the_users_words():
    with pytest.raises(ModelSpecError, match=r"has no option set, which --set .* \[image\] .*: its options are .*style"):
        AcmeOptions(model="acme:http://gpu7.lab:8188#m", call={"style": "ink"})
    with pytest.raises(ModelSpecError, match=r"AcmeOptions names no model: write AcmeOptions\(model='acme:"):
        image_model(AcmeOptions())
    with pytest.raises(ModelSpecError, match="is the package that registers remote: installed"):
        image_model("remote:large")


def test_the_options_of_the_embedded_pipeline_are_known():
    from diffusers import ZImagePipeline

    assert set(CALL_OPTIONS) == set(inspect.signature(ZImagePipeline.__call__).parameters) - RESERVED - {"self"}


def test_sixteen_threads_load_one_model(monkeypatch):
    loads, load = [], DiffusersImage._load
    monkeypatch.setattr(DiffusersImage, "_load", lambda self: (loads.append(self), load(self))[1])
    options = ImageOptions(set={"num_inference_steps": 1}, batch=7)
    with ThreadPoolExecutor(16) as pool:
        images = list(pool.map(lambda _: image_model(options.model_copy()), range(16)))
        list(pool.map(lambda model: model.prepare(), images))
        chats = list(pool.map(lambda _: chat_model("shapes"), range(16)))
    assert len(loads) == len(set(map(id, images))) == len(set(map(id, chats))) == 1
