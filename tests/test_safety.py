"""Keys and absolute paths are planted wherever a user has them, and searched in everything that is written."""

import ast
import base64
import io
import json
import logging
import shutil
import sys
import traceback
from collections import defaultdict
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

import gems
from gems import Gems, GemsError, run
from gems.models.image.diffusers import DiffusersImage
from gems.models.shapes import WEIGHTS, shapes_chat
from gems.server import create_app, running
from gems.storage.serializer import KEY_VARIABLE as AES
from gems.storage.workspace import Workspace

from .conftest import Sketcher
from .faulty_server import Reply
from .secret_traces import kept, leaks

PROMPT = "three red stars to the left of two blue squares"
ROOT = Path(gems.__file__).resolve().parent
CHAT_KEY = "sk-proj-Qm3/vX9+TzR4wKpLs7YhDn2BcFg6Ja8U"
IMAGE_KEY = "img_8Zt1+Wq5/NxEr0OyPu3SdVk7GbHm4CfLi9"
OTHERS = {
    "OPENAI_API_KEY": "sk-other-R5tYh8Kq2Wn6Bv0XzLm4Pj7D",
    "GEMS_API_KEY": "gems-other-7UyGf3Ds9Za1Qw5Er8Ti",
    "AWS_SECRET_ACCESS_KEY": "aws/Lk4Jh6Gf2Ds8+Az0Xc9Vb3Nm5Q",
    "FSSPEC_S3_SECRET": "fsspec-Po9Iu7Yt5Re3Wq1Lk8Jh6Gf",
    "HF_TOKEN": "hf_Mn2Bv4Cx6Zl8Kj0Hg1Fd3Sa5Po",
    "PGPASSWORD": "pg-Yt6Re4Wq2Lk9Jh7Gf5Ds3Az1X",
}
AES_KEY = "aes+Hj5Kl7/Zx9Cv1Bn3Mq4We6Rt8Yu0"
SECRETS = (CHAT_KEY, IMAGE_KEY, *OTHERS.values(), AES_KEY)


class Gossip:
    """An endpoint for chat and pictures that repeats the key it was sent: in answers, in errors, in warnings, in headers."""

    def __init__(self, behind, front):
        self.behind, self.fault, self.status, self.sent = behind, {}, 200, defaultdict(set)
        front.replies = [self.reply]

    def reply(self, heard):
        bearer = {name.lower(): value for name, value in heard.headers.items()}.get("authorization", "")
        self.sent[heard.path].add(bearer)
        for path, fault in self.fault.items():
            if path in heard.path:
                return Reply(fault(bearer), self.status, headers={"retry-after-ms": "5", "X-Asked-With": bearer})
        kind = {"Content-Type": heard.headers.get("Content-Type", "application/json")}
        url = self.behind + heard.path.removeprefix("/v1")
        got = httpx.request(heard.method, url, content=heard.data, headers=kind, timeout=60)
        answer = got.json()
        if "choices" in answer:
            message = answer["choices"][0]["message"]
            message["content"] = self.told(message["content"], bearer)
            message["reasoning_content"] = f"I was asked with {bearer}, and {base64.b64encode(bearer.encode()).decode()}."
        if "data" in answer and "created" in answer:
            answer["warnings"] = [f"asked with {bearer}, {quote(bearer)} or {bearer[:24]}..."]
        return Reply(answer, got.status_code, headers={"X-Asked-With": bearer})

    def told(self, content, bearer):
        """Put the header at the end of every text of an answer that is long enough to be one."""
        if not content or not content.startswith("{"):
            return content

        def walk(value):
            if isinstance(value, dict):
                return {key: walk(item) for key, item in value.items()}
            if isinstance(value, list):
                return [walk(item) for item in value]
            return f"{value} {bearer} {quote(bearer, safe='')}" if isinstance(value, str) and len(value) > 12 else value

        return json.dumps(walk(json.loads(content)))


@pytest.fixture
def gossip(server):
    """Give the endpoint, with the embedded chat model and the sketcher behind it."""
    with running(create_app(shapes_chat(), Sketcher(1.0))) as url:
        yield Gossip(url, server)


@pytest.fixture
def planted(server, gossip, tmp_path, monkeypatch, caplog):
    """Plant keys in the environment, use absolute folders everywhere, and log all there is; return the options of a command."""
    for name, value in OTHERS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    monkeypatch.setenv("MY_CHAT_KEY", CHAT_KEY)
    monkeypatch.setenv("MY_IMAGE_KEY", f"{IMAGE_KEY}\n")  # as from a file
    config = tmp_path / "config of me" / "gems.toml"
    config.parent.mkdir()
    config.write_text(
        f'[chat]\nmodel = "{server.url}#shapes-chat"\nkey_env = "MY_CHAT_KEY"\nretries = 0\n'
        f'[image]\nmodel = "{server.url}#sketcher"\nkey_env = "MY_IMAGE_KEY"\nretries = 0\n'
    )
    shutil.copytree(ROOT / "skills" / "counting", tmp_path / "skills of me" / "counting")
    caplog.set_level(logging.DEBUG)
    return {"config": config, "skills": tmp_path / "skills of me"}


def paths(tmp_path):
    """Where things are on this machine."""
    return [str(tmp_path), str(ROOT), str(Path(gems.__file__).parent), sys.prefix, str(Path.home())]


def found_paths(texts, tmp_path):
    return sorted({(label, path) for label, text in texts.items() for path in paths(tmp_path) if f"{path}/" in text})


def logs(caplog):
    """What was logged, by logger; httpcore's own DEBUG log repeats the headers of an answer, which is not ours to change."""
    records = [r for r in caplog.records if not r.name.startswith("httpcore")]
    return {f"log of {name}": "\n".join(_whole(r) for r in records if r.name == name) for name in {r.name for r in records}}


def _whole(record):
    trace = "".join(traceback.format_exception(*record.exc_info)) if record.exc_info else ""
    return f"{record.getMessage()}\n{trace}"


@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "encrypted"])
def test_no_key_and_no_path_is_in_what_a_run_leaves(home, planted, gossip, command, tmp_path, caplog, monkeypatch, encrypted):
    if encrypted:
        monkeypatch.setenv(AES, AES_KEY)
    where = ("--runs", home.folder, *(("--store", home.store) if home.store else ()))
    models = ("--config", planted["config"], "--skills", planted["skills"])
    said = []

    def gems_(*args, code=0):
        ended, out, err = command(*args, *where)
        said.append(out + err)
        assert ended == code, out + err
        return out

    gossip.fault, gossip.status = {"/images": lambda bearer: {"error": {"message": f"{bearer} has no quota"}}}, 500
    gems_("run", PROMPT, "--thread", "t", "--rounds", "2", "--review", "image", "--lessons", "keep", *models, code=2)
    gossip.fault = {}
    gems_("resume", "t", *models)
    gems_("resume", "t", "--answer", '{"action": "reject", "words": "more of it"}', *models)
    told = json.loads(gems_("resume", "t", "--answer", '{"action": "go on"}', "--json", *models))
    gems_("lessons", "list")
    gems_("fork", "t", "--round", "1", "--name", "f", "--prompt", "three red stars", *models)
    gems_("show", "t")
    gems_("show", "f", "--json")
    gems_("runs")
    gems_("runs", "--json")
    before = kept(home)
    gems_("prune", "--older-than", "0h", "--keep-best")
    said.append("".join(command("doctor", *models)[1:]))
    after = kept(home)

    assert told["rounds"] == 2
    assert any("***" in note for note in told["notes"])  # the endpoint did repeat it
    assert gossip.sent["/v1/chat/completions"] == {f"Bearer {CHAT_KEY}"}  # each endpoint hears its own key, and no other
    assert gossip.sent["/v1/images/generations"] == {f"Bearer {IMAGE_KEY}"}
    assert "***" in "".join(before.values())
    assert leaks({**before, **after, **logs(caplog), "said": "\n".join(said)}, *SECRETS) == []
    assert found_paths({**before, **after, **logs(caplog)}, tmp_path) == []


ECHOES = {
    "plain": lambda bearer: {"error": {"message": f"Incorrect API key {bearer}, or {bearer[7:30]}...{bearer[-9:]}"}},
    "encoded": lambda bearer: {
        "detail": f"GET /check?key={quote(bearer[7:], safe='')}: "
        + base64.b64encode(f"Authorization: {bearer}\r\nHost: x".encode()).decode()
    },
    "page": lambda bearer: f"<html><body>{bearer}</body></html>".encode(),
}


@pytest.mark.parametrize("echo", ECHOES)
@pytest.mark.parametrize("status", [400, 401, 500, 200])
@pytest.mark.parametrize("path", ["/chat/completions", "/images/generations"])
def test_no_error_of_an_endpoint_shows_the_key(planted, gossip, command, tmp_path, caplog, monkeypatch, path, status, echo):
    gossip.fault, gossip.status = {path: ECHOES[echo]}, status
    args = ("run", PROMPT, "--preset", "original", "--config", planted["config"], "--runs", tmp_path / "runs")
    code, out, err = command(*args)
    assert code == 2
    assert "gems resume" in err
    monkeypatch.setenv("GEMS_DEBUG", "1")
    with pytest.raises(GemsError) as caught:
        command(*args, "--debug")
    trace = "".join(traceback.format_exception(caught.value))
    home = Workspace(tmp_path / "runs")
    assert leaks({**kept(home), **logs(caplog), "out": out, "err": err, "trace": trace}, *SECRETS) == []
    assert found_paths({**kept(home), **logs(caplog)}, tmp_path) == []


def test_the_search_finds_a_key_that_somebody_draws(home, sketcher, monkeypatch):
    run("a red circle", thread="t", runs=home, image=sketcher, preset="original")
    assert leaks(kept(home), CHAT_KEY) == []
    result = Gems(runs=home, image=sketcher).fork("t", round=1, prompt=f"a red circle and {CHAT_KEY}", name="f")
    found = {label for label, _ in leaks(kept(home), CHAT_KEY)}
    digest = result.best.image.sha256
    assert {"f/report.html", "f/best.png, unpacked", f"images/{digest[:2]}/{digest}.png, unpacked"} <= found
    assert any(label.startswith("checkpoint") for label in found)
    monkeypatch.setenv(AES, AES_KEY)
    run("a red circle", thread="u", runs=home, image=sketcher, preset="original", negative_prompt=CHAT_KEY)
    more = {label for label, _ in leaks(kept(home), CHAT_KEY)} - found
    assert any(label.startswith("store") for label in more)  # it looks into what is encrypted too


@pytest.mark.parametrize(
    "form", [lambda k: k, lambda k: k[3:20], lambda k: quote(k, safe=""), lambda k: base64.b64encode(f"k:{k}x".encode()).decode()]
)
def test_the_search_knows_every_form_of_a_key(form):
    assert leaks({"here": f"... {form(CHAT_KEY)} ..."}, *SECRETS) == [("here", CHAT_KEY)]
    assert leaks({"here": "... nothing ..."}, *SECRETS) == []


def test_what_other_models_raise_is_kept_by_name_only(home, make_sketcher):
    class Broken(Sketcher):
        def generate(self, requests):
            raise RuntimeError(f"{CHAT_KEY} in {Path.cwd()}/weights")

    with pytest.raises(RuntimeError):
        run(PROMPT, thread="t", runs=home, image=Broken())
    texts = kept(home)
    assert any("RuntimeError" in text for text in texts.values())
    assert leaks(texts, CHAT_KEY) == []
    assert found_paths(texts, Path.cwd()) == []
    assert Gems(runs=home, image=make_sketcher(0.0)).resume("t").decision == "accept"


def test_the_password_of_a_database_is_nowhere(postgres, planted, command, tmp_path, caplog):
    import psycopg

    password = "p@ss/Kd8Wm3Xz5Qv7Rt1Yn"
    name = postgres.rpartition("/")[2].partition("?")[0]
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {name} LOGIN SUPERUSER PASSWORD '{password}'")
    try:
        url = postgres.replace("postgres:@", f"{name}:{quote(password, safe='')}@")
        said = [command("run", PROMPT, "--thread", "t", "--store", url, "--preset", "original")]
        said += [command("run", PROMPT, "--thread", "t", "--store", url), command("runs", "--store", url.replace(name, "nobody"))]
        said += [command("runs", "--store", f"postgresql://me:{password}@127.0.0.1:9/x")]
        said += [
            command("runs", "--store", f"me:{password}@127.0.0.1/x"),
            command("runs", "--store", f"host=x password={password}"),
        ]
        assert [code for code, *_ in said] == [0, 2, 2, 2, 2, 2]
        assert "%40" in said[3][2]
        texts = {**kept(Workspace("runs", store=url)), **logs(caplog), "said": "".join(out + err for _, out, err in said)}
        assert leaks(texts, password) == []
    finally:
        with psycopg.connect(postgres, autocommit=True) as connection:
            connection.execute(f"DROP OWNED BY {name} CASCADE")
            connection.execute(f"DROP ROLE {name}")


@pytest.mark.parametrize(
    ("option", "model"),
    [
        ("--chat", "http://127.0.0.1:9/v1?api-key=KEY#m"),
        ("--image", "http://127.0.0.1:9/v1?token=KEY#m"),
        ("--chat", "http://me:KEY@127.0.0.1:9/v1#m"),
    ],
)
def test_a_key_in_the_address_of_a_model_is_refused(command, option, model):
    code, out, err = command("run", PROMPT, option, model.replace("KEY", CHAT_KEY.replace("/", "_")))
    assert code == 2
    assert "GEMS_API_KEY" in err
    assert (
        leaks({"said": out + err, **kept(Workspace("."))} if Path("gems.sqlite").exists() else {"said": out + err}, CHAT_KEY) == []
    )


@pytest.mark.parametrize(
    "table", ['[chat]\nextra_body = { headers = { "X-Api-Key" = "KEY" } }', '[image]\nset = { api_key = "KEY" }']
)
def test_a_key_among_the_fields_of_a_request_is_refused(command, table):
    model = 'model = "http://127.0.0.1:9/v1#m"'
    Path("gems.toml").write_text(table.replace("]", f"]\n{model}", 1).replace("KEY", CHAT_KEY))
    code, out, err = command("run", PROMPT, "--config", "gems.toml")
    assert code == 2
    assert "would be recorded" in err
    assert leaks({"said": out + err}, CHAT_KEY) == []


def test_of_a_folder_with_a_model_only_the_name_is_kept_and_it_is_named_again(command, tmp_path):
    folder = tmp_path / "models of me" / "my-shapes"
    shutil.copytree(WEIGHTS, folder)
    sets = [
        word for pair in ("num_inference_steps=1", "width=128", "height=128", "max_sequence_length=32") for word in ("--set", pair)
    ]
    image = f"diffusers:{folder}"
    code, _, err = command("run", "a red circle", "--thread", "t", "--image", image, *sets, "--preset", "original")
    assert code == 0, err
    home = Workspace("runs")
    assert found_paths(kept(home), tmp_path) == []
    assert Image.open("runs/t/best.png").text["model"] == "my-shapes"
    code, _, err = command("resume", "t")
    assert code == 2
    assert "in a folder my-shapes, whose path is not kept: add --image diffusers:FOLDER" in err
    code, _, err = command("fork", "t", "--round", "1", "--prompt", "a blue star", "--image", image, "--name", "u", "--json")
    assert code == 0, err  # the recorded options of its call count too: another step would be another picture
    assert found_paths(kept(home), tmp_path) == []
    shutil.move(folder, folder.with_name("moved"))
    code, _, err = command("resume", "t", "--image", image)
    assert code == 2
    assert "there is no such folder" in err


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_of_an_endpoints_picture_only_the_pixels_are_kept(server, tmp_path, kind):
    about = Image.Exif()
    about[270] = f"{IMAGE_KEY} in {tmp_path}/weights"  # its description
    out = io.BytesIO()
    note = PngInfo()
    note.add_text("Comment", about[270])
    picture = Image.new("RGB", (64, 64), "white")
    picture.save(out, kind, exif=about, comment=about[270], pnginfo=note, xmp=about[270].encode())
    assert IMAGE_KEY.encode() in out.getvalue()
    server.replies = [Reply({"data": [{"b64_json": base64.b64encode(out.getvalue()).decode()}]})]
    run("a red circle", runs="runs", image=f"{server.url}#m", preset="original")
    assert leaks(kept(Workspace("runs")), IMAGE_KEY) == []
    assert found_paths(kept(Workspace("runs")), tmp_path) == []


def test_pickled_weights_are_refused(tmp_path):
    folder = tmp_path / "old"
    shutil.copytree(WEIGHTS, folder)
    (folder / "vae" / "diffusion_pytorch_model.safetensors").rename(folder / "vae" / "diffusion_pytorch_model.bin")
    with pytest.raises(GemsError, match="'old' has the weights of its vae as a pickle, which could run any code"):
        DiffusersImage(folder).load()


def test_the_embedded_weights_are_no_pickles():
    kinds = {path.suffix for path in WEIGHTS.rglob("*") if path.is_file()}
    assert kinds == {".safetensors", ".json", ".jinja"}


FORBIDDEN = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}


def dangers(tree):
    """What could build any object from stored bytes."""
    for node in ast.walk(tree):
        names = [alias.name for alias in node.names] if isinstance(node, (ast.Import, ast.ImportFrom)) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        yield from (name for name in names if name.partition(".")[0] in FORBIDDEN)
        if isinstance(node, ast.Call):
            called, given = ast.unparse(node.func), {k.arg: ast.unparse(k.value) for k in node.keywords}
            if called in ("eval", "exec", "__import__", "yaml.load", "yaml.unsafe_load"):
                yield called
            *within, last = called.split(".")
            if FORBIDDEN & {*within} and last in ("load", "loads", "Unpickler"):  # of a library's copy, such as Ray's
                yield called
            if called in ("torch.load", "np.load", "numpy.load") and given.get("weights_only") != "True":
                yield called
            if given.get("pickle_fallback", "False") != "False" or given.get("trust_remote_code", "False") != "False":
                yield called
            if called.endswith("DiffusionPipeline.from_pretrained") and given.get("use_safetensors") != "True":
                yield called


def test_nothing_in_the_package_reads_a_pickle_or_runs_text():
    files = [p for p in ROOT.rglob("*.py") if "tests" not in p.relative_to(ROOT).parts and ".venv" not in p.parts]
    assert len(files) > 100
    found = {p.relative_to(ROOT).as_posix(): list(dangers(ast.parse(p.read_text()))) for p in files}
    assert {name: what for name, what in found.items() if what} == {}
    imports = ("import pickle", "from joblib import load", "from pickle import loads")
    for bad in (*imports, "eval(x)", "torch.load(f)", "yaml.load(x)", "ray.cloudpickle.loads(x)"):
        assert list(dangers(ast.parse(bad)))
