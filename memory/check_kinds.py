"""The kinds of checks. To add one, add its entry to `KINDS`: nothing else lists the kinds.

The entries are read by `CheckKind` in `state.py`, and so by all schemas and stores; by the decomposer's prompt; by the comparison
of answers (`FORMS` in `nodes/checks/answers.py`), the verifier and the checkers; by the form of a review; by `gems lessons`. A
test compares the table in docs/checks.md with them.
"""

from __future__ import annotations

from typing import NamedTuple


class CheckKindEntry(NamedTuple):
    """A kind of checks: how the decomposer asks such a question, and how its answers are compared."""

    name: str
    """Checkpoints and lessons contain it: it never changes."""
    about: str = ""
    """What the decomposer is told beside the name; empty where the name says it."""
    rule: str = ""
    """How the decomposer asks, if otherwise than for a "yes"; a rule of its prompt."""
    expected: str = ""
    """What the decomposer gives as the expected answer, if not "yes"."""
    form: str = "yes or no"
    """Form of the answer, a key of `FORMS` in `nodes/checks/answers.py`. Questions of other forms are open."""
    compared: str = ""
    """How an answer is compared, for people who add a check in a review; empty for yes or no."""

    @property
    def is_open(self) -> bool:
        """Whether the question does not tell the answer: "How many ...?", "What does ... say?"."""
        return self.form != "yes or no"

    @property
    def is_text(self) -> bool:
        """Whether a text of the image is read out."""
        return self.form == "text"


_ENTRIES = (
    CheckKindEntry("object"),
    CheckKindEntry(
        "count",
        rule="""\
Numbers are asked openly: "How many red circles are there?" with the expected answer "three", never "Are there three \
circles?". Ask it for each object whose number the request gives, including "a" and "one" where a second one would be wrong.""",
        expected="for a count the number as a word",
        form="number",
    ),
    CheckKindEntry("attribute"),
    CheckKindEntry(
        "relation",
        rule="""\
Relations are asked from the viewer's side of the image, over all the things concerned: "Are all the circles above the \
square?\"""",
    ),
    CheckKindEntry(
        "text",
        rule="""\
Text is asked openly: "What does the sign say?" with the exact string as the expected answer. No question of any kind \
quotes a text that is to be read: "Are the letters on the sign red?".""",
        expected="for text the exact string",
        form="text",
        compared="the answer is read out and compared letter for letter",
    ),
    CheckKindEntry("style"),
    CheckKindEntry("knowledge", about="a visible fact that follows from the world rather than from the words"),
)

KINDS = {kind.name: kind for kind in _ENTRIES}
"""The kinds by name, in the order in which the decomposer is told about them."""
