"""Malformed answers to every role and to a judge: each ends well, or in an error of ours.

    python -m studies.fuzz_answers --answers 10000 --seed 0

A good answer of a role is mutated, as a chat completion that goes through the endpoint's own reading of it or as a message of a
model of one's own, and the role's real node takes it. What it returns must be fit for a checkpoint, no answer that hedges may
pass a check, and none may take longer than two seconds of a CPU. The tests draw from the same answers.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future
from typing import Any, NamedTuple

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, ChatMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langgraph.graph import START, StateGraph
from langgraph.runtime import Runtime
from langgraph.store.memory import InMemoryStore
from openai._models import construct_type
from openai.types.chat import ChatCompletion
from PIL import Image

import gems.nodes.verifier as verifying
from gems.context import RunContext
from gems.errors import GemsError
from gems.evaluation.benchmarks.base import JudgeQuestion
from gems.evaluation.judges.judge_parsing import marks, says_yes
from gems.evaluation.judges.registry import judge_of
from gems.memory.state import Attempt, Check, GemsState, ImageRef, Score, Verdict
from gems.models.chat.endpoint import EndpointChat
from gems.models.chat.endpoint_options import EndpointChatOptions
from gems.nodes.decomposer import decomposer
from gems.nodes.learner import learner
from gems.nodes.planner import PlannerState, planner, wants_skills
from gems.nodes.refiner import refiner
from gems.nodes.skill_loader import skill_loader
from gems.nodes.summarizer import SummarizerState, summarizer
from gems.skills import SkillLibrary
from gems.storage.serializer import serializer
from gems.terminal import Console, echo

MAX_SECONDS = 2.0
"""Seconds of a CPU that an answer may take."""

FUZZED_REQUEST = 'three red circles and a sign that says "OPEN"'
FUZZED_CHECKS = [
    Check(id="c1", kind="object", question="Is there a red circle?"),
    Check(id="c2", kind="count", question="How many circles are there?", expected="three"),
    Check(id="c3", kind="text", question="What does the sign say?", expected="OPEN"),
    Check(id="c4", kind="attribute", question="Is the sign blue?", expected="no"),
    Check(id="c5", kind="count", question="How many squares are there?", expected="zero"),
]

HEDGES = (
    "{0}/{1}", "{0} or {1}", "{0} and {1}", "{0}? {1}.", "{0}?", "maybe {0}",
    "unknown, maybe {0}", "I cannot tell, {0}?", "not {0}",
    "{0}, but I am not sure", "{0} - unknown", "perhaps {0}", "probably {0}", "It could be {0}", "unsure: {0}", "{0} (unclear)",
    "{0}, maybe", "I can't say whether it is {0}",
)  # fmt: skip
"""Ways to hedge; {0} is the expected answer and {1} another one."""
HEDGES_BY_CHECK = {
    "c2": (
        "fewer than {0}",
        "thirty-{0}",
        "{0} hundred",
        "{0} million",
        "-3",
        "3%",
        "about {0}",
        "at least 3",
        "{0} or more",
        "3-4",
        "~3",
    ),
    "c3": (
        "I cannot read {0}",
        "There is no text that says {0}",
        "It does not say {0}",
        "OPEM instead of {0}",
        "It looks like {0}",
    ),
    "c4": ("no idea", "No answer possible", "no image was given", "no way to tell"),
    "c5": ("no idea", "No answer", "no image was given"),
}
WRONG_ANSWERS = {"c1": "no", "c2": "four", "c3": "CLOSED", "c4": "yes", "c5": "one"}

LONG_TEXTS = (
    "yes " * 8000, "1" * 5000, "[" * 100_000, '{"a":' * 100_000, '{"a":[' * 400 + "1," * 20_000, "e\u0301\u0316" * 20_000,
    "\n" * 50_000,
    "word " * 20_000, '"' * 20_000, "{" * 50_000, "a" * 1_000_000, "<think>" * 5000, "OPEN OPEM " * 5000, "\u202e\x1b[2J" * 500,
)  # fmt: skip
ODD_VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 3, 2**63, -(10**30), 10**400, 0.5, float("nan"), float("inf"), -float("inf"), "", " ",
    "\0", "\ud800", "\udc80x",
    "yes", "{}", "[]", "null", "c1", [], {}, [None], [[]], {"text": 5}, {"": {}}, ["a", 5], {"type": "text", "text": None},
)  # fmt: skip
WRAPPINGS = ("$", "$", "```json\n$\n```", "<think>so {</think>$", "Here: $. {", "{ $", "$$", "[$]", "$\0")


def with_trailing_commas(value: Any) -> str:
    """Return JSON text with a comma before each closing bracket."""
    return re.sub(r"([}\]])", r",\1", json.dumps(value))


SPELLINGS: tuple[Callable[[Any], str], ...] = (json.dumps, json.dumps, json.dumps, repr, with_trailing_commas)
"""Ways to write an answer: as JSON, and as JSON that has to be repaired."""


class FuzzedRole(NamedTuple):
    """Who is answered: with what, and how the answer is used."""

    good: Any
    """An answer of its schema; a text for a judge."""
    use: Callable[[BaseChatModel], Any]


class FuzzedChat(BaseChatModel):
    """A chat model that gives the same answer again and again: a completion, as its endpoint reads it, or a message."""

    answer: Any
    endpoint: EndpointChat

    @property
    def _llm_type(self) -> str:
        return "fuzzed"

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Any:
        """Take tools, and do nothing with them."""
        return self.bind(tools=[])

    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        if callable(self.answer):
            return ChatResult(generations=[ChatGeneration(message=self.answer())])
        return self.endpoint._create_chat_result(construct_type(type_=ChatCompletion, value=self.answer), {})


class InlineExecutor(Executor):
    """Runs everything at once and in this thread: threads for each of many thousand answers would take longer than the answers."""

    def __init__(self, *_: Any) -> None:
        pass

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run it."""
        done: Future[Any] = Future()
        done.set_result(fn(*args, **kwargs))
        return done


def roles() -> dict[str, FuzzedRole]:
    """Return whoever is asked in a run, and a judge."""
    png = _png()
    skills = SkillLibrary.load()
    image = ImageRef(sha256="0" * 64, width=64, height=64)
    context = RunContext()
    half = tuple(Verdict(check=c.id, passed=c.id != "c2", answer="x") for c in FUZZED_CHECKS)
    whole = tuple(v.model_copy(update={"passed": True}) for v in half)
    first = Attempt(round=1, prompt="three red circles", seed=1, image=image, verdicts=half, score=Score.of(half))
    better = Attempt(round=2, prompt="3 red circles", seed=1, image=image, verdicts=whole, score=Score.of(whole))

    # Tools run in a graph only.
    loading = StateGraph(GemsState).add_node("skills", skill_loader(skills)).add_edge(START, "skills").compile()

    def runtime(**changes: Any) -> Runtime[RunContext]:
        return Runtime(context=context.model_copy(update=changes), store=InMemoryStore())

    def read(_: ImageRef) -> bytes:
        return png

    def plan(chat: BaseChatModel) -> Any:
        update = planner(chat, skills)(PlannerState(prompt=FUZZED_REQUEST), runtime())
        asked = PlannerState(prompt=FUZZED_REQUEST, planning=[m for m in update.get("planning", []) if isinstance(m, AIMessage)])
        if not wants_skills(asked):
            return update
        answered = loading.invoke(GemsState(prompt=FUZZED_REQUEST, planning=asked.planning))
        again = PlannerState(prompt=FUZZED_REQUEST, planning=answered["planning"], skills=answered["skills"])
        return [update, answered["planning"], planner(chat, skills)(again, runtime())]

    def refine(chat: BaseChatModel) -> Any:
        state = GemsState(prompt=FUZZED_REQUEST, checks=FUZZED_CHECKS, attempts=[first], draft="x")
        return [refiner(chat, skills, read)(state, runtime(fuse=fuse)) for fuse in (False, True)]

    def learn(chat: BaseChatModel) -> Any:
        return learner(chat)(
            GemsState(prompt=FUZZED_REQUEST, checks=FUZZED_CHECKS, attempts=[first, better]), runtime(lessons="keep")
        )

    def verify(chat: BaseChatModel) -> Any:
        attempts = [first.model_copy(update={"verdicts": (), "score": None})]
        return verifying.verifier(chat, read)(verifying.VerifierState(checks=FUZZED_CHECKS, attempts=attempts), runtime())

    def judge(chat: BaseChatModel) -> Any:
        one = judge_of(chat)
        told = [one.ask(JudgeQuestion(key="q", text="Is it red?", kind=kind), png) for kind in ("say", "read", "word")]
        texts = [answer.text for answer in told]
        readings = [[says_yes(text), marks(text, {"realism": (0, 2), "aesthetic": (0, 2)})] for text in texts]
        return [readings, json.dumps([answer.model_dump(mode="json") for answer in told], ensure_ascii=False).encode()]

    def summarize(chat: BaseChatModel) -> Any:
        return summarizer(chat, read)(
            SummarizerState(prompt=FUZZED_REQUEST, checks=FUZZED_CHECKS, attempts=[first]), runtime(fuse=False)
        )

    findings = {"findings": [{"id": c.id, "answer": c.expected, "reason": "as it is"} for c in FUZZED_CHECKS]}
    drafts = [{"kind": c.kind, "question": c.question, "expected": c.expected, "depends_on": [1]} for c in FUZZED_CHECKS]
    return {
        "planner": FuzzedRole({"prompt": f"a picture of {FUZZED_REQUEST}"}, plan),
        "decomposer": FuzzedRole({"checks": drafts}, lambda chat: decomposer(chat)(GemsState(prompt=FUZZED_REQUEST), runtime())),
        "verifier": FuzzedRole(findings, verify),
        "summarizer": FuzzedRole({"experience": "Circles in a row came out right."}, summarize),
        "refiner": FuzzedRole(
            {"strategy": "count", "prompt": FUZZED_REQUEST, "experience": "it helped", "action": "regenerate"}, refine
        ),
        "learner": FuzzedRole({"lessons": [{"kind": "count", "skill": "", "text": "Name the place of each thing."}]}, learn),
        "judge": FuzzedRole({"realism": 1, "aesthetic": 2}, judge),
    }


# Made once: to make strategies takes longer than to draw from them.
_PLACE = st.integers(0, 999)
_VALUES = (st.text(max_size=12), st.integers())


def pick(draw: st.DrawFn, options: Sequence[Any]) -> Any:
    """Draw one of some values."""
    return options[draw(_PLACE) % len(options)]


def odd(draw: st.DrawFn) -> Any:
    """Draw a value that nobody expects."""
    which = draw(_PLACE)
    # Few long ones: each takes its share of the two seconds.
    return pick(draw, LONG_TEXTS) if which % 16 == 15 else draw(_VALUES[which % 2]) if which % 16 > 10 else pick(draw, ODD_VALUES)


def mutated(draw: st.DrawFn, value: Any) -> Any:
    """Return a value with one place in it changed."""
    value = json.loads(json.dumps(value))
    holder, key = pick(draw, list(_places(value)))
    how = pick(draw, ("replace", "replace", "remove", "wrap", "text", "twice"))
    if holder is None:
        return odd(draw)
    if how == "replace":
        holder[key] = odd(draw)
    elif how == "remove":
        del holder[key]
    elif how == "wrap":
        holder[key] = [holder[key]]
    elif how == "text":
        holder[key] = json.dumps(holder[key])
    elif isinstance(holder, list):
        holder += [holder[key]] * 2
    else:
        holder[f"{key}_"] = holder[key]
    return value


def content(draw: st.DrawFn, role: str, good: Any) -> Any:
    """Draw the text of an answer: what its schema wants, hedged, mutated, or with something around it."""
    value = good
    if role == "verifier" and pick(draw, (True, False)):
        value = json.loads(json.dumps(good))
        for finding in value["findings"]:
            way = pick(draw, (*HEDGES, *HEDGES_BY_CHECK.get(finding["id"], ())))
            finding["answer"] = way.format(finding["answer"], WRONG_ANSWERS[finding["id"]])
    for _ in range(pick(draw, (0, 0, 1, 1, 2))):
        value = mutated(draw, value)
    text = pick(draw, WRAPPINGS).replace("$", pick(draw, SPELLINGS)(value))
    cut = pick(draw, (1, 1, 1, 1, 1, 0.5, 0.9))
    return odd(draw) if pick(draw, range(16)) == 15 else text if cut == 1 else text[: int(len(text) * cut)]


@st.composite
def answers(draw: st.DrawFn, role: str, good: Any) -> Any:
    """Return what a chat model answers: a completion as JSON, or a function that makes a message of a model of one's own."""
    said = content(draw, role, good)
    arguments = content(draw, "tools", {"name": "counting"})
    call = {"id": "a", "type": "function", "function": {"name": "load_skill", "arguments": arguments}}
    calls = pick(draw, ([], [], [call], [call, call], [call, {**call, "id": None}]))
    if pick(draw, range(5)) == 4:
        return _of_ones_own(said, odd(draw), odd(draw))
    token = {"token": "yes", "logprob": -0.1, "bytes": [121], "top_logprobs": [{"token": "no", "logprob": -2.0}]}
    message = {"role": "assistant", "content": said, "tool_calls": calls}
    usage = {"prompt_tokens": 5, "completion_tokens": 5, "total_tokens": 10}
    logprobs = pick(draw, (None, {"content": [token]}, {"content": [token] * 3}))
    choice = {"index": 0, "finish_reason": "stop", "message": message, "logprobs": logprobs}
    completion = {"id": "c", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice], "usage": usage}
    for _ in range(pick(draw, (0, 1, 1, 2))):
        completion = mutated(draw, completion)
    return completion


def problem_of(role: FuzzedRole, answer: Any, endpoint: EndpointChat) -> tuple[str, str]:
    """Use an answer; return how it ended ("well", or an error of ours by its name), and what is wrong with that, if anything.

    Raises:
        Exception: whatever else went wrong, with where it did.
    """
    began = time.process_time()
    ended, wrong = "well", ""
    try:
        update = role.use(FuzzedChat(answer=answer, endpoint=endpoint))
        kept = serializer().loads_typed(serializer().dumps_typed(update))
        wrong = "; ".join(_passed_wrongly(kept)) if isinstance(kept, dict) else ""
    except GemsError as error:
        ended = type(error).__name__
    took = time.process_time() - began
    return ended, wrong or (f"it took {took:.1f} s" if took > MAX_SECONDS else "")


def an_endpoint() -> EndpointChat:
    """Return a client whose reading of answers is used; it is never called."""
    return EndpointChatOptions(model="http://127.0.0.1:1/v1#fuzzed").make()


def _passed_wrongly(update: dict[str, Any]) -> Iterator[str]:
    """Say which verdicts passed though their answers hedge, by a rule of its own: a word or a sign of doubt, another answer."""
    words = r"\b(?:maybe|perhaps|probably|unsure|unclear|unknown|not|cannot|can't|could|fewer|about|idea|least)\b"
    for attempt in update.get("attempts", []):
        for verdict in (v for v in attempt.verdicts if v.passed):
            said = verdict.answer.casefold()
            is_text = verdict.check == "c3"  # a text may have any sign in it, and other words beside
            if re.search(words, said) or (not is_text and (re.search("[/?~%]", said) or WRONG_ANSWERS[verdict.check] in said)):
                yield f"{verdict.check} passed by {verdict.answer[:80]!r}"


def _of_ones_own(content: Any, first: Any, second: Any) -> Callable[[], Any]:
    def make() -> Any:
        calls = [{"name": "load_skill", "args": {"name": first}, "id": second if isinstance(second, str) else None}]
        if isinstance(first, str) and second is None:
            return ChatMessage(role="robot", content=str(content))
        fitting = content if isinstance(content, str | list) else str(content)
        about = {"finish_reason": first, "logprobs": {"content": [{"token": "yes", "logprob": second, "top_logprobs": first}]}}
        return AIMessage(fitting, tool_calls=calls if isinstance(first, int) else [], response_metadata=about)

    return make


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Give every place in a value: what holds it, and its key there; the whole has no holder."""
    left = [value]
    while left:
        one = left.pop()
        for key, inner in one.items() if isinstance(one, dict) else enumerate(one) if isinstance(one, list) else ():
            yield one, key
            left.append(inner)
    yield None, None


def _png() -> bytes:
    import io

    buffer = io.BytesIO()
    Image.new("RGB", (64, 64), "red").save(buffer, "PNG")
    return buffer.getvalue()


def fuzz(name: str, role: FuzzedRole, count: int, number: int, tell: Callable[[str, str], None]) -> None:
    """Give a role so many answers.

    Args:
        name: the role's name.
        role: the role.
        count: how many answers.
        number: what they are drawn by.
        tell: is told of each how it ended, and what is wrong with that, if anything.
    """
    endpoint = an_endpoint()

    @seed(number)
    @settings(max_examples=count, deadline=None, database=None, phases=[Phase.generate], suppress_health_check=[*HealthCheck])
    @given(answers(name, role.good))
    def one(answer: Any) -> None:
        try:
            ended, wrong = problem_of(role, answer, endpoint)
        except Exception as error:  # what the study is for
            ended, wrong = "another exception", f"{type(error).__name__}: {error}"[:200]
        tell(ended, f"{name}: {wrong}: {answer!r}"[:600] if wrong else "")

    one()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return 1 if something was found."""
    parser = argparse.ArgumentParser(prog="python -m studies.fuzz_answers", description=str(__doc__).partition("\n")[0])
    parser.add_argument("--answers", type=int, default=10_000, help="how many, over all roles (default: 10000)")
    parser.add_argument("--seed", type=int, default=0, help="what they are drawn by (default: 0)")
    options = parser.parse_args(arguments)
    everyone, began = roles(), time.perf_counter()
    setattr(verifying, "ContextThreadPoolExecutor", InlineExecutor)  # noqa: B010
    problems: list[str] = []
    rows = []
    for name, role in everyone.items():
        counted: Counter[str] = Counter()

        def tell(ended: str, wrong: str, counted: Counter[str] = counted) -> None:
            counted[ended] += 1
            counted["wrong"] += bool(wrong)
            problems.extend([wrong] if wrong else [])

        fuzz(name, role, -(-options.answers // len(everyone)), options.seed, tell)
        total = sum(count for how, count in counted.items() if how != "wrong")
        ours = total - counted["well"] - counted["another exception"]
        rows.append(f"| {name} | {total} | {counted['well']} | {ours} | {counted['wrong']} |")
    lines = ["| role | answers | well | errors of ours | wrong |", "|---|---:|---:|---:|---:|", *rows]
    echo("\n".join([*lines, "", f"In {time.perf_counter() - began:.0f} s."]))
    Console(stderr=True).print("\n".join(problems[:20]), markup=False, highlight=False, soft_wrap=True)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
