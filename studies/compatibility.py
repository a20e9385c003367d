"""How a chat endpoint answers the questions of the roles: `python -m studies.compatibility --chat http://HOST/v1#MODEL`.

Each request of the shapes benchmark is put to every role through the product's own prompts, schemas and parser, one call
after the other; the picture shown is the request drawn without its first thing. What counts is the form of the answers,
not whether they are right: one that fits is one that the role can go on with. Run from the root of the repository.
"""

from __future__ import annotations

import argparse
import io
import json
import random
import re
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage, HumanMessage
from pydantic import BaseModel
from rich import box
from rich.progress import track
from rich.table import Table

from gems.context import preset
from gems.errors import GemsError, ModelAnswerError, ModelCallError
from gems.evaluation.benchmarks.shapes import ShapesSample, judge_image, make_benchmark
from gems.memory.evidence import refinement_steps
from gems.memory.state import Attempt, Check, GemsState, ImageRef, Verdict
from gems.models.chat.ask import ask, with_schema
from gems.models.chat.call import CallUsage, call, model_name, negotiation_of, server_notes
from gems.models.options import CHAT_ROLES, ChatOptions
from gems.models.registry import chat_model
from gems.models.shapes.grammar import choose_colors, choose_layout, parse_request
from gems.models.shapes.world import DrawnThing, center_of, draw
from gems.nodes import decomposer, learner, planner, refiner, selector, summarizer, verifier
from gems.skills import SkillLibrary, skill_tools
from gems.terminal import Console

TALLY_COLUMNS = {
    **{"at once": "at_once", "repaired": "repaired", "failed": "failed"},
    **{"tools": "tool_calls", "logprobs": "with_logprobs", "thought": "with_thought"},
}


class RoleQuestion(NamedTuple):
    """What a role is asked: the messages, and the schema of the answer."""

    role: str
    messages: list[BaseMessage]
    schema: type[BaseModel]


class Tally(BaseModel):
    """What came of asking one role: questions by outcome, answers by what came with them, and the cost of all calls."""

    at_once: int = 0
    repaired: int = 0
    failed: int = 0
    problems: Counter[str] = Counter()
    tool_calls: int = 0
    with_logprobs: int = 0
    with_thought: int = 0
    spent: CallUsage = CallUsage()

    def fail(self, problem: str) -> None:
        """Count a question without a usable answer, by its problem less what differs each time: numbers, and a long end."""
        self.failed += 1
        self.problems[re.sub(r"\d+", "N", problem)[:160]] += 1


class ChatStudy:
    """Asks one chat model, one call after the other, and counts."""

    def __init__(self, chat: BaseChatModel) -> None:
        self.chat, self.library = chat, SkillLibrary.load([])
        self.roles = {role: Tally() for role in CHAT_ROLES}
        self.no_pictures = ""
        """Why pictures are left out, once the endpoint has refused one."""

    def put(self, question: RoleQuestion) -> None:
        """Ask a role its question and count what came of it. The planner is offered its tools first, as in a run."""
        role, messages, schema = question
        tally, texts = self.roles[role], without_images(messages)
        messages = texts if self.no_pictures else messages
        try:
            if role == "planner":
                message, spent = call(self.chat, with_schema(messages, schema), {"tools": skill_tools(self.library)}, role=role)
                tally.tool_calls, tally.spent = tally.tool_calls + bool(message.tool_calls), tally.spent.plus(spent)
            reply = ask(self.chat, messages, schema, role=role, logprobs=role == "verifier")
        except ModelCallError as error:
            if error.status is not None and messages != texts:
                self.no_pictures = error.problem
                return self.put(question)
            tally.fail(error.problem)
        except ModelAnswerError as error:
            tally.fail(error.problem)
            tally.spent = tally.spent.plus(error.spent)
        else:
            tally.at_once += reply.spent.calls == 1
            tally.repaired += reply.spent.calls > 1
            tally.with_logprobs, tally.with_thought = (
                tally.with_logprobs + bool(reply.tokens),
                tally.with_thought + bool(reply.thought),
            )
            tally.spent = tally.spent.plus(reply.spent)

    def told(self) -> dict[str, Any]:
        """Return the counts, ready for JSON."""
        taken = negotiation_of(self.chat).taken.get("schema")
        known = {"model": model_name(self.chat), "schema_in_request": taken, "no_pictures": self.no_pictures}
        roles = {role: {**tally.model_dump(), "spent": tally.spent._asdict()} for role, tally in self.roles.items()}
        return {**known, "notes": server_notes(self.chat), "roles": roles}


def role_questions(sample: ShapesSample, library: SkillLibrary) -> list[RoleQuestion]:
    """Return what each role is asked about a request."""
    parsed, rng = parse_request(sample.prompt), random.Random(sample.id)
    owners, colors = [i for i, g in enumerate(parsed.groups) for _ in range(g.count)], choose_colors(parsed, rng)
    cells = choose_layout(parsed, rng) or ()
    things = [DrawnThing(parsed.groups[i].shape, colors[i], c, *center_of(c), 14.0, i) for i, c in zip(owners, cells, strict=True)]
    image, png = draw(things[1:]), io.BytesIO()
    image.save(png, "PNG")
    ref = ImageRef(sha256="0" * 64, width=image.width, height=image.height)
    checks = [
        Check(id=f"c{n}", kind="relation" if p.skill == "position" else p.skill, question=p.question, expected=p.expected)
        for n, p in enumerate(sample.questions, 1)
    ]
    verdicts = [Verdict(check=c.id, passed=score == 1) for c, score in zip(checks, judge_image(sample, image), strict=True)]
    attempt = Attempt(round=1, prompt=sample.prompt, seed=0, image=ref, verdicts=tuple(verdicts))
    state = GemsState(prompt=sample.prompt, draft=sample.prompt, checks=checks, attempts=[attempt])
    places = f"{sample.prompt}, every thing in a place of its own"
    mended = Attempt(round=2, prompt=places, seed=1, image=ref, verdicts=tuple(Verdict(check=c.id, passed=True) for c in checks))
    scored = [selector.score_attempt(a, checks) for a in (attempt, mended)]
    [change] = refinement_steps(state.model_copy(update={"attempts": scored}))
    lesson = summarizer.SummarizerState(prompt=sample.prompt, checks=checks, attempts=[attempt])
    return [
        RoleQuestion("planner", planner.render(sample.prompt, library.catalog()), planner.Plan),
        RoleQuestion("decomposer", decomposer.render(sample.prompt), decomposer.Checks),
        RoleQuestion("verifier", verifier.render(checks, ref, lambda _: png.getvalue()), verifier.Findings),
        RoleQuestion("summarizer", summarizer.render(lesson, attempt, lambda _: png.getvalue()), summarizer.Lesson),
        RoleQuestion("refiner", refiner.render(state, preset("default"), library, lambda _: png.getvalue()), refiner.Refinement),
        RoleQuestion("learner", learner.render({c.kind: change for c in change.fixed}, []), learner.LearnedLessons),
    ]


def without_images(messages: Sequence[BaseMessage]) -> list[BaseMessage]:
    """Return messages with their texts only, those without a picture as they are."""
    return [HumanMessage(m.text) if any(b["type"] == "image" for b in m.content_blocks) else m for m in messages]


def tally_table(told: dict[str, Any]) -> Table:
    """Return the counts as a table, a row for each role."""
    out = Table(title=f"{told['model']}: answers by role", box=box.SIMPLE)
    for name in ("role", *TALLY_COLUMNS, "s/call", "tokens in", "out"):
        out.add_column(name, justify="left" if name == "role" else "right")
    for role, t in told["roles"].items():
        calls, tokens = max(1, t["spent"]["calls"]), (t["spent"]["input_tokens"], t["spent"]["output_tokens"])
        means = [f"{t['spent']['seconds'] / calls:.1f}", *(f"{count / calls:.0f}" for count in tokens)]
        out.add_row(role, *(str(t[field]) for field in TALLY_COLUMNS.values()), *means)
    return out


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command: a table on the screen, and the counts as JSON where asked for. An error is one line, and exit code 1."""
    parser = argparse.ArgumentParser(prog="python -m studies.compatibility", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--chat", required=True, help="openai:MODEL or http(s)://HOST/v1#MODEL")
    parser.add_argument("--requests", type=int, default=8, help="requests of the shapes benchmark (8)")
    parser.add_argument("--max-tokens", type=int, help="longest answer; by default as the endpoint has it")
    parser.add_argument("--timeout", type=float, default=120, help="seconds for one try of a call (120)")
    parser.add_argument("--json", type=Path, help="write the counts here too")
    given = parser.parse_args(arguments)
    try:
        study = ChatStudy(chat_model(ChatOptions(model=given.chat).with_known(max_tokens=given.max_tokens, timeout=given.timeout)))
        for sample in track(make_benchmark(given.requests), "asking", console=Console(stderr=True)):
            for question in role_questions(sample, study.library):
                study.put(question)
    except (GemsError, ValueError) as error:
        sys.exit(f"error: {error}")
    told, screen = study.told(), Console(width=120)
    screen.print(tally_table(told))
    for line in [*told["notes"], *([f"pictures left out: {told['no_pictures']}"] if told["no_pictures"] else [])]:
        screen.print(line, markup=False)
    for role, tally in told["roles"].items():
        for problem, count in tally["problems"].items():
            screen.print(f"{role}: {count} x {problem}", markup=False)
    if given.json:
        given.json.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
