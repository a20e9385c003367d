"""Runs and studies that were recorded when noise was a setting."""

import json

import pytest

from gems import Gems, ImageStore, RunContext, run
from gems.errors import RunError
from gems.evaluation.noise import noisy
from gems.evaluation.run_records import read_definition
from gems.evaluation.study import load_study
from gems.evaluation.variants import make_variants
from gems.models.shapes.chat import ShapesChat
from gems.nodes.verifier import verifier
from gems.runs.manifest import MANIFESTS
from gems.storage.checksums import add_hash, verify_hash
from gems.storage.workspace import Workspace

from .small_studies import compare


def test_a_setting_that_says_nothing_is_left_out_and_any_other_refused():
    assert RunContext(noise_fp=0.0, noise_fn=0) == RunContext()
    with pytest.raises(ValueError, match="noise_fp"):
        RunContext(noise_fp=0.1)


@pytest.mark.parametrize("rate", [0.0, 0.2])
def test_a_stored_run_is_shown_and_resumed_with_the_wrapper_if_it_had_noise(tmp_path, sketcher, rate):
    run("a red circle", image=sketcher, runs=tmp_path, thread="old")
    with Workspace(tmp_path).database.open() as opened:
        manifest = verify_hash(opened.store.get(MANIFESTS, "old").value)
        manifest["context"] |= {"noise_fp": rate, "noise_fn": 0.0}
        opened.store.put(MANIFESTS, "old", add_hash(manifest), index=False)
    assert Gems(runs=tmp_path).get("old").decision == "accept"
    nodes = {"verifier": noisy(verifier(ShapesChat(), ImageStore(tmp_path / "images").read), fp=rate)} if rate else None
    if rate:
        with pytest.raises(RunError, match=r"roles swapped: verifier; from Python, pass the same: Gems\(nodes=\.\.\.\)"):
            Gems(image=sketcher, runs=tmp_path).resume("old")
    assert Gems(image=sketcher, runs=tmp_path, nodes=nodes).resume("old").decision == "accept"


def test_a_stored_study_is_read_and_one_with_noise_is_another_one(tmp_path, sketcher):
    folder = compare(make_variants(["original"]), limit=1, out=tmp_path, image=sketcher).folder
    plain, path = read_definition(folder), folder / "study.json"
    stored = json.loads(path.read_text("utf-8"))
    stored.pop("nodes")
    for rate, difference in ((0.0, None), (0.2, "the swapped nodes")):
        stored["variants"]["original"] |= {"noise_fp": rate, "noise_fn": 0.0}
        path.write_text(json.dumps(stored), "utf-8")
        assert read_definition(folder).difference(plain) == difference
        assert load_study(folder).results[0].prompts == 1
