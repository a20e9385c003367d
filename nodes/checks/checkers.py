"""Checkers: code that answers some kinds of checks better than a chat model, such as OCR for text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from PIL import Image

from ...errors import CheckerError
from ...memory.check_kinds import KINDS
from ...memory.state import Check, CheckKind, Verdict


@runtime_checkable
class Checker(Protocol):
    """Answers checks of some kinds from the pixels. Pass your own to `build_graph(checkers=[...])`."""

    name: str
    """Short name, shown to people."""

    kinds: frozenset[CheckKind]
    """Kinds of checks that it answers."""

    def check(self, image: Image.Image, checks: Sequence[Check]) -> Sequence[Verdict | None]:
        """Return a verdict for each check, in order; None leaves a check to the chat model.

        It may be called from several threads at the same time.

        Args:
            image: in RGB, in its original size.
            checks: at least one, of its kinds.
        """


def require_checkers(checkers: Sequence[Checker]) -> Sequence[Checker]:
    """Return the checkers unchanged.

    Raises:
        CheckerError: there is no list of checkers, an object is not a checker, or a kind of checks does not exist.
    """
    if isinstance(checkers, str) or not isinstance(checkers, Sequence):
        raise CheckerError(f"checkers={checkers!r} is not a list of checkers: give checkers=[...], or [] for none")
    for checker in checkers:
        if not isinstance(checker, Checker):
            raise CheckerError(f"{checker!r} is not a checker: it needs a name, kinds and check(image, checks)")
        if unknown := sorted(set(checker.kinds) - set(KINDS)):
            raise CheckerError(f"the checker {checker.name}: there is no kind {unknown[0]!r}; the kinds are {', '.join(KINDS)}")
    return checkers


def installed_checkers() -> tuple[Checker, ...]:
    """Return the checkers of this installation, in the order in which they are asked: OCR, with the extra `ocr`."""
    from . import ocr  # imports NumPy, which users of the protocol alone need not wait for

    return (ocr.OcrChecker(),) if ocr.is_installed() else ()
