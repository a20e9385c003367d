"""How the asking of a judge goes on until every answer is in the book, and how the answers about an image are read from it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import NamedTuple

from ..errors import GemsError
from .answers import AnswerBook, Key
from .benchmark import Answer, Answers, Question
from .judging import Judge, JudgeError


class Work(NamedTuple):
    """A question about an image of a run."""

    question: Question
    read: Callable[[], bytes]
    """Gives the image's bytes; called only if something is to be asked."""
    image: str
    """SHA-256 of these bytes."""
    sample: str
    """Id of the prompt."""


class Collected(NamedTuple):
    """How asking went: answers that were in the book already, answers asked for, and empty ones among these."""

    known: int
    asked: int
    empty: int


def collect(
    judge: Judge,
    work: Iterable[Work],
    book: AnswerBook,
    *,
    concurrency: int = 8,
    on_done: Callable[[bool], None] | None = None,
) -> Collected:
    """Ask what is not in the book yet, several at a time, and write each answer down as it comes.

    The first error ends it, and so does Ctrl-C: nothing more is asked, and what is under way is waited for and written down.

    Args:
        judge: who is asked.
        work: the questions, in the order in which they are asked; it may be made on the way.
        book: where the answers go.
        concurrency: most questions under way.
        on_done: told of every rollout of a question that has its answer, and whether it was known already.

    Raises:
        JudgeError: the judge failed; the message says how, and how many answers are kept.
    """
    tell = on_done or (lambda known: None)
    known = asked = empty = 0
    running: set[Future[bool]] = set()

    def reap(until: int) -> None:
        """Take in what has ended, until no more than so many are under way; the first error is raised after the others ended."""
        nonlocal asked, empty
        while len(running) > until:
            ended, _ = wait(running, return_when=FIRST_COMPLETED)
            for one in ended:
                running.discard(one)
                empty += one.result()
                asked += 1
                tell(False)

    pool = ThreadPoolExecutor(concurrency, thread_name_prefix="judge")
    try:
        for item, rollout, fresh in _each(judge, work, book):
            if not fresh:
                known += 1
                tell(True)
                continue
            reap(concurrency - 1)
            running.add(pool.submit(_one, judge, item, rollout, book))
        reap(0)
    except BaseException as error:
        pool.shutdown()
        if not isinstance(error, GemsError):
            raise
        kept = f"{len(book)} answers are kept in the book: repeat the command to ask for the others"
        raise JudgeError(f"{error}; {kept}") from error
    finally:
        pool.shutdown()
    return Collected(known, asked, empty)


def recorded(judge: Judge, questions: Iterable[Question], image: str, book: AnswerBook) -> Answers:
    """Return the answers about an image as `Benchmark.score` wants them; a question without one is left out.

    Args:
        judge: whose answers.
        questions: of the image's prompt.
        image: SHA-256 of its bytes.
        book: where the answers are.
    """
    found: dict[str, list[Answer]] = {}
    for question in questions:
        each = (book.get(judge.key(question, image, rollout)) for rollout in range(question.rollouts))
        if told := [one for one in each if one is not None]:
            found[question.key] = told
    return found


def _each(judge: Judge, work: Iterable[Work], book: AnswerBook) -> Iterator[tuple[Work, int, bool]]:
    """Give every rollout of every question, and whether it is to be asked: variants may share an image, asked about once."""
    begun: set[Key] = set()
    for item in work:
        for rollout in range(item.question.rollouts):
            key = judge.key(item.question, item.image, rollout)
            fresh = key not in begun and book.get(key) is None
            begun.add(key)
            yield item, rollout, fresh


def _one(judge: Judge, item: Work, rollout: int, book: AnswerBook) -> bool:
    """Ask and write down; tell whether the answer is empty."""
    told = judge.ask(item.question, item.read(), rollout)
    book.put(judge.key(item.question, item.image, rollout), told, sample=item.sample, name=item.question.key)
    return not told.text and item.question.kind != "read"
