"""Checkers: what answers some kinds of checks better than a chat model that sees, such as OCR for text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, get_args, runtime_checkable

from PIL import Image

from ...errors import CheckerError
from ...memory.state import Check, CheckKind, Verdict


@runtime_checkable
class Checker(Protocol):
    """Answers checks of some kinds from the pixels. Give yours to `build_graph(checkers=[...])`."""

    name: str
    """Short name, shown to people."""

    kinds: frozenset[CheckKind]
    """Kinds of checks it is asked about."""

    def check(self, image: Image.Image, checks: Sequence[Check]) -> Sequence[Verdict | None]:
        """Return a verdict for each check, in order; None leaves a check to the chat model.

        It may be called from several threads at once.

        Args:
            image: RGB, as it was drawn.
            checks: checks of its kinds, one at least.
        """


def require_checkers(checkers: Sequence[Checker]) -> Sequence[Checker]:
    """Return checkers as they are.

    Raises:
        CheckerError: one is none, or names a kind of checks that does not exist: it would never be asked.
    """
    known = get_args(CheckKind)
    for checker in checkers:
        if not isinstance(checker, Checker):
            raise CheckerError(f"{checker!r} is no checker: it needs a name, kinds and check(image, checks)")
        if unknown := sorted(set(checker.kinds) - set(known)):
            raise CheckerError(f"the checker {checker.name}: no kind {unknown[0]!r}; the kinds are {', '.join(known)}")
    return checkers


def installed_checkers() -> tuple[Checker, ...]:
    """Return the checkers that this installation has, in the order in which they are asked: OCR, with the extra `ocr`."""
    from . import ocr  # NumPy, which those who only name the protocol need not wait for

    return (ocr.OcrChecker(),) if ocr.is_installed() else ()
