"""The two means of Soft-TIFA, over the scores of the questions about one image.

From "GenEval 2: Addressing Benchmark Drift in Text-to-Image Evaluation" (arXiv 2512.16853, facebookresearch/GenEval2). Each
question scores between 0 and 1: the probability that its answer is the expected one, or plainly 0 or 1. The arithmetic mean says
how many atoms are right, the geometric mean whether the prompt as a whole is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence


def arithmetic_mean(scores: Sequence[float]) -> float:
    """Return Soft-TIFA AM of one prompt: sum(s_i) / n.

    Raises:
        ValueError: there are no scores.
    """
    if not scores:
        raise ValueError("no scores to average: a prompt needs at least one question")
    return math.fsum(scores) / len(scores)


def geometric_mean(scores: Sequence[float]) -> float:
    """Return Soft-TIFA GM of one prompt: (s_1 * ... * s_n) ** (1 / n); a single zero makes it zero.

    Raises:
        ValueError: there are no scores.
    """
    if scores and min(scores) <= 0:
        return 0.0
    return math.exp(arithmetic_mean([math.log(score) for score in scores]))
