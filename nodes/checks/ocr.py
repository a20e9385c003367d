"""OCR as a checker: RapidOCR reads the texts of an image, with the models in its package."""

from __future__ import annotations

import importlib.util
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from ...errors import GemsError
from ...memory.check_kinds import KINDS
from ...memory.state import Check, CheckKind, Verdict
from ...pixels import to_rgb
from .answers import expects_text
from .text_match import TextMatch, compare_text, normalize

MIN_CONFIDENCE = 0.9
"""Confidence from which a line counts as read. Upright, legible text has more, text upside down or on its side less."""

MIN_SIMILARITY = 0.4
"""Similarity from which a text counts as misspelled. Below it is another text, and the wanted one may have been missed."""

_LOOKALIKES = str.maketrans(
    {**dict.fromkeys("0oO", "o"), **dict.fromkeys("1lI|", "l"), **{s: s.lower() for s in "CKPSUVWXYZ"}, " ": ""}
)


class TextLine(NamedTuple):
    """A line of text with its confidence, 0 to 1, and its box in pixels."""

    text: str
    confidence: float
    left: float
    top: float
    right: float
    bottom: float


class OcrChecker:
    """Answers text checks by OCR, and leaves doubtful ones to the chat model.

    It leaves a check if it reads nothing similar (the text may be drawn in a way that it cannot read), if its confidence is
    low, if only characters that look alike differ (O and 0, l and I, S and s, a space), and if its models do not know a
    character of the text.

    Raises:
        GemsError: RapidOCR is not installed.
    """

    name = "OCR"
    kinds: frozenset[CheckKind] = frozenset(kind.name for kind in KINDS.values() if kind.is_text)

    def __init__(self) -> None:
        if not is_installed():
            raise GemsError('OCR needs RapidOCR, which is not installed: pip install -c constraints.txt -e ".[ocr]"')
        self._engine: Any = None
        self._lock = threading.Lock()

    def check(self, image: Image.Image, checks: Sequence[Check]) -> list[Verdict | None]:
        """Return a verdict for each check whose text could be read, None for the others."""
        wanted = [c.expected for c in checks if expects_text(c)]
        lines = self.read(image) if wanted else []
        known = frozenset(self._engine.text_rec.postprocess_op.character) | {" "} if lines else frozenset()
        return [_verdict(c, lines) if expects_text(c) and known.issuperset(normalize(c.expected)) else None for c in checks]

    def read(self, image: Image.Image) -> list[TextLine]:
        """Return the lines of text in an image, top to bottom and left to right."""
        pixels = np.asarray(to_rgb(image))[:, :, ::-1]  # BGR, as in OpenCV
        with self._lock:
            self._engine = self._engine or _load_engine()
            result = self._engine(np.ascontiguousarray(pixels))
        if result.txts is None or result.boxes is None or result.scores is None:
            return []
        spans = [(*box.min(axis=0).tolist(), *box.max(axis=0).tolist()) for box in result.boxes]
        lines = [TextLine(text, float(score), *span) for text, score, span in zip(result.txts, result.scores, spans, strict=True)]
        return [line for row in rows(lines) for line in row]


def is_installed() -> bool:
    """Return whether RapidOCR and its runtime are installed, without importing them."""
    return all(importlib.util.find_spec(name) is not None for name in ("rapidocr", "onnxruntime"))


def rows(lines: Sequence[TextLine]) -> list[list[TextLine]]:
    """Return lines by rows, top to bottom, and within a row left to right."""
    grouped: list[list[TextLine]] = []
    for line in sorted(lines, key=_middle):
        last = grouped[-1][-1] if grouped else None
        if last and _middle(line) - _middle(last) < min(_height(line), _height(last)) / 2:
            grouped[-1].append(line)
        else:
            grouped.append([line])
    return [sorted(row, key=lambda line: line.left) for row in grouped]


def columns(lines: Sequence[TextLine]) -> list[list[TextLine]]:
    """Return lines by columns, such as two signs side by side, each top to bottom."""
    grouped: list[list[TextLine]] = []
    for line in sorted(lines, key=lambda line: line.top):
        column = next((c for c in grouped if _is_below(line, c[-1])), None)
        if column is None:
            grouped.append([line])
        else:
            column.append(line)
    return grouped


def _verdict(check: Check, lines: Sequence[TextLine]) -> Verdict | None:
    confident = [line for line in lines if line.confidence >= MIN_CONFIDENCE]
    match, best_match = _compare(check.expected, confident), _compare(check.expected, lines)
    text = "\n".join(" ".join(line.text for line in row) for row in rows(confident))
    if match.passed:
        return Verdict(check=check.id, passed=True, answer=text)
    wanted = normalize(check.expected)
    near = match.similarity >= MIN_SIMILARITY or match.nearest.casefold() == wanted.casefold()
    if not near or match.similarity < best_match.similarity or _fold_lookalikes(match.nearest) == _fold_lookalikes(wanted):
        return None
    return Verdict(check=check.id, passed=False, answer=text, probability=match.probability, reason=match.difference)


def _compare(expected: str, lines: Sequence[TextLine]) -> TextMatch:
    """Compare with the lines row by row and column by column; return the better match."""
    orders: tuple[Callable[[Sequence[TextLine]], list[list[TextLine]]], ...] = (rows, columns)
    read = ["\n".join(line.text for group in order(lines) for line in group) for order in orders]
    return max((compare_text(expected, text) for text in read), key=lambda match: match.similarity)


def _fold_lookalikes(text: str) -> str:
    return text.translate(_LOOKALIKES)


def _middle(line: TextLine) -> float:
    return (line.top + line.bottom) / 2


def _height(line: TextLine) -> float:
    return line.bottom - line.top


def _is_below(line: TextLine, above: TextLine) -> bool:
    overlap = min(line.right, above.right) - max(line.left, above.left)
    narrower = min(line.right - line.left, above.right - above.left)
    gap = line.top - above.bottom
    return overlap > narrower / 2 and -_height(line) / 2 < gap < max(_height(line), _height(above))


def _load_engine() -> Any:
    """Return the engine with the models of its package, by path: models by name would be downloaded."""
    import rapidocr

    folder = Path(rapidocr.__file__).parent / "models"
    models = {step: sorted(folder.glob(f"*_{step.lower()}_*.onnx")) for step in ("Det", "Rec")}
    if missing := [step for step, files in models.items() if not files]:
        raise GemsError(f"The OCR models ({', '.join(missing)}) are missing: pip install --force-reinstall rapidocr")
    paths = {f"{step}.model_path": str(files[-1]) for step, files in models.items()}
    # Without the classifier of orientation, which would make text upside down look upright.
    # Threads leave cores to other models: waiting ones of the engine spin.
    settings = {
        "Global.use_cls": False,
        "Global.log_level": "critical",
        "EngineConfig.onnxruntime.intra_op_num_threads": max(1, min(4, (os.cpu_count() or 1) // 2)),
    }
    return rapidocr.RapidOCR(params={**settings, **paths})
