"""Every benchmark with an official scorer from its file to its table over HTTP, with the shapes pair behind `gems serve`."""

import csv
import io
import json
from pathlib import Path

import pytest
from PIL import Image

from gems.evaluation.benchmarks.registry import find_benchmark
from gems.models.shapes import shapes_chat, shapes_image
from gems.server import create_app, running

from .colours import WITH_EXPORT

DATA = Path(__file__).parent / "benchmarks" / "data"
FOLDERS = {"artimuse": "geneval", "longtext-en": "longtext", "longtext-zh": "longtext"}
MADE_UP = {"geneval": "results.jsonl", "artimuse": "scores.json"}
"""Benchmarks whose own scorer needs models that are not here: the file that it would write."""


@pytest.fixture(scope="module")
def endpoint():
    """Serve the embedded models."""
    with running(create_app(shapes_chat(), shapes_image())) as url:
        yield url


def official(name, folder, exported):
    """Write what the official scorer would: every second image is right."""
    if name == "geneval":
        lines = []
        for n, meta in enumerate(sorted(exported.glob("*/metadata.jsonl"))):
            told = json.loads(meta.read_text())
            for path in sorted((meta.parent / "samples").iterdir()):
                filename = str(path.relative_to(exported))
                lines.append({"filename": filename, "tag": told["tag"], "prompt": told["prompt"], "correct": n % 2 == 0})
        text = "".join(json.dumps({**line, "reason": "", "metadata": "{}", "details": "{}"}) + "\n" for line in lines)
    else:
        text = json.dumps({path.name: 50.0 for path in sorted((exported / "images").iterdir())})
    (folder / MADE_UP[name]).write_text(text)
    return folder / MADE_UP[name]


@pytest.mark.parametrize("name", WITH_EXPORT)
def test_four_prompts_are_drawn_judged_and_exported(name, endpoint, command, tmp_path):
    folder = DATA / FOLDERS.get(name, name)
    models = ["--chat", f"{endpoint}#shapes-chat", "--image", f"{endpoint}#shapes-image", "--concurrency", 2]
    common = [name, "--data", folder, "--limit", 4, "--presets", "original", "--images-per-prompt", 1, "--out", "study"]
    judged = bool(find_benchmark(name).judges)
    if name == "oneig-zh":  # the embedded judge knows no Chinese: it is refused before an image is made
        code, out, err = command("eval", *common, *models, "--judge", f"{endpoint}#shapes-chat")
        assert (code, Path("study").exists()) == (2, False)
        assert "3 of the first 3 answers of the judge shapes-chat cannot be read, such as 'unknown'" in err
        judged = False
    code, out, err = command("eval", *common, *models, *(["--judge", f"{endpoint}#shapes-chat"] if judged else []))
    assert code == 0, err
    records = [json.loads(line) for line in Path("study/samples.jsonl").read_text().splitlines()]
    assert len(records) == 4
    assert [record["error"] for record in records] == [""] * 4
    assert all(Path("study", record["path"]).is_file() for record in records)

    code, out, err = command("eval", "export", "study", "--to", "given")
    assert code == 0, err
    pictures = [p for p in Path("given/original").rglob("*") if p.suffix in (".png", ".webp")]
    assert len(pictures) == 4
    assert {Image.open(io.BytesIO(picture.read_bytes())).size for picture in pictures} <= {
        (128, 128),
        (256, 256),
    }  # a grid has four
    if name == "oneig-zh":
        return
    if not judged:
        file = official(name, tmp_path, Path("given/original"))
        code, out, err = command("eval", "import", "study", file)
        assert code == 0, err

    table = Path("study/table.md").read_text()
    assert "these figures say nothing about real models" in table
    if judged:
        assert "the judge shapes-chat is also the loop's verifier" in table
        assert f"the judge shapes-chat is not {find_benchmark(name).official_judge}" in table
    told = json.loads(Path("study/result.json").read_text())
    (found,) = next(iter(told["judges"].values())).values()
    assert found["prompts"] == 4
    first = find_benchmark(name).metrics(find_benchmark(name).read(read_back(folder, name)))[0].name
    rows = list(csv.DictReader(io.StringIO(Path("study/table.csv").read_text())))
    if name not in ("oneig-en", "oneig-zh"):  # whose first metric needs three official scores too
        assert [float(row["value"]) for row in rows if row["metric"] == first] == [found[first]]
        low, high = found["intervals"][first]
        assert low <= found[first] <= high

    before = Path("study/samples.jsonl").read_bytes()
    _, out, _ = command("eval", *common, *models, *(["--judge", f"{endpoint}#shapes-chat"] if judged else []))
    assert "4 recorded images were reused" in out
    assert Path("study/samples.jsonl").read_bytes() == before
    if judged:
        asked = Path("study/answers-shapes-chat.jsonl").read_bytes()
        code, _, _ = command("eval", "score", "study", "--judge", f"{endpoint}#shapes-chat", "--against", "paper")
        assert code == 0
        assert Path("study/answers-shapes-chat.jsonl").read_bytes() == asked  # nothing was asked again


def read_back(folder, name):
    from gems.evaluation.downloads import fetch

    return fetch(find_benchmark(name), folder, say=print).files
