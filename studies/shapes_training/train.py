"""Train the shapes image model from a seed: `python -m studies.shapes_training.train --out DIR`.

Three stages, each with checkpoints from which a killed training is resumed:

1. `vae`: the autoencoder, on drawn scenes; foreground pixels weigh nine times as much, or colours blur together.
2. `text`: the text encoder alone learns to tell from a caption what stands in each of the nine cells. It is cheap, and
   without it positions are learnt only very late, if at all: the transformer then has to find out at once what the
   words mean and how images are made.
3. `denoiser`: the transformer learns the flow from noise to latents (velocity target, logit-normal times) with the text
   encoder frozen; an exponential average of its weights is what ships.
"""

from __future__ import annotations

import argparse
import ast
import copy
import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from diffusers import AutoencoderKL, ZImagePipeline, ZImageTransformer2DModel
from torch import nn
from torch.nn import functional
from transformers import Qwen3Model

from gems.models.shapes import CALL, WEIGHTS
from gems.models.shapes.language import caption
from gems.models.shapes.world import BACKGROUND, CELLS, COLORS, SHAPES, DrawnThing, Scene, draw, row_and_column, sample_scene

from . import nets, rotary

STEPS = {"vae": 1600, "text": 1500, "denoiser": 8000}
BATCH = {"vae": 12, "text": 256, "denoiser": 64}
RATE = {"vae": 2e-3, "text": 1e-3, "denoiser": 1e-3}
SCENES = 24_000
POOL = 4000
"""Drawn scenes of the autoencoder's training."""
SAVE_EVERY = 500
WORTH_COMPILING = 200
"""Fewest steps for which compiling the transformer, about a minute, is worth it."""
EMPTY_CAPTION = 0.1
"""Share of empty captions, which classifier-free guidance needs."""


class CurriculumPhase(NamedTuple):
    """A phase of the denoiser's training: its end as a share of the steps, the share of layouts among captions, and their care."""

    until: float
    detail: float
    careless: bool


CURRICULUM = (CurriculumPhase(0.25, 0.6, False), CurriculumPhase(0.5, 0.15, False), CurriculumPhase(1.0, 0.25, True))
"""First places, then short requests; last, layouts with careless captions: see `describe_carelessly`."""
UNKNOWN_WORDS = 0.05
"""Share of captions that begin with unknown words, so that "please draw ..." does no harm."""


class TrainingStage:
    """One training loop: schedule, progress line, checkpoints and resume."""

    def __init__(self, name: str, modules: dict[str, nn.Module], work: Path, steps: int, seed: int) -> None:
        self.name, self.modules, self.steps, self.file = name, modules, steps, work / f"{name}.pt"
        self.rng = random.Random(f"{seed}/{name}")
        self.step = 0

    def run(
        self,
        optimizer: torch.optim.Optimizer,
        loss_of: Callable[[random.Random], torch.Tensor],
        each: Callable[[], None] | None = None,
    ) -> None:
        """Train for `steps` steps, or the rest of them where a checkpoint is found."""
        rates = [group["lr"] for group in optimizer.param_groups]
        start = self._load(optimizer)
        began, shown = time.monotonic(), 0.0
        for step in range(start, self.steps):
            warm = min(1.0, (step + 1) / 200)
            left = min(1.0, (self.steps - step) / (0.3 * self.steps))
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * warm * left
            self.step = step
            loss = loss_of(self.rng)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_([p for g in optimizer.param_groups for p in g["params"]], 1.0)
            optimizer.step()
            if each:
                each()
            shown = loss.item() if step == start else 0.98 * shown + 0.02 * loss.item()
            if (step + 1) % 50 == 0:
                pace = (time.monotonic() - began) / (step + 1 - start)
                left_s = pace * (self.steps - step - 1)
                progress = f"loss {shown:.4f}  {pace:.2f} s/step  {left_s / 60:.0f} min left"
                print(f"{self.name} {step + 1}/{self.steps}  {progress}", flush=True)
            if (step + 1) % SAVE_EVERY == 0 or step + 1 == self.steps:
                self._save(optimizer, step + 1)

    def _save(self, optimizer: torch.optim.Optimizer, step: int) -> None:
        state = {k: m.state_dict() for k, m in self.modules.items()}
        whole = {
            "step": step,
            "modules": state,
            "optimizer": optimizer.state_dict(),
            "torch": torch.get_rng_state(),
            "python": repr(self.rng.getstate()),
        }
        temporary = self.file.with_suffix(".tmp")
        torch.save(whole, temporary)
        temporary.replace(self.file)

    def _load(self, optimizer: torch.optim.Optimizer) -> int:
        if not self.file.exists():
            return 0
        whole = torch.load(self.file, weights_only=True)
        for k, m in self.modules.items():
            m.load_state_dict(whole["modules"][k])
        optimizer.load_state_dict(whole["optimizer"])
        torch.set_rng_state(whole["torch"])
        self.rng.setstate(ast.literal_eval(whole["python"]))
        print(f"{self.name}: resumed at step {whole['step']}", flush=True)
        return int(whole["step"])


def image_tensor(scenes: list[Scene]) -> torch.Tensor:
    """Draw scenes as a (n, 3, 128, 128) tensor in [-1, 1]."""
    arrays = np.stack([np.asarray(draw(s.things, 3)) for s in scenes])
    return torch.from_numpy(arrays).permute(0, 3, 1, 2).float() / 127.5 - 1


def train_vae(work: Path, steps: int, seed: int, device: str) -> AutoencoderKL:
    """Train the autoencoder on freshly drawn scenes."""
    torch.manual_seed(seed)
    vae = nets.build_vae().to(device)
    stage = TrainingStage("vae", {"vae": vae}, work, steps, seed)
    rng = random.Random(f"{seed}/vae scenes")
    pool = image_tensor([sample_scene(rng) for _ in range(POOL)])
    plain = torch.tensor(BACKGROUND).view(1, 3, 1, 1) / 127.5 - 1

    def loss_of(rng: random.Random) -> torch.Tensor:
        images = pool[rng.sample(range(len(pool)), BATCH["vae"])].to(device)
        posterior = vae.encode(images).latent_dist
        out = vae.decode(posterior.sample()).sample
        thing = ((images - plain.to(device)).abs().amax(1, keepdim=True) > 0.1).float()
        weight = 1 + 8 * functional.max_pool2d(thing, 5, 1, 2)
        error = (out - images).abs() + 2 * (out - images) ** 2
        loss: torch.Tensor = (error * weight).mean() / weight.mean() + 1e-4 * posterior.kl().mean() / posterior.mean[0].numel()
        return loss

    stage.run(torch.optim.AdamW(vae.parameters(), lr=RATE["vae"], betas=(0.9, 0.99)), loss_of)
    return vae


class CellReader(nn.Module):
    """Predicts the content of each cell from the token states of a caption; only for pretraining the text encoder."""

    def __init__(self) -> None:
        super().__init__()
        self.queries = nn.Parameter(torch.randn(len(CELLS), nets.TEXT_DIM) * 0.02)
        self.attention = nn.MultiheadAttention(nets.TEXT_DIM, 4, batch_first=True)
        self.norm = nn.LayerNorm(nets.TEXT_DIM)
        self.out = nn.Sequential(nn.Linear(nets.TEXT_DIM, nets.TEXT_DIM), nn.GELU(), nn.Linear(nets.TEXT_DIM, THING_CLASSES))

    def forward(self, text: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Map (batch, tokens, TEXT_DIM) states to (batch, 9, THING_CLASSES) logits."""
        queries = self.queries.expand(len(text), -1, -1)
        seen, _ = self.attention(queries, text, text, key_padding_mask=~mask, need_weights=False)
        return self.out(self.norm(seen + queries))  # type: ignore[no-any-return]


THING_CLASSES = 1 + len(SHAPES) * len(COLORS)


def cell_classes(scene: Scene) -> list[int]:
    """Return the class of each of the nine cells: 0 for nothing, else 1 + shape * 6 + colour."""
    cells = [0] * len(CELLS)
    for thing in scene.things:
        cells[thing.cell] = 1 + SHAPES.index(thing.shape) * len(COLORS) + list(COLORS).index(thing.color)
    return cells


class CaptionTokenizer:
    """Captions to token tensors."""

    def __init__(self) -> None:
        self.tokenizer = nets.build_tokenizer()

    def __call__(self, captions: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return ids and mask, each (batch, MAX_TOKENS)."""
        out = self.tokenizer(captions, padding="max_length", max_length=nets.MAX_TOKENS, truncation=True, return_tensors="pt")
        return out["input_ids"], out["attention_mask"].bool()


def hidden_states(text_encoder: Qwen3Model, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return the hidden states that `ZImagePipeline` reads: (batch, MAX_TOKENS, TEXT_DIM)."""
    out = text_encoder(input_ids=ids, attention_mask=mask, output_hidden_states=True)
    return out.hidden_states[-2]  # type: ignore[no-any-return]


def train_text(work: Path, steps: int, seed: int, device: str) -> Qwen3Model:
    """Pretrain the text encoder to predict the content of each cell."""
    torch.manual_seed(seed)
    words = CaptionTokenizer()
    text_encoder, reader = nets.build_text_encoder(len(words.tokenizer)).to(device), CellReader().to(device)
    stage = TrainingStage("text", {"text_encoder": text_encoder, "reader": reader}, work, steps, seed)
    rng = random.Random(f"{seed}/text scenes")
    pool = [sample_scene(rng) for _ in range(SCENES)]

    def loss_of(rng: random.Random) -> torch.Tensor:
        scenes = rng.sample(pool, BATCH["text"])
        ids, mask = (t.to(device) for t in words([caption(s, rng, detail=0.8) for s in scenes]))
        target = torch.tensor([cell_classes(s) for s in scenes], device=device)
        with torch.autocast(device, torch.bfloat16):
            logits = reader(hidden_states(text_encoder, ids, mask), mask)
        return functional.cross_entropy(logits.float().flatten(0, 1), target.flatten())

    stage.run(torch.optim.AdamW([*text_encoder.parameters(), *reader.parameters()], lr=RATE["text"], weight_decay=0.01), loss_of)
    return text_encoder


def encode_scenes(vae: AutoencoderKL, scenes: list[Scene], device: str) -> torch.Tensor:
    """Encode scenes as (n, channels, 16, 16) latents, in half precision to save memory."""
    out = []
    with torch.no_grad():
        for i in range(0, len(scenes), 100):
            out.append(vae.encode(image_tensor(scenes[i : i + 100]).to(device)).latent_dist.mode().half().cpu())
            if i % 5000 == 0:
                print(f"latents {i}/{len(scenes)}", flush=True)
    return torch.cat(out)


def train_denoiser(work: Path, steps: int, seed: int, device: str, vae: nn.Module, text_encoder: nn.Module) -> nn.Module:
    """Train the transformer on the latents of drawn scenes; return the averaged weights."""
    torch.manual_seed(seed)
    words, transformer = CaptionTokenizer(), nets.build_transformer().to(device)
    rotary.use_real_rotations(transformer)
    text_encoder.to(device).requires_grad_(False)
    average: ZImageTransformer2DModel = copy.deepcopy(transformer)
    average.requires_grad_(False)
    stage = TrainingStage("denoiser", {"transformer": transformer, "average": average}, work, steps, seed)
    rng = random.Random(f"{seed}/denoiser scenes")
    pool = [sample_scene(rng) for _ in range(SCENES)]
    cache = work / "latents.pt"
    if not cache.exists():
        torch.save(encode_scenes(vae, pool, device), cache)
    latents = torch.load(cache, weights_only=True)
    shift, scale = latents.float().mean(), 1 / latents.float().std()
    cast("Any", vae).register_to_config(scaling_factor=float(scale), shift_factor=float(shift))
    image_turns, text_turns = ((cos.to(device), sin.to(device)) for cos, sin in rotary.rotations(transformer, 8, 8))
    run = torch.compile(rotary.forward) if steps >= WORTH_COMPILING else rotary.forward

    def loss_of(rng: random.Random) -> torch.Tensor:
        picks = rng.sample(range(SCENES), BATCH["denoiser"])
        phase = next(p for p in CURRICULUM if stage.step < p.until * steps)
        clean = ((latents[picks].float() - shift) * scale).to(device)
        noise = torch.randn(clean.shape).to(device)
        sigma = torch.sigmoid(torch.randn(len(picks)) + 0.2).to(device)
        noisy = clean + sigma.view(-1, 1, 1, 1) * (noise - clean)
        ids, mask = (t.to(device) for t in words([training_caption(pool[i], rng, phase) for i in picks]))
        with torch.autocast(device, torch.bfloat16):
            with torch.no_grad():
                text = hidden_states(text_encoder, ids, mask)
            out = run(transformer, noisy, 1 - sigma, text, mask, image_turns, text_turns)
        return functional.mse_loss(out.float(), clean - noise)

    def follow() -> None:
        keep = min(0.998, stage.step / (stage.step + 20))
        torch._foreach_lerp_(list(average.parameters()), list(transformer.parameters()), 1 - keep)

    optimizer = torch.optim.AdamW(transformer.parameters(), lr=RATE["denoiser"], weight_decay=0.01, betas=(0.9, 0.98))
    stage.run(optimizer, loss_of, follow)
    return average  # type: ignore[no-any-return]


def training_caption(scene: Scene, rng: random.Random, phase: CurriculumPhase) -> str:
    """Caption a scene for the denoiser: sometimes empty, sometimes with unknown words at the start."""
    if rng.random() < EMPTY_CAPTION:
        return ""
    filler = "please draw " if rng.random() < UNKNOWN_WORDS else ""
    if rng.random() >= phase.detail:
        return filler + caption(scene, rng, detail=0.0)
    things = describe_carelessly(scene.things, rng) if phase.careless else scene.things
    return filler + caption(scene._replace(things=things), rng, detail=1.0)


def describe_carelessly(things: Sequence[DrawnThing], rng: random.Random) -> tuple[DrawnThing, ...]:
    """Move things as careless captions do: what is at the top left is often just "at the top".

    This makes the model imperfect at layouts: a named corner is a corner, but a named edge may be one of its corners.
    Sometimes a colour or a shape is wrong too.
    """
    described = []
    for thing in things:
        row, column = row_and_column(thing.cell)
        corner = row != 1 and column != 1
        if rng.random() < (0.4 if corner else 0.05):
            row, column = rng.choice([(1, column), (row, 1)] if corner else [(1, 1), (row, column)])
        color = rng.choice(list(COLORS)) if rng.random() < 0.04 else thing.color
        shape = rng.choice(SHAPES) if rng.random() < 0.04 else thing.shape
        described.append(thing._replace(cell=3 * row + column, color=color, shape=shape))
    return tuple(described)


def export(work: Path, out: Path, vae: AutoencoderKL, text_encoder: Qwen3Model, denoiser: ZImageTransformer2DModel) -> None:
    """Write the trained parts as a diffusers folder in half precision, and check that it loads and draws."""
    transformer = nets.build_transformer()  # with the stock attention again
    transformer.load_state_dict(denoiser.state_dict())
    for part in (vae, text_encoder, transformer):
        part.cpu().eval().half()
    nets.assemble(vae, text_encoder, transformer).save_pretrained(out)
    for file in out.rglob("*.safetensors"):
        file.chmod(0o644)
    pipeline = ZImagePipeline.from_pretrained(out, dtype=torch.float32)
    picture = pipeline("a red circle", generator=torch.Generator().manual_seed(0), **CALL).images[0]
    picture.save(work / "sample.png")
    size = sum(f.stat().st_size for f in out.rglob("*") if f.is_file())
    print(f"{out}: {size / 1e6:.1f} MB", flush=True)


def main() -> None:
    """Train all stages and write the weights."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=WEIGHTS, help="where the weights go (default: those of the package)")
    work_help = "checkpoints, from which a killed training is resumed"
    parser.add_argument("--work", type=Path, default=Path("runs/shapes-training"), help=work_help)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    for name, steps in STEPS.items():
        parser.add_argument(f"--{name}-steps", type=int, default=steps)
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    vae = train_vae(args.work, args.vae_steps, args.seed, args.device)
    text_encoder = train_text(args.work, args.text_steps, args.seed, args.device)
    denoiser = train_denoiser(args.work, args.denoiser_steps, args.seed, args.device, vae, text_encoder)
    export(args.work, args.out, vae, text_encoder, denoiser)


if __name__ == "__main__":
    main()
