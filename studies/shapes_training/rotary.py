"""A faster way through the diffusion transformer, for training only.

The stock `ZImageTransformer2DModel.forward` takes lists of images of any size and rotates by complex numbers. In
training every sample has the same size, so one dense batch in real arithmetic does, which `torch.compile` can fuse:
about twice the speed on a CPU. A test checks that both give the same numbers.
"""

from __future__ import annotations

import torch
from diffusers import ZImageTransformer2DModel
from diffusers.models.attention_processor import Attention
from torch.nn import functional

from .nets import MAX_TOKENS

Rotation = tuple[torch.Tensor, torch.Tensor]


class RealRotaryProcessor:
    """Self-attention with rotary positions given as (cosine, sine), each (tokens, 1, head_dim / 2)."""

    def __call__(
        self,
        attn: Attention,
        hidden_states: torch.Tensor,
        encoder_hidden_states: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        freqs_cis: Rotation | None = None,
    ) -> torch.Tensor:
        """Attend over `hidden_states` (batch, tokens, dim); the other inputs of the stock processor do not occur."""
        assert freqs_cis is not None
        query, key, value = (to(hidden_states).unflatten(-1, (attn.heads, -1)) for to in (attn.to_q, attn.to_k, attn.to_v))
        query, key = _rotate(attn.norm_q(query), freqs_cis), _rotate(attn.norm_k(key), freqs_cis)
        query, key = query.to(value.dtype), key.to(value.dtype)
        out = functional.scaled_dot_product_attention(query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2))
        return attn.to_out[0](out.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]


def _rotate(x: torch.Tensor, rotation: Rotation) -> torch.Tensor:
    cosine, sine = rotation
    a, b = x.float().reshape(*x.shape[:-1], -1, 2).unbind(-1)
    return torch.stack([a * cosine - b * sine, a * sine + b * cosine], -1).flatten(-2)


def rotations(transformer: ZImageTransformer2DModel, rows: int, columns: int) -> tuple[Rotation, Rotation]:
    """Return the rotations of a `rows` x `columns` image and of a text of `MAX_TOKENS` tokens."""
    grid = transformer.create_coordinate_grid

    def parts(ids: torch.Tensor) -> Rotation:
        turns = transformer.rope_embedder(ids.flatten(0, 2))[:, None]
        return turns.real.contiguous(), turns.imag.contiguous()

    return parts(grid((1, rows, columns), (MAX_TOKENS + 1, 0, 0))), parts(grid((MAX_TOKENS, 1, 1), (1, 0, 0)))


def use_real_rotations(transformer: ZImageTransformer2DModel) -> None:
    """Give every attention layer the processor of this file, in place."""
    for module in transformer.modules():
        if isinstance(module, Attention):
            module.set_processor(RealRotaryProcessor())


def forward(
    transformer: ZImageTransformer2DModel,
    latents: torch.Tensor,
    time: torch.Tensor,
    text: torch.Tensor,
    mask: torch.Tensor,
    image_turns: Rotation,
    text_turns: Rotation,
) -> torch.Tensor:
    """Predict (clean - noise) for a dense batch.

    Args:
        transformer: the diffusion transformer, prepared by `use_real_rotations`.
        latents: (batch, channels, height, width) noisy latents.
        time: (batch,) 1 minus the noise level: 0 is pure noise.
        text: (batch, MAX_TOKENS, TEXT_DIM) text encoder output; rows past the prompt are ignored.
        mask: (batch, MAX_TOKENS) true where a token belongs to the prompt.
        image_turns: from `rotations`.
        text_turns: from `rotations`.

    Returns:
        (batch, channels, height, width).
    """
    batch, channels, height, width = latents.shape
    rows, columns = height // 2, width // 2
    patches = latents.view(batch, channels, rows, 2, columns, 2).permute(0, 2, 4, 3, 5, 1).reshape(batch, rows * columns, -1)
    condition = transformer.t_embedder(time * transformer.t_scale)
    x = transformer.all_x_embedder["2-1"](patches)
    for layer in transformer.noise_refiner:
        x = layer(x, None, image_turns, condition)
    words = transformer.cap_embedder(text)
    words = torch.where(mask[..., None], words, transformer.cap_pad_token.to(words.dtype))
    for layer in transformer.context_refiner:
        words = layer(words, None, text_turns)
    stream = torch.cat([x, words], 1)
    turns = (torch.cat([image_turns[0], text_turns[0]]), torch.cat([image_turns[1], text_turns[1]]))
    for layer in transformer.layers:
        stream = layer(stream, None, turns, condition)
    out: torch.Tensor = transformer.all_final_layer["2-1"](stream[:, : rows * columns], condition)
    return out.view(batch, rows, columns, 2, 2, channels).permute(0, 5, 1, 3, 2, 4).reshape(batch, channels, height, width)
