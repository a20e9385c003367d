"""Collecting answers: ask a judge until every answer is in the log, and read the answers about an image from it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import NamedTuple

from ...errors import GemsError, JudgeError
from ..benchmarks.base import JudgeAnswer, JudgeQuestion, has_answer
from .answer_log import AnswerKey, AnswerLog
from .base import Judge
from .probing import unreadable_answers

Readable = Callable[[JudgeQuestion, JudgeAnswer], bool]
"""Whether an answer has the form that is asked for: `Benchmark.readable`."""

MAX_ATTEMPTS = 3
"""Attempts at an answer, while it cannot be parsed."""

CHECKED_ANSWERS = 12
"""First answers that are checked: a judge is refused if more than half of them cannot be parsed."""

MIN_CHECKED = 4
"""Answers that are enough to refuse it, if there are fewer than `CHECKED_ANSWERS`."""


class JudgeTask(NamedTuple):
    """A question about an image of a run."""

    question: JudgeQuestion
    read: Callable[[], bytes]
    """Returns the image's bytes; called only if the question is asked."""
    image: str
    """SHA-256 of these bytes."""
    sample: str
    """Id of the prompt."""


class JudgingAttempt(NamedTuple):
    """One attempt at an answer."""

    item: JudgeTask
    key: AnswerKey
    place: int
    """Of the answer among all that are wanted."""

    def again(self) -> JudgingAttempt:
        """Return the next attempt at the same answer; its number is unique."""
        return self._replace(key=self.key._replace(rollout=self.key.rollout + self.item.question.rollouts))


class CollectedAnswers(NamedTuple):
    """Counts: answers that were in the log already, calls of the judge, and answers that cannot be parsed."""

    known: int
    asked: int
    unreadable: int


def collect(
    judge: Judge,
    work: Iterable[JudgeTask],
    log: AnswerLog,
    *,
    readable: Readable = has_answer,
    concurrency: int = 8,
    on_done: Callable[[bool], None] | None = None,
) -> CollectedAnswers:
    """Ask the questions that have no answer in the log yet, several at a time, and record each answer as it comes.

    Answers that cannot be read are asked for again after all others, up to `MAX_ATTEMPTS` times, and in the next call of this.
    The first error or Ctrl-C ends it: no new questions are asked, and answers to current ones are recorded.

    Args:
        judge: answers the questions.
        work: the questions in order; it may be a generator.
        log: records the answers.
        readable: returns whether an answer can be parsed.
        concurrency: concurrent questions.
        on_done: called for every answer, with whether it was recorded already.

    Raises:
        JudgeError: the judge failed, or most of its first answers cannot be parsed; the message has the reason and the number of
            recorded answers.
    """
    notify = on_done or (lambda known: None)
    known = asked = 0
    first: dict[int, bool] = {}
    """Whether each of the first answers can be parsed, by its place."""
    left: list[JudgingAttempt] = []
    wrong: tuple[JudgeQuestion, JudgeAnswer] | None = None

    def check(enough: int) -> None:
        if wrong is not None and len(first) >= enough and sum(not good for good in first.values()) > len(first) / 2:
            raise unreadable_answers(judge, *wrong, count=sum(not good for good in first.values()), of=len(first))

    def missing() -> Iterator[JudgingAttempt]:
        nonlocal known
        for place, attempt in enumerate(_missing_attempts(judge, work, log, readable)):
            if attempt is not None:
                yield attempt._replace(place=place)
                continue
            known += 1
            if place < CHECKED_ANSWERS:
                first[place] = True
            notify(True)

    pool = ThreadPoolExecutor(concurrency, thread_name_prefix="judge")
    try:
        for attempt, answer in _ask_concurrently(pool, judge, missing(), log, concurrency):
            asked += 1
            good = readable(attempt.item.question, answer)
            if not good:
                left.append(attempt)
                wrong = wrong or (attempt.item.question, answer)
            if attempt.place < CHECKED_ANSWERS:
                first[attempt.place] = good
                check(CHECKED_ANSWERS)
            notify(False)
        check(MIN_CHECKED)
        for _ in range(0 if judge.deterministic else MAX_ATTEMPTS - 1):
            again, left = [attempt.again() for attempt in left], []
            for attempt, answer in _ask_concurrently(pool, judge, again, log, concurrency):
                asked += 1
                left += [] if readable(attempt.item.question, answer) else [attempt]
    except BaseException as error:
        pool.shutdown()
        if not isinstance(error, GemsError):
            raise
        advice = f"{len(log)} answers are recorded: repeat the command to ask for the others"
        raise JudgeError(f"{error}; {advice}") from error
    finally:
        pool.shutdown()
    return CollectedAnswers(known, asked, len(left))


def needs_asking(judge: Judge, item: JudgeTask, log: AnswerLog, readable: Readable) -> bool:
    """Return whether an answer to a question is missing."""
    return any(attempt is not None for attempt in _missing_attempts(judge, [item], log, readable))


def recorded_answers(
    judge: Judge, questions: Iterable[JudgeQuestion], image: str, log: AnswerLog, readable: Readable = has_answer
) -> dict[str, list[JudgeAnswer]]:
    """Return the answers about an image in the form of `Benchmark.score`; a question without one is left out.

    Args:
        judge: of the answers.
        questions: of the image's prompt.
        image: SHA-256 of its bytes.
        log: of the answers.
        readable: returns whether an answer can be parsed.
    """
    answers: dict[str, list[JudgeAnswer]] = {}
    for question in questions:
        key = judge.key(question, image)
        if counted := counted_answers(question, lambda number, key=key: log.get(key._replace(rollout=number)), readable):  # type: ignore[misc]
            answers[question.key] = counted
    return answers


def counted_answers(question: JudgeQuestion, get: Callable[[int], JudgeAnswer | None], readable: Readable) -> list[JudgeAnswer]:
    """Return the answers that count, one a rollout: of several attempts the first that can be parsed, else the first.

    Args:
        question: the question.
        get: returns the answer with a number. Attempt k, from 0, at rollout r has the number r + k * rollouts.
        readable: returns whether an answer can be parsed.
    """
    each = (_best_attempt(question, rollout, get, readable)[0] for rollout in range(question.rollouts))
    return [answer for answer in each if answer is not None]


def _best_attempt(
    question: JudgeQuestion, rollout: int, get: Callable[[int], JudgeAnswer | None], readable: Readable
) -> tuple[JudgeAnswer | None, int | None]:
    """Return the answer that counts, and the number of the next attempt, None if none is needed."""
    first = None
    for number in itertools.count(rollout, question.rollouts):
        answer = get(number)
        if answer is None:
            return first, number
        if readable(question, answer):
            return answer, None
        first = first or answer
    raise AssertionError  # count() has no end


def _missing_attempts(
    judge: Judge, work: Iterable[JudgeTask], log: AnswerLog, readable: Readable
) -> Iterator[JudgingAttempt | None]:
    """Yield the next attempt for each rollout of each question, None if it has its answer.

    An image that variants share is asked about once.
    """
    begun: set[AnswerKey] = set()
    for item in work:
        key = judge.key(item.question, item.image)
        for rollout in range(item.question.rollouts):
            counted_key = key._replace(rollout=rollout)
            first, number = _best_attempt(item.question, rollout, lambda n, key=key: log.get(key._replace(rollout=n)), readable)  # type: ignore[misc]
            ended = number is None or counted_key in begun or (judge.deterministic and first is not None)
            begun.add(counted_key)
            yield None if ended or number is None else JudgingAttempt(item, key._replace(rollout=number), 0)


def _ask_concurrently(
    pool: ThreadPoolExecutor, judge: Judge, attempts: Iterable[JudgingAttempt], log: AnswerLog, concurrency: int
) -> Iterator[tuple[JudgingAttempt, JudgeAnswer]]:
    """Ask concurrently, and yield each answer as it comes."""
    running: dict[Future[JudgeAnswer], JudgingAttempt] = {}

    def reap(until: int) -> Iterator[tuple[JudgingAttempt, JudgeAnswer]]:
        while len(running) > until:
            ended, _ = wait(running, return_when=FIRST_COMPLETED)
            for task in ended:
                yield running.pop(task), task.result()

    for attempt in attempts:
        yield from reap(concurrency - 1)
        running[pool.submit(_ask_and_record, judge, attempt, log)] = attempt
    yield from reap(0)


def _ask_and_record(judge: Judge, attempt: JudgingAttempt, log: AnswerLog) -> JudgeAnswer:
    """Ask a question and record the answer."""
    item, key = attempt.item, attempt.key
    answer = judge.ask(item.question, item.read(), key.rollout)
    log.put(key, answer, sample=item.sample, name=item.question.key)
    return answer
