"""The training of the image model: its fast path, its checkpoints, and that it ends in weights that load."""

import random

import pytest
import torch
from diffusers import ZImagePipeline

from gems.models.shapes import CALL, WEIGHTS
from gems.models.shapes.language import caption
from gems.models.shapes.world import sample_scene
from gems.studies.shapes_training import nets, rotary, train


@pytest.fixture
def small(monkeypatch):
    """A training of minutes made one of seconds: same code, few scenes and steps."""
    monkeypatch.setattr(train, "SCENES", 20)
    monkeypatch.setattr(train, "POOL", 14)
    monkeypatch.setattr(train, "SAVE_EVERY", 1)
    monkeypatch.setattr(train, "BATCH", {"vae": 2, "text": 4, "denoiser": 4})


def test_the_training_path_computes_what_the_stock_transformer_does():
    torch.manual_seed(0)
    stock, fast = nets.build_transformer(), nets.build_transformer()
    fast.load_state_dict(stock.state_dict())
    rotary.use_real_rotations(fast)
    latents, time, text = (
        torch.randn(3, nets.LATENT_CHANNELS, 16, 16),
        torch.rand(3),
        torch.randn(3, nets.MAX_TOKENS, nets.TEXT_DIM),
    )
    lengths = [1, 12, nets.MAX_TOKENS]
    mask = torch.arange(nets.MAX_TOKENS)[None] < torch.tensor(lengths)[:, None]
    with torch.no_grad():
        wanted = stock([x[:, None] for x in latents], time, [t[:n] for t, n in zip(text, lengths, strict=True)], return_dict=False)[
            0
        ]
        got = rotary.forward(fast, latents, time, text, mask, *rotary.rotations(fast, 8, 8))
    assert torch.allclose(got, torch.stack(wanted).squeeze(2), atol=1e-4)


def test_every_caption_of_training_is_made_of_known_words_and_fits():
    tokenizer, rng = nets.build_tokenizer(), random.Random(1)
    for _ in range(300):
        ids = tokenizer(caption(sample_scene(rng), rng))["input_ids"]
        assert len(ids) <= nets.MAX_TOKENS
        assert tokenizer.unk_token_id not in ids


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("a red circle at the top left", "A red circle, top left"),
        ("an orange star in the center", "a orange star in the middle"),
        ("a star to the left of a square", "a star left of the square"),
    ],
)
def test_the_tokenizer_reads_ways_of_saying_it_alike(one, other):
    words = [t for t in nets.build_tokenizer().tokenize(one) if t not in ("a", ",")]
    assert [t for t in nets.build_tokenizer().tokenize(other) if t not in ("a", ",")] == words


def test_a_killed_training_goes_on_to_the_same_weights(tmp_path, small, monkeypatch):
    (tmp_path / "whole").mkdir()
    (tmp_path / "killed").mkdir()
    whole = train.train_vae(tmp_path / "whole", 4, 7, "cpu").state_dict()
    save, saved = train.TrainingStage._save, []

    def save_twice_then_die(self, optimizer, step):
        save(self, optimizer, step)
        saved.append(step)
        if len(saved) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(train.TrainingStage, "_save", save_twice_then_die)
    with pytest.raises(KeyboardInterrupt):
        train.train_vae(tmp_path / "killed", 4, 7, "cpu")
    again = train.train_vae(tmp_path / "killed", 4, 7, "cpu").state_dict()
    assert saved == [1, 2, 3, 4]
    assert all(torch.equal(whole[k], again[k]) for k in whole)


def test_all_stages_end_in_a_folder_that_draws(tmp_path, small, monkeypatch):
    steps = [f"--{name}-steps=2" for name in train.STEPS]
    monkeypatch.setattr("sys.argv", ["train", f"--out={tmp_path / 'out'}", f"--work={tmp_path / 'work'}", "--device=cpu", *steps])
    train.main()
    pipeline = ZImagePipeline.from_pretrained(tmp_path / "out", dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    image = pipeline("two red circles", generator=torch.Generator().manual_seed(0), **{**CALL, "num_inference_steps": 2}).images[0]
    assert image.size == (128, 128)


def test_the_shipped_weights_are_small_and_have_the_shape_of_the_nets():
    assert sum(f.stat().st_size for f in WEIGHTS.rglob("*") if f.is_file()) < 15_000_000
    pipeline = ZImagePipeline.from_pretrained(WEIGHTS, dtype=torch.float32)
    for part, built in (("vae", nets.build_vae()), ("transformer", nets.build_transformer())):
        assert {k: v.shape for k, v in getattr(pipeline, part).state_dict().items()} == {
            k: v.shape for k, v in built.state_dict().items()
        }
