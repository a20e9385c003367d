"""The command line as its users meet it."""

import io
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
from PIL import Image

import gems
from gems import Gems
from gems.cli import app
from gems.context import PRESETS
from gems.models.shapes import WEIGHTS, shapes_chat, shapes_image
from gems.server import create_app, running
from gems.tests.conftest import COMMAND_TREE

ROOT = Path(gems.__file__).parent


def test_a_run_tells_its_story_and_leaves_image_and_report(command):
    code, out, _ = command("run", "three red circles above a blue square", "--seed", "5")
    assert code == 0
    for word in ("skills", "counting, spatial-layout", "round 1", "✓", "Is the square blue?", "decision", "image ", "report "):
        assert word in out
    report = Path(out.split("report  ")[1].split("\n")[0])
    assert report.exists()
    assert report.with_name("best.png").exists()
    assert "Loading" not in out


def test_json_is_for_programs(command):
    code, out, _ = command("run", "two green stars", "--preset", "original", "--json", "--thread", "mine", "--runs", "elsewhere")
    told = json.loads(out)
    assert code == 0
    assert told["thread"] == "mine"
    assert Path(told["image"]) == Path("elsewhere/mine/best.png")
    assert Path(told["report"]).read_text().startswith("<!doctype html>")
    assert {c["kind"] for c in told["checks"]} == {"object", "count", "attribute"}
    assert all(c["passed"] in (True, False, None) for c in told["checks"])
    assert told["usage"]["images"] == 1
    assert told["usage"]["calls"] == 2


def test_settings_reach_the_run(command):
    args = ("--preset", "best-of-n", "--candidates", "3", "--seed", "40", "--json")
    _, out, _ = command("run", "a red circle", *args)
    told = json.loads(out)
    assert told["usage"]["images"] == 3
    assert told["best"]["seed"] in (40, 41, 42)


def test_every_knob_of_the_loop_is_on_the_command_line(command):
    switches = ["--fuse", "--no-confirm", "--skip-children", "--keep-seed"]
    values = {"--accept-at": 0.9, "--patience": 0, "--plan": "rewrite", "--checkers": "none"}
    budgets = {"--max-images": 9, "--max-calls": 99, "--max-tokens": 99999, "--max-seconds": 600}
    args = [str(word) for pair in {**values, **budgets}.items() for word in pair]
    code, out, err = command("run", "a red circle", "--preset", "thorough", "--thread", "t", "--json", *switches, *args)
    assert code == 0, err
    context = Gems().get("t").context.model_dump()
    wanted = {
        **{"fuse": True, "confirm": False, "skip_children": True, "keep_seed": True, "accept_at": 0.9, "patience": None},
        **{"plan": "rewrite", "checkers": "none"},
        **{"max_images": 9, "max_calls": 99, "max_tokens": 99999, "max_seconds": 600},
    }
    assert {name: context[name] for name in wanted} == wanted
    assert json.loads(out)["cost"] is None


def test_a_dry_run_tells_what_the_run_may_take_and_does_nothing(command):
    Path("gems.toml").write_text('[chat]\nmodel = "http://127.0.0.1:9/v1#nobody"\nprice_input = 1\n[image]\nprice = 0.02\n')
    args = ("run", "a red circle", "--dry-run", "--config", "gems.toml", "--rounds", "3", "--checks", "6", "--max-calls", "50")
    code, out, _ = command(*args)
    assert code == 0
    rows = {name: told for name, *told in re.findall(r"^ *(\w[a-z ]+?)  +([\d.]+) +([\d.]+) *$", out, re.MULTILINE)}
    assert rows["verifier"] == ["1", "39"]
    assert rows["chat calls"] == ["3", "48"]
    assert rows["images"] == ["1", "3"]
    assert rows["cost of images"] == ["0.02", "0.06"]
    for words in (
        "repair turns",
        "may stop earlier because of max_calls",
        "unknown before the run",
        "Nothing was run or written",
    ):
        assert words in out
    told = json.loads(command(*args, "--json")[1])
    assert told["calls"]["verifier"] == {"first": 1, "worst": 39}
    assert told["image_cost"] == {"first": 0.02, "worst": 0.06}
    assert [path.name for path in Path().iterdir()] == ["gems.toml"]


def test_the_presets_are_told_with_what_they_take(command):
    code, out, _ = command("presets")
    assert code == 0
    assert all(name in out for name in PRESETS)
    assert "no changes" in out
    told = {one["preset"]: one for one in json.loads(command("presets", "--checks", "4", "--json")[1])}
    assert list(told) == list(PRESETS)
    assert told["best-of-n"]["images"] == {"first": 5, "worst": 5}
    assert told["paper"]["calls"] == {"first": 6, "worst": 33}
    assert told["default"]["settings"] == {}
    assert told["loop"]["settings"]["recall"] == "last"


def test_a_finished_run_can_be_looked_at_again(command):
    command("run", "a red circle", "--thread", "t", "--json")
    code, out, _ = command("resume", "t", "--json")
    assert code == 0
    assert json.loads(out)["thread"] == "t"


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["run", ""], ["the prompt is empty"]),
        (["run", "x" * 9000], ["9000 characters", "shorten"]),
        (["run", "a red circle", "--preset", "best"], ["unknown preset 'best'", "original"]),
        (["run", "a red circle", "--rounds", "0"], ["max_rounds", "greater than or equal to 1"]),
        (["run", "a red circle", "--recall", "everything"], ["recall", "'none'"]),
        (["run", "a red circle", "--thread", "../up"], ["cannot name a run"]),
        (["run", "a red circle", "--runs", "file/runs"], ["cannot", "file"]),
        (["run", "a red circle", "--chat", "gpt"], ["chat model 'gpt' is not understood", "openai:MODEL"]),
        (["run", "a red circle", "--chat", "openai:gpt-5.2"], ["set OPENAI_API_KEY"]),
        (["run", "a red circle", "--image", "dalle"], ["image model 'dalle' is not understood"]),
        (["run", "a red circle", "--image", "diffusers:./nowhere"], ["diffusers:./nowhere", "no such folder"]),
        (["run", "a red circle", "--skills", "nowhere"], ["nowhere"]),
        (["run", "a green dragon on a hill"], ["shapes world draws", "dragon", "--chat and --image"]),
        (["resume", "nobody"], ["there is no run nobody"]),
        (["skills", "show", "cooking"], ["cooking", "counting"]),
        (["skills", "validate", "nowhere"], ["nowhere"]),
        (["run", "a red circle", "--config", "nowhere.toml"], ["cannot read the configuration", "nowhere.toml"]),
        (["run", "a red circle", "--set", "steps"], ["--set steps", "write key=value"]),
        (["run", "a red circle", "--size", "big"], ["--size big", "WIDTHxHEIGHT"]),
        (["run", "a red circle", "--edit", "always"], ["edit", "'auto'"]),
        (["run", "a red circle", "--image", "openai:gpt-image-2"], ["set OPENAI_API_KEY"]),
        (["run", "a red circle", "--set", "num_inference_step=9"], ["num_inference_step", "num_inference_steps"]),
        (["serve", "--key-env", "NOWHERE"], ["--key-env NOWHERE", "not set"]),
        (["serve", "--host", "0.0.0.0"], ["set a key"]),
        (["doctor", "--chat", "gpt"], ["chat model 'gpt' is not understood"]),
        (["eval", "shapes", "--presets", "original,worst"], ["unknown preset 'worst'"]),
        (["eval", "shapes", "--data", "nowhere.txt"], ["nowhere.txt"]),
        (["eval", "shapes", "--presets", ","], ["no preset to measure"]),
        (["run", "a red circle", "--thread", "gems.sqlite"], ["cannot name a run"]),
        (["run", "a red circle", "--patience", "-1"], ["patience", "greater than or equal to 0"]),
        (["run", "a red circle", "--accept-at", "2"], ["accept_at", "less than or equal to 1"]),
        (["run", "a red circle", "--max-images", "0"], ["max_images", "greater than or equal to 1"]),
        (["run", "a red circle", "--max-cost", "1"], ["max_cost", "no model has a price", "price_input"]),
        (["run", "a red circle", "--max-cost", "1", "--dry-run"], ["max_cost", "no model has a price"]),
        (["run", "a red circle", "--plan", "big", "--dry-run"], ["plan", "'rewrite'"]),
        (["run", "", "--dry-run"], ["the prompt is empty"]),
    ],
)
def test_an_error_is_one_line_that_says_what_to_do(command, args, words):
    Path("file").write_text("in the way")
    code, out, err = command(*args)
    assert code == 2
    assert "Traceback" not in err + out
    told = err.strip() or out.strip()
    assert len(told.splitlines()) == 1
    for word in words:
        assert word in told


def test_the_name_of_a_run_is_printed_once_it_exists(command):
    code, out, err = command("run", "a cat", "--thread", "t")
    assert (code, "cannot draw" in err, out.strip()) == (2, True, "")
    assert command("run", "a red circle", "--thread", "t")[1].split()[:2] == ["run", "t"]


def test_debug_shows_the_traceback(command):
    with pytest.raises(gems.GemsError):
        command("run", "", "--debug")


@pytest.mark.parametrize(
    "part", ["transformer/diffusion_pytorch_model.safetensors", "model_index.json", "text_encoder/config.json"]
)
def test_damaged_weights_are_a_clear_error(command, part, tmp_path):
    shutil.copytree(WEIGHTS, tmp_path / "weights")
    file = tmp_path / "weights" / part
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 3])
    code, _, err = command("run", "a red circle", "--image", f"diffusers:{tmp_path / 'weights'}")
    assert code == 2
    assert "cannot load the image model 'weights'" in err
    assert len(err.strip().splitlines()) == 1


def test_skills_are_listed_shown_made_and_checked(command):
    _, out, _ = command("skills", "list")
    assert [line.split(":")[0] for line in out.splitlines()] == [
        "aesthetic-drawing", "counting", "creative-drawing", "spatial-layout", "text-rendering", "world-knowledge",
    ]  # fmt: skip
    assert "references/" in command("skills", "show", "counting")[1]
    assert command("skills", "new", "origami", "--in", "my")[0] == 0
    assert command("skills", "validate", "my/origami")[:2] == (0, "my/origami: valid\n")
    _, out, _ = command("skills", "list", "--skills", "my")
    assert "origami" in out
    Path("my/origami/SKILL.md").write_text("---\nname: origami\ndescription: [\n---\n")
    code, out, _ = command("skills", "validate", "my/origami")
    assert code == 2
    assert "SKILL.md:" in out


def test_a_broken_skill_is_named_and_the_others_still_load(command):
    Path("my/bad").mkdir(parents=True)
    Path("my/bad/SKILL.md").write_text("no front matter")
    code, out, err = command("skills", "list", "--skills", "my")
    assert code == 0
    assert "skill left out: my/bad/SKILL.md:1" in err
    assert "counting" in out


def test_what_is_wrong_with_skills_is_printed_once_and_stays_with_the_run(command):
    Path("my/acme-fog").mkdir(parents=True)
    Path("my/acme-fog/SKILL.md").write_text("---\nname: fog\ndescription: Adds fog.\n---\nWrite fog.")
    for arguments in (
        ["skills", "list"],
        ["skills", "show", "fog"],
        ["run", "a red circle", "--thread", "t", "--preset", "original"],
    ):
        code, out, err = command(*arguments, "--skills", "my")
        assert code == 0
        assert (out + err).count("name 'fog' differs from the folder's name 'acme-fog'") == 1
        assert "skill: my/acme-fog/SKILL.md:2: name 'fog' differs" in err
    assert "skill: acme-fog/SKILL.md:2: name 'fog' differs" in command("show", "t")[1]
    Path("none").mkdir()
    assert "none/SKILL.md:1: no skill here" in command("skills", "list", "--skills", "none")[2]
    assert "none/SKILL.md:1: no skill here" in command("skills", "validate", "none")[1]


def test_a_request_comes_from_a_file_or_from_standard_input(command, monkeypatch):
    Path("request.txt").write_text("\ufefftwo red circles\n", encoding="utf-8")
    monkeypatch.setattr("sys.stdin", io.StringIO("a blue square\n"))
    for given, meant in (("@request.txt", "two red circles"), ("-", "a blue square")):
        code, out, _ = command("run", given, "--preset", "original")
        assert code == 0
        assert meant in out
    code, _, err = command("run", "@nowhere.txt", "--preset", "original")
    assert (code, err.count("\n")) == (2, 1)
    assert "@nowhere.txt: cannot read the request from this file: No such file" in err


def test_the_benchmark_prints_its_table_and_writes_json(command):
    code, out, _ = command("eval", "shapes", "--limit", "2", "--presets", "original,default", "--json", "out/table.json")
    assert code == 0
    assert "Shapes, 2 of 200 prompts" in out
    told = json.loads(Path("out/table.json").read_text())["judges"]["shapes-perception"]
    assert told["original"]["images_per_run"] == 1
    assert told["original"]["prompts"] == 2
    assert 0 <= told["default"]["gm"] <= told["default"]["am"] <= 100


def test_the_benchmark_takes_prompts_of_ones_own(command):
    Path("mine.txt").write_text("# mine\na red circle\n\ntwo blue stars\n")
    code, out, _ = command("eval", "shapes", "--data", "mine.txt", "--presets", "original")
    assert code == 0
    assert "2 prompts" in out


def test_killed_inside_the_generator_a_real_run_goes_on(tmp_path):
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "COLUMNS": "100"}
    args = ["three red circles above a blue square", "--thread", "t", "--preset", "best-of-n", "--candidates", "4"]
    gems_command = [sys.executable, "-m", "gems.cli"]
    images = tmp_path / "runs" / "images"
    with subprocess.Popen([*gems_command, "run", *args], env=environment, cwd=tmp_path, stdout=subprocess.DEVNULL) as process:
        until = time.monotonic() + 60
        while len(list(images.rglob("*.png"))) < 2 and time.monotonic() < until:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
    before = {p.name: p.stat().st_mtime_ns for p in images.rglob("*.png")}
    assert before
    done = subprocess.run(
        [*gems_command, "resume", "t", "--json"], env=environment, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout)["usage"]["images"] == 4
    after = {p.name: p.stat().st_mtime_ns for p in images.rglob("*.png")}
    assert len(after) == 4
    assert before.items() <= after.items()


def test_importing_gems_needs_no_torch_and_no_server():
    code = (
        "import sys; import gems, gems.cli; from gems import build_graph, run; gems.ImageStore('images'); "
        "heavy = {'torch', 'diffusers', 'transformers', 'scipy', 'fastapi', 'uvicorn', 'starlette', 'fsspec', 's3fs'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"


def test_ctrl_c_says_how_to_go_on(command, monkeypatch):
    def interrupted(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("gems.models.image.diffusers.DiffusersImage.generate", interrupted)
        code, _, err = command("run", "a red circle", "--thread", "mine")
    assert code == 130
    assert "resume it with `gems resume mine`" in err
    assert command("resume", "mine", "--json")[0] == 0


def test_an_endpoint_that_is_not_there_loses_nothing(command):
    Path("gems.toml").write_text('[chat]\nmodel = "http://127.0.0.1:9/v1#nobody"\nretries = 0\n')
    code, _, err = command("run", "a red circle", "--thread", "mine", "--config", "gems.toml")
    assert code == 2
    assert "is the server running at 127.0.0.1:9?" in err
    assert "resume it with `gems resume mine`, with --chat for another model" in err
    assert "Traceback" not in err
    assert command("resume", "mine", "--chat", "shapes", "--json")[0] == 0


def test_a_size_beyond_the_image_models_is_told_with_the_largest_and_loses_nothing(command):
    code, _, err = command("run", "a red circle", "--thread", "mine", "--size", "1024x1024")
    assert code == 2
    assert "it draws up to 512x512 pixels, not 1024x1024" in err
    assert "resume it with `gems resume mine`, with --image for another model" in err
    code, out, err = command("run", "a red circle", "--size", "512x512", "--preset", "original")
    assert code == 0
    assert "The embedded image model draws 128x128 pixels well and other sizes badly: 512x512 were requested." in out + err


def test_a_run_with_a_budget_of_money_goes_on_with_other_models_and_their_prices(command):
    prices = "price_input = 1.0\nprice_output = 1.0\n"
    Path("dead.toml").write_text(f'[chat]\nmodel = "http://127.0.0.1:9/v1#nobody"\nretries = 0\n{prices}')
    assert command("run", "a red circle", "--thread", "mine", "--config", "dead.toml", "--max-cost", "5")[0] == 2
    code, _, err = command("resume", "mine", "--chat", "shapes")
    assert (code, "of the file of --config" in err) == (2, True)
    Path("alive.toml").write_text(f'[chat]\nmodel = "shapes"\n{prices}')
    code, out, _ = command("resume", "mine", "--config", "alive.toml", "--json")
    assert code == 0
    assert json.loads(out)["cost"]["amount"] > 0


def test_models_that_a_file_does_not_name_stay_when_a_run_goes_on_or_is_forked(command):
    Path("dead.toml").write_text('[chat]\nmodel = "http://127.0.0.1:9/v1#nobody"\nretries = 0\n')
    Path("image.toml").write_text("[image]\nset = { num_inference_steps = 2 }\nprice = 0.5\n")
    assert command("run", "a red circle", "--thread", "mine", "--config", "dead.toml", "--preset", "rewrite")[0] == 2
    code, _, err = command("resume", "mine", "--config", "image.toml")
    assert (code, "is the server running at 127.0.0.1:9?" in err) == (2, True)
    with running(create_app(shapes_chat(), shapes_image())) as url:
        args = ("--preset", "original", "--chat", f"{url}#shapes-chat")
        assert command("run", "a red circle", "--thread", "far", *args)[0] == 0
        code, out, err = command("fork", "far", "--round", "1", "--config", "image.toml", "--name", "f", "--json")
    assert code == 0, err
    told = Gems().get("f").models
    assert (told.chat.model, told.image.model) == (f"{url}#shapes-chat", "shapes")
    assert (told.image.call, told.image.price) == ({"num_inference_steps": 2}, 0.5)
    assert json.loads(out)["cost"]["amount"] > 0


def test_runs_are_listed_and_shown(command):
    assert command("run", "two green stars", "--preset", "original", "--thread", "mine")[0] == 0
    Path("gems.toml").write_text('[chat]\nmodel = "http://127.0.0.1:9/v1#nobody"\nretries = 0\n')
    assert command("run", "a red circle", "--thread", "dead", "--config", "gems.toml", "--preset", "rewrite")[0] == 2
    _, out, _ = command("runs")
    assert out.index("mine") < out.index("dead")
    assert "two green stars" in out
    assert [one["thread"] for one in json.loads(command("runs", "--state", "failed", "--json")[1])] == ["dead"]
    assert [one["calls"] for one in json.loads(command("runs", "--find", "GREEN", "--json")[1])] == [2]
    _, out, _ = command("show", "mine")
    assert "How many stars are in the image?" in out
    assert json.loads(command("show", "mine", "--json")[1])["usage"]["calls"] == 2
    assert "resume it with `gems resume dead`" in command("show", "dead")[1]
    code, _, err = command("runs", "--state", "lost")
    assert (code, "choose one of running, accepted" in err) == (2, True)


def test_the_commands_that_are_told_lead_to_runs_elsewhere_as_they_stand(command):
    there = ("--runs", "my runs", "--image-store", "my images")
    Path("gems.toml").write_text('[chat]\nmodel = "http://127.0.0.1:9/v1#nobody"\nretries = 0\n')
    assert "for your review" in command("run", "a red circle", "--review", "plan", "--thread", "w", *there)[1]
    _, out, err = command("run", "a red circle", "--config", "gems.toml", "--preset", "rewrite", "--thread", "dead", *there)
    told = [
        *re.findall(r"(gems resume dead .*?)[`,]", err),
        *re.findall(r"`(gems resume dead .*?)`", command("show", "dead", *there)[1]),
        *re.findall(r"answer  (gems resume w .*)", command("show", "w", *there)[1]),
    ]
    assert len(told) == 3
    for line in told:
        code, out, err = command(*shlex.split(line)[1:], "--json", *(["--chat", "shapes"] if "dead" in line else []))
        assert (code, json.loads(out)["thread"] in ("w", "dead")) == (0, True), err


def test_a_configuration_file_names_models_and_settings(command):
    Path("gems.toml").write_text('preset = "original"\n[image]\nset = {num_inference_steps = 4}\n[run]\nseed = 11\n')
    code, out, _ = command("run", "a red circle", "--config", "gems.toml", "--json", "--thread", "t")
    assert code == 0
    told = json.loads(out)
    assert told["best"]["seed"] == 11
    assert told["usage"]["calls"] == 2
    assert Gems().get("t").models.image.call == {"num_inference_steps": 4}


def test_options_win_over_the_file_and_resume_knows_them(command):
    Path("gems.toml").write_text("[run]\nseed = 11\n")
    args = ("--config", "gems.toml", "--seed", "12", "--set", "num_inference_steps=2", "--size", "64x64", "--preset", "original")
    _, out, _ = command("run", "a red circle", *args, "--json", "--thread", "t")
    assert json.loads(out)["best"]["seed"] == 12
    _, out, _ = command("resume", "t", "--json")
    assert json.loads(out)["best"]["seed"] == 12


def test_doctor_tells_programs_and_people(command):
    code, out, _ = command("doctor", "--json", "--no-draw")
    assert code == 0
    assert {"subject", "probe", "state", "told", "change", "seconds"} == set(json.loads(out)[0])
    code, out, _ = command("doctor", "--no-draw", "--chat", "http://127.0.0.1:9/v1#m")
    assert code == 1
    assert "does not answer" in out
    assert "start the server" in out


def test_serve_answers_until_it_is_told_to_stop():
    command = [sys.executable, "-m", "gems.cli", "serve", "--port", "0", "--key-env", "DOOR"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "DOOR": "sesame"}) as process:
        try:
            url = process.stdout.readline().split(" at ")[1].split(" ")[0]
            assert httpx.get(f"{url}/models").status_code == 401
            listed = httpx.get(f"{url}/models", headers={"Authorization": "Bearer sesame"}).json()
            assert [m["id"] for m in listed["data"]] == ["shapes-chat", "shapes-image"]
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0
        finally:
            process.kill()


def test_serve_tells_at_once_of_an_image_model_that_cannot_be_loaded(command):
    Path("broken").mkdir()
    Path("broken/model_index.json").write_text("{}")
    code, _, err = command("serve", "--port", "0", "--image", "diffusers:./broken")
    assert code == 2
    assert "broken" in err
    assert "Traceback" not in err


def test_the_whole_loop_over_http_gives_the_same_result_as_in_process(command):
    with running(create_app(shapes_chat(), shapes_image())) as url:
        args = ("three red stars to the left of two blue squares", "--preset", "loop", "--seed", "1", "--json")
        _, out, _ = command("run", *args, "--thread", "far", "--chat", f"{url}#shapes-chat", "--image", f"{url}#shapes-image")
    far = json.loads(out)
    near = json.loads(command("run", *args, "--thread", "near")[1])
    assert far["rounds"] > 1
    for same in ("decision", "reason", "rounds", "skills", "checks"):
        assert far[same] == near[same]
    assert {**far["best"], "sha256": ""} == {**near["best"], "sha256": ""}
    assert Image.open(far["image"]).tobytes() == Image.open(near["image"]).tobytes()
    assert {k: far["usage"][k] for k in ("calls", "images")} == {k: near["usage"][k] for k in ("calls", "images")}


def test_the_help_of_every_command_shows_every_word_in_80_columns(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")

    def below(tree, path):
        yield tree, path
        for name, sub in getattr(tree, "commands", {}).items():
            yield from below(sub, f"{path} {name}")

    for tree, path in below(COMMAND_TREE(app), "gems"):
        with pytest.raises(SystemExit):
            tree(["--help"], prog_name=path)
        shown = capsys.readouterr().out.replace("│", " ").split()
        for parameter in tree.params:
            assert [word for word in (parameter.help or "").split() if word not in shown] == [], f"{path} {parameter.name}"
