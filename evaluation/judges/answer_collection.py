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
    on_done: Callable[[bool], None] = lambda known: None,
) -> CollectedAnswers:
    """Ask the questions that have no answer in the log yet, several at a time, and record each answer as it comes.

    Answers that cannot be read are asked for again after all others, up to `MAX_ATTEMPTS` times, and in the next call of this.
    The first error or Ctrl-C ends it: no new questions are asked, and answers to current ones are recorded.

    Args:
        judge: answers the questions.
        work: the questions in order.
        log: records the answers.
        readable: returns whether an answer can be parsed.
        concurrency: concurrent questions.
        on_done: called for every answer, with whether it was recorded already.

    Raises:
        JudgeError: the judge failed, or most of its first answers cannot be parsed; the message has the reason and the number of
            recorded answers.
    """
    attempts = list(_missing_attempts(judge, work, log, readable))
    known, asked = attempts.count(None), 0
    for _ in range(known):
        on_done(True)
    waiting = [(place, attempt) for place, attempt in enumerate(attempts) if attempt is not None]
    first = {place: True for place, attempt in enumerate(attempts[:CHECKED_ANSWERS]) if attempt is None}
    """Whether each of the first answers can be parsed, by its place."""
    wrong: tuple[JudgeQuestion, JudgeAnswer] | None = None

    def check(enough: int) -> None:
        bad = sum(not good for good in first.values())
        if wrong is not None and len(first) >= enough and bad > len(first) / 2:
            raise unreadable_answers(judge, *wrong, count=bad, of=len(first))

    pool = ThreadPoolExecutor(concurrency, thread_name_prefix="judge")
    try:
        for turn in range(1 if judge.deterministic else MAX_ATTEMPTS):
            left = []
            for place, attempt, answer in _ask_concurrently(pool, judge, waiting, log, concurrency):
                asked += 1
                question = attempt.item.question
                if not (good := readable(question, answer)):
                    rollout = attempt.key.rollout + question.rollouts  # unique to this attempt
                    left.append((place, attempt._replace(key=attempt.key._replace(rollout=rollout))))
                    wrong = wrong or (question, answer)
                if turn == 0:
                    if place < CHECKED_ANSWERS:
                        first[place] = good
                        check(CHECKED_ANSWERS)
                    on_done(False)
            check(MIN_CHECKED)
            waiting = left
    except GemsError as error:
        pool.shutdown()
        advice = f"{len(log)} answers are recorded: repeat the command to ask for the others"
        raise JudgeError(f"{error}; {advice}") from error
    finally:
        pool.shutdown()
    return CollectedAnswers(known, asked, len(waiting))


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
    counted = {q.key: counted_answers(q, _by_number(log, judge.key(q, image)), readable) for q in questions}
    return {key: answers for key, answers in counted.items() if answers}


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
            first, number = _best_attempt(item.question, rollout, _by_number(log, key), readable)
            ended = number is None or counted_key in begun or (judge.deterministic and first is not None)
            begun.add(counted_key)
            yield None if ended or number is None else JudgingAttempt(item, key._replace(rollout=number))


def _by_number(log: AnswerLog, key: AnswerKey) -> Callable[[int], JudgeAnswer | None]:
    return lambda number: log.get(key._replace(rollout=number))


def _ask_concurrently(
    pool: ThreadPoolExecutor, judge: Judge, attempts: Iterable[tuple[int, JudgingAttempt]], log: AnswerLog, concurrency: int
) -> Iterator[tuple[int, JudgingAttempt, JudgeAnswer]]:
    """Ask concurrently, and yield each answer as it comes, with the place and the attempt that it belongs to."""
    waiting = iter(attempts)
    running: dict[Future[JudgeAnswer], tuple[int, JudgingAttempt]] = {}
    while True:
        for place, attempt in itertools.islice(waiting, concurrency - len(running)):
            running[pool.submit(_ask_and_record, judge, attempt, log)] = place, attempt
        if not running:
            return
        for ended in wait(running, return_when=FIRST_COMPLETED).done:
            yield *running.pop(ended), ended.result()


def _ask_and_record(judge: Judge, attempt: JudgingAttempt, log: AnswerLog) -> JudgeAnswer:
    item, key = attempt
    answer = judge.ask(item.question, item.read(), key.rollout)
    log.put(key, answer, sample=item.sample, name=item.question.key)
    return answer
