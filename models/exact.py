"""The same picture alone and in a batch, bit by bit, on a CPU in float32.

A seed's noise does not depend on the batch as long as every picture has its own generator, but sums do: the order in which a
kernel adds up depends on the number of rows it is given. On a CPU in float32 these are the places:

- `nn.Linear` with few rows, such as those of a timestep, or with a number of rows that leaves a remainder, uses other kernels:
  rows are added, see `ROWS`.
- Convolutions of a batch, in the decoder, are laid out otherwise: pictures are decoded one by one, which is faster too.
- Text padded to the longest prompt of a batch gives other sums: only prompts of the same length share a call; see
  `Family.length_step`.

On a GPU none of this is done: kernels are chosen by size there in every layer, so that a picture of a batch agrees with the
one made alone to the precision of its number format only. The noise of a seed is the same in both.
"""

from __future__ import annotations

from typing import Any

ROWS = 16
"""Rows of a matrix product, at least, and what their number is a multiple of.

From 16 rows on the first rows of every product of 16 to 2,048 rows were equal to those of the product of 16, for 16 to 2,560
inputs, 16 to 3,072 outputs and one to eight threads (torch 2.13, AMD EPYC); with fewer than 12 they were not.
"""


def make_exact(pipeline: Any) -> None:
    """Change a loaded pipeline so that a picture does not depend on the others in its batch, on a CPU in float32."""
    from torch import nn

    for component in pipeline.components.values():
        if isinstance(component, nn.Module):
            for module in component.modules():
                if type(module) is nn.Linear:
                    _pad_rows(module)


def _pad_rows(linear: Any) -> None:
    import torch
    from torch.nn.functional import pad

    forward = linear.forward

    def padded(x: torch.Tensor) -> torch.Tensor:
        rows = x.shape[:-1].numel()
        missing = -rows % ROWS
        if not missing:
            result: torch.Tensor = forward(x)
            return result
        result = forward(pad(x.reshape(rows, x.shape[-1]), (0, 0, 0, missing)))[:rows]
        return result.reshape(*x.shape[:-1], result.shape[-1])

    linear.forward = padded
