"""The same image alone and in a batch, bit by bit, on a CPU in float32.

A seed's noise does not depend on the batch as long as every image has its own generator, but sums do: the order in which a
kernel adds up depends on the number of rows it is given. On a CPU in float32 these are the places:

- Matrix products of few rows, such as those of a timestep, or of a number of rows that leaves a remainder, use other kernels:
  rows are added, see `ROW_MULTIPLE`.
- Activations are computed in vectors, and what is left over at the end of a thread's share one by one, by another formula:
  nothing is left over, see `LANES`.
- Attention shares its work out among threads, whose scratch memory is aligned differently, unless the number of tokens is a
  multiple of `ROW_MULTIPLE`: else it is done image by image, so that each has the shares that it has alone.
- Convolutions of a batch, in the decoder, are laid out otherwise: images are decoded one by one, which is faster too.
- Text padded to the longest prompt of a batch gives other sums: only prompts of the same length share a call; see
  `PipelineFamily.length_step`.

On a GPU none of this is done: kernels are chosen by size there in every layer, so that an image of a batch agrees with the
one made alone to the precision of its number format only. The noise of a seed is the same in both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.nn import functional
from torch.nn.functional import linear, pad, scaled_dot_product_attention
from torch.overrides import TorchFunctionMode

ROW_MULTIPLE = 16
"""Rows of a matrix product, at least, and what their number is a multiple of.

From 16 rows on, every product of a multiple of 16 rows was equal to the first rows of the product of 1,024, for 32 to 1,024
inputs, 4 to 768 outputs and one to eight threads (torch 2.13, AMD EPYC); with fewer than 12 rows they were not.
"""

LANES = 32
"""Numbers that torch computes at once, two AVX-512 registers, in float32."""

NUMBERS_PER_THREAD = 32768
"""Numbers from which on torch uses one more thread for a function of each number: `at::internal::GRAIN_SIZE`."""

ACTIVATIONS = (functional.silu, functional.gelu, torch.sigmoid, torch.tanh)


class BatchInvariant(TorchFunctionMode):
    """While it is entered, what this thread computes of a row does not depend on the other rows."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        options = kwargs or {}
        if func is linear:
            return _padded_linear(*args, **options)
        if func is scaled_dot_product_attention:
            return _attention_one_by_one(*args, **options)
        if func in ACTIVATIONS:
            return _padded_activation(func, *args, **options)
        return func(*args, **options)


def _padded_linear(x: torch.Tensor, *weight_and_bias: torch.Tensor, **options: torch.Tensor) -> torch.Tensor:
    rows = x.shape[:-1].numel()
    missing = -rows % ROW_MULTIPLE
    if not missing:
        return linear(x, *weight_and_bias, **options)
    result = linear(pad(x.reshape(rows, x.shape[-1]), (0, 0, 0, missing)), *weight_and_bias, **options)[:rows]
    return result.reshape(*x.shape[:-1], result.shape[-1])


def _padded_activation(func: Callable[..., torch.Tensor], x: torch.Tensor, *more: Any, **options: Any) -> torch.Tensor:
    count = x.numel()
    lanes = LANES * min(torch.get_num_threads(), -(-count // NUMBERS_PER_THREAD))
    if not count or (x.is_contiguous() and not count % lanes):
        return func(x, *more, **options)
    return func(pad(x.reshape(-1), (0, -count % lanes)), *more, **options)[:count].reshape(x.shape)


def _attention_one_by_one(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_mask: torch.Tensor | None = None,
    *more: Any,
    **options: Any,
) -> torch.Tensor:
    count = query.shape[0]
    aligned = not any(size % ROW_MULTIPLE for size in (query.shape[-2], key.shape[-2], query.shape[-1]))
    if count == 1 or aligned or query.ndim != 4:
        return scaled_dot_product_attention(query, key, value, attn_mask, *more, **options)
    shared = attn_mask is None or attn_mask.ndim != 4 or attn_mask.shape[0] != count
    masks = [attn_mask] * count if shared or attn_mask is None else attn_mask.chunk(count)
    parts = zip(query.chunk(count), key.chunk(count), value.chunk(count), masks, strict=True)
    return torch.cat([scaled_dot_product_attention(*part, *more, **options) for part in parts])
