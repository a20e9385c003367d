"""Check a configuration: does each model do what the roles of GEMS need of it, and what to change where it does not.

Each probe asks what a role would ask, in the same words and through the same code, about a request and a picture whose
answers are known. Nothing is stored.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Literal, NamedTuple

import httpx2
from langchain_core.language_models import BaseChatModel
from PIL import Image, ImageDraw
from pydantic import SecretStr
from rich import box
from rich.markup import escape
from rich.table import Table

from ..context import preset
from ..errors import GemsError, ModelCallError
from ..memory.state import Check, GemsState, ImageRef
from ..models.chat.ask import ask, with_schema
from ..models.chat.call import call, model_name
from ..models.http import GuardedClient, OversizedAnswerError
from ..models.image.base import ImageRequest, generate_rgb
from ..models.registry import Models
from ..models.shapes.world import BACKGROUND, COLORS
from ..nodes import decomposer, planner, refiner, verifier
from ..privacy import host_of
from ..skills import SkillLibrary, skill_tools

REQUEST = "three red circles above a blue square"
CHECKS = (
    Check(id="c1", kind="object", question="Is there a square?"),
    Check(id="c2", kind="count", question="How many red circles are there?", expected="three"),
    Check(id="c3", kind="attribute", question="Is the square blue?"),
    Check(id="c4", kind="object", question="Is there a green star?", expected="no"),
)

State = Literal["ok", "weak", "fault", "skipped"]


class Diagnosis(NamedTuple):
    """What one probe found.

    `state`: "ok"; "weak" where GEMS works without it; "fault" where it does not; "skipped" where there was nothing to try.
    """

    subject: str
    probe: str
    state: State
    told: str
    change: str = ""
    seconds: float | None = None


def diagnose(models: Models, *, draw: bool = True, skills: SkillLibrary | None = None) -> Iterator[Diagnosis]:
    """Probe the models of a run one by one and yield what was found, each as soon as it is known.

    Args:
        models: the models.
        draw: whether to make pictures; two are made, or three where the model edits.
        skills: what the planner is offered; the bundled skills by default.
    """
    library = SkillLibrary.load() if skills is None else skills
    silent = set()
    for chat in {id(c): c for c in models.chats.values()}.values():
        try:
            found = _listed(chat)
        except httpx2.HTTPError as error:  # what else would be asked there would only take its time
            silent.add(id(chat))
            told = f"{_where(chat)} does not answer ({type(error).__name__})"
            found = Diagnosis(model_name(chat), "endpoint", "fault", told, "start the server, or mend the URL")
        yield found
    probes: tuple[tuple[str, str, str, Callable[[BaseChatModel], list[Diagnosis]]], ...] = (
        ("decomposer", "schema", "the decomposer's answer", _schema),
        ("planner", "tools", "the planner's skills", lambda chat: _tools(chat, library)),
        ("verifier", "vision", "the verifier's eyes", _vision),
        ("refiner", "thought", "the refiner's reasoning", lambda chat: _thought(chat, library)),
    )
    for role, probe, what, look in probes:
        chat = models.chats[role]
        if id(chat) in silent:
            yield Diagnosis(model_name(chat), probe, "skipped", "the endpoint does not answer")
        else:
            yield from _probe(chat, probe, what, look)
    if draw:
        yield from _image(models)
    else:
        yield Diagnosis(models.image.name, "image", "skipped", "no picture was asked for")


def sample_picture() -> Image.Image:
    """Draw what `REQUEST` says, 512x512 pixels."""
    image = Image.new("RGB", (512, 512), BACKGROUND)
    pen = ImageDraw.Draw(image)
    for x in (96, 256, 416):
        pen.ellipse((x - 56, 80, x + 56, 192), fill=COLORS["red"])
    pen.rectangle((200, 304, 312, 416), fill=COLORS["blue"])
    return image


def _probe(chat: BaseChatModel, probe: str, what: str, look: Callable[[BaseChatModel], list[Diagnosis]]) -> list[Diagnosis]:
    """Take a probe's time, and turn an error into a finding."""
    began = time.perf_counter()
    try:
        found = look(chat)
    except GemsError as error:
        return [Diagnosis(model_name(chat), probe, "fault", str(error), f"without it {what} cannot be had: see the message")]
    seconds = time.perf_counter() - began
    return [first._replace(seconds=seconds) if i == 0 else first for i, first in enumerate(found)]


def _schema(chat: BaseChatModel) -> list[Diagnosis]:
    answer = ask(chat, decomposer.render(REQUEST), decomposer.Checks, role="decomposer")
    tries = "at once" if answer.spent.calls == 1 else f"in {answer.spent.calls} calls"
    measured = answer.spent.output_tokens and answer.spent.seconds > 0.2
    speed = f", {answer.spent.output_tokens / answer.spent.seconds:.0f} tokens/s" if measured else ""
    state: State = "ok" if answer.spent.calls == 1 and len(answer.value.checks) >= 3 else "weak"
    change = "" if state == "ok" else "a stronger model as [roles.decomposer], or a server with structured outputs"
    return [Diagnosis(model_name(chat), "schema", state, f"{len(answer.value.checks)} checks {tries}{speed}", change)]


def _tools(chat: BaseChatModel, library: SkillLibrary) -> list[Diagnosis]:
    messages = with_schema(planner.render(REQUEST, library.catalog()), planner.Plan)
    change = "start the server with tool calls enabled, take another model as [roles.planner], or do without skills"
    try:
        message, _ = call(chat.bind_tools(skill_tools(library)), messages, role="planner")
    except ModelCallError as error:
        if error.status not in planner.NO_TOOLS:
            raise
        return [Diagnosis(model_name(chat), "tools", "weak", f"{error.problem}; requests are drawn as they are", change)]
    names = [str(c["args"].get("name", "")) for c in message.tool_calls]
    if names:
        return [Diagnosis(model_name(chat), "tools", "ok", f"asked for {', '.join(names)}")]
    told = "made no tool call where two skills fit: requests are drawn as they are"
    return [Diagnosis(model_name(chat), "tools", "weak", told, change)]


def _vision(chat: BaseChatModel) -> list[Diagnosis]:
    buffer = io.BytesIO()
    sample_picture().save(buffer, "PNG")
    ref = ImageRef(sha256="0" * 64, width=512, height=512)
    messages = verifier.render(CHECKS, ref, lambda _: buffer.getvalue())
    answer = ask(chat, messages, verifier.Findings, role="verifier", logprobs=True)
    verdicts = verifier.parse(answer.value, CHECKS)
    right = sum(v.passed is True for v in verdicts)
    said = "; ".join(f"{c.question} {v.answer or 'no answer'}" for c, v in zip(CHECKS, verdicts, strict=True) if not v.passed)
    state: State = "ok" if right == len(CHECKS) else "fault"
    change = "" if state == "ok" else "a vision model as [roles.verifier]"
    told = f"{right} of {len(CHECKS)} answers right" + (f": {said}" if said else "")
    found = [Diagnosis(model_name(chat), "vision", state, told, change)]
    if answer.tokens:
        return [*found, Diagnosis(model_name(chat), "log-probabilities", "ok", "given: checks get probabilities")]
    hint = "nothing has to change; --votes 5 asks repeatedly instead"
    return [*found, Diagnosis(model_name(chat), "log-probabilities", "weak", "not given: answers count as certain", hint)]


def _thought(chat: BaseChatModel, library: SkillLibrary) -> list[Diagnosis]:
    state = GemsState(prompt=REQUEST, draft=REQUEST, checks=list(CHECKS))
    answer = ask(chat, refiner.render(state, preset("original"), library, lambda _: b""), refiner.Refinement, role="refiner")
    if answer.thought:
        return [Diagnosis(model_name(chat), "thought", "ok", f"visible, {len(answer.thought.split())} words")]
    return [Diagnosis(model_name(chat), "thought", "ok", "hidden: the refiner's stated strategy is remembered instead")]


def _listed(chat: BaseChatModel) -> Diagnosis:
    """Ask an endpoint for its list of models: quick, free, and the first thing that goes wrong.

    Raises:
        httpx2.HTTPError: it does not answer.
    """
    name = model_name(chat)
    base = getattr(chat, "openai_api_base", None)
    if not isinstance(base, str):
        return Diagnosis(name, "endpoint", "ok", "runs in this process")
    key = getattr(chat, "openai_api_key", None)
    headers = {"Authorization": f"Bearer {key.get_secret_value()}"} if isinstance(key, SecretStr) else {}
    where = _where(chat)
    began = time.perf_counter()
    try:
        with GuardedClient() as client:
            reply = client.get(f"{base.rstrip('/')}/models", headers=headers, timeout=10)
        listed = [str(model["id"]) for model in reply.raise_for_status().json()["data"]]
    except httpx2.HTTPStatusError as error:
        code = error.response.status_code
        if code in (401, 403):
            key_env = getattr(chat, "key_env", "its environment variable")
            return Diagnosis(name, "endpoint", "fault", f"{where} refuses the key", f"put the right key into {key_env}")
        return Diagnosis(name, "endpoint", "weak", f"{where} does not list its models (status {code})")
    except (ValueError, KeyError, TypeError, RecursionError, OversizedAnswerError):
        return Diagnosis(name, "endpoint", "weak", f"{where} does not list its models as OpenAI does", "is the URL's end /v1?")
    seconds = time.perf_counter() - began
    if name in listed:
        return Diagnosis(name, "endpoint", "ok", f"{where} answers and has the model", seconds=seconds)
    known = ", ".join(listed[:5]) or "none"
    return Diagnosis(name, "endpoint", "fault", f"{where} has no model {name!r}", f"name one it has: {known}", seconds)


def _where(chat: BaseChatModel) -> str:
    """Return an endpoint's host and port, without a key that may stand before them."""
    return host_of(str(getattr(chat, "openai_api_base", "")))


def _image(models: Models) -> Iterator[Diagnosis]:
    model = models.image
    request = ImageRequest(prompt=REQUEST, seed=1)
    try:
        [first] = generate_rgb(model, [request])
        began = time.perf_counter()  # the first one may have loaded the model
        [again] = generate_rgb(model, [request])
        seconds = time.perf_counter() - began
    except GemsError as error:
        yield Diagnosis(model.name, "image", "fault", str(error), "see the message")
        return
    yield Diagnosis(model.name, "image", "ok", f"{first.width}x{first.height} pixels", seconds=seconds)
    if first.tobytes() == again.tobytes():
        yield Diagnosis(model.name, "seed", "ok", "the same request and seed give the same picture")
    else:
        yield Diagnosis(model.name, "seed", "weak", "the same request and seed give another picture", "results cannot be repeated")
    for caveat in model.caveats(request):
        yield Diagnosis(model.name, "request", "weak", caveat)
    limit = model.prompt_limit
    yield Diagnosis(model.name, "prompt", "ok", f"reads {limit} tokens" if limit else "no known limit")
    yield from _edit(models)


def _edit(models: Models) -> Iterator[Diagnosis]:
    model = models.image
    if not model.can_edit:
        yield Diagnosis(model.name, "edit", "skipped", "it draws only; --edit has no effect")
        return
    buffer = io.BytesIO()
    sample_picture().save(buffer, "PNG")
    began = time.perf_counter()
    try:
        generate_rgb(model, [ImageRequest(prompt="Make the square green and keep the rest.", seed=1, source=buffer.getvalue())])
    except GemsError as error:
        yield Diagnosis(model.name, "edit", "fault", str(error), "leave --edit off")
        return
    yield Diagnosis(model.name, "edit", "ok", "takes a picture and an instruction", seconds=time.perf_counter() - began)


SIGNS: dict[State, str] = {"ok": "[green]✓[/]", "weak": "[yellow]![/]", "fault": "[red]✗[/]", "skipped": "[dim]–[/]"}


def table(found: Sequence[Diagnosis]) -> Table:
    """Return what was found as a table, with what to change, a section for each model."""
    legend = "✓ works   ! GEMS works without it   ✗ must be mended   – not tried"
    out = Table(caption=legend, show_header=False, box=box.SIMPLE, pad_edge=False)
    out.add_column(no_wrap=True)
    out.add_column(no_wrap=True)
    out.add_column(overflow="fold")
    out.add_column(justify="right", no_wrap=True)
    subject = ""
    for one in found:
        if one.subject != subject:
            subject = one.subject
            out.add_section()
            out.add_row(f"[bold]{escape(subject)}[/]", "", "", "")
        told = escape(one.told) + (f"\n[yellow]→ {escape(one.change)}[/]" if one.change else "")
        out.add_row(f"  {one.probe}", SIGNS[one.state], told, "" if one.seconds is None else f"{one.seconds:.1f} s")
    return out
