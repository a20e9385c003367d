"""Diagnosis of a configuration: whether each model does what the roles need, and what to change if not.

Each probe sends the prompt of a role, through the role's own code, about a request and an image with known answers.
Nothing is stored.
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
from ..models.image.base import ImageModel, ImageRequest, generate_rgb
from ..models.registry import Models
from ..models.shapes.world import BACKGROUND, COLORS
from ..nodes import decomposer, planner, refiner, verifier
from ..privacy import host_of
from ..report.text import count_of
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
    """Result of one probe of one model."""

    subject: str
    """Name of the model."""
    probe: str
    state: State
    """ "ok"; "weak": GEMS works without it; "fault": GEMS does not work without it; "skipped": not probed."""
    told: str
    """What the probe found."""
    change: str = ""
    """What to change, if anything."""
    seconds: float | None = None


def diagnose(models: Models, *, draw: bool = True, skills: SkillLibrary | None = None) -> Iterator[Diagnosis]:
    """Probe the models of a run, and yield each result as soon as it is known.

    Args:
        models: the models.
        draw: whether to generate images: two, or three if the model edits.
        skills: offered to the planner; by default the bundled skills.
    """
    library = SkillLibrary.load() if skills is None else skills
    unreachable = set()
    for chat in {id(chat): chat for chat in models.chats.values()}.values():
        try:
            yield _probe_endpoint(chat)
        except httpx2.HTTPError as error:  # further probes would only wait for a timeout
            unreachable.add(id(chat))
            message = f"{_host(chat)} does not answer ({type(error).__name__})"
            yield Diagnosis(model_name(chat), "endpoint", "fault", message, "start the server, or correct the URL")
    probes: tuple[tuple[str, str, str, Callable[[BaseChatModel], list[Diagnosis]]], ...] = (
        ("decomposer", "schema", "the decomposer", _probe_schema),
        ("planner", "tools", "the planner", lambda chat: _probe_tools(chat, library)),
        ("verifier", "vision", "the verifier", _probe_vision),
        ("refiner", "thought", "the refiner", lambda chat: _probe_thought(chat, library)),
    )
    for role, name, who, probe in probes:
        chat = models.chats[role]
        if id(chat) in unreachable:
            yield Diagnosis(model_name(chat), name, "skipped", "the endpoint does not answer")
            continue
        start = time.perf_counter()
        try:
            first, *others = probe(chat)
        except GemsError as error:
            yield Diagnosis(model_name(chat), name, "fault", str(error), f"{who} needs this: see the message")
            continue
        yield first._replace(seconds=time.perf_counter() - start)
        yield from others
    if draw:
        yield from _probe_image(models.image)
    else:
        yield Diagnosis(models.image.name, "image", "skipped", "no image was requested")


def sample_image() -> Image.Image:
    """Return an image of `REQUEST`, RGB, 512x512 pixels."""
    image = Image.new("RGB", (512, 512), BACKGROUND)
    pen = ImageDraw.Draw(image)
    for x in (96, 256, 416):
        pen.ellipse((x - 56, 80, x + 56, 192), fill=COLORS["red"])
    pen.rectangle((200, 304, 312, 416), fill=COLORS["blue"])
    return image


def _probe_schema(chat: BaseChatModel) -> list[Diagnosis]:
    answer = ask(chat, decomposer.render(REQUEST), decomposer.Checks, role="decomposer")
    calls = "in one call" if answer.spent.calls == 1 else f"in {answer.spent.calls} calls"
    measured = answer.spent.output_tokens and answer.spent.seconds > 0.2
    speed = f", {answer.spent.output_tokens / answer.spent.seconds:.0f} tokens/s" if measured else ""
    state: State = "ok" if answer.spent.calls == 1 and len(answer.value.checks) >= 3 else "weak"
    change = "" if state == "ok" else "choose a stronger model in [roles.decomposer], or a server with structured outputs"
    return [Diagnosis(model_name(chat), "schema", state, f"{count_of(len(answer.value.checks), 'check')} {calls}{speed}", change)]


def _probe_tools(chat: BaseChatModel, library: SkillLibrary) -> list[Diagnosis]:
    messages = with_schema(planner.render(REQUEST, library.catalog()), planner.Plan)
    change = "start the server with tool calls enabled, choose another model in [roles.planner], or work without skills"
    try:
        message, _ = call(chat, messages, {"tools": skill_tools(library)}, role="planner", required={"tools"})
    except ModelCallError as error:
        if error.refused != "tools":
            raise
        return [Diagnosis(model_name(chat), "tools", "weak", f"{error.problem}; the planner loads no skills", change)]
    names = [str(c["args"].get("name", "")) for c in message.tool_calls]
    if names:
        return [Diagnosis(model_name(chat), "tools", "ok", f"loads {', '.join(names)}")]
    problem = "made no tool call where two skills fit: the planner loads no skills"
    return [Diagnosis(model_name(chat), "tools", "weak", problem, change)]


def _probe_vision(chat: BaseChatModel) -> list[Diagnosis]:
    buffer = io.BytesIO()
    sample_image().save(buffer, "PNG")
    ref = ImageRef(sha256="0" * 64, width=512, height=512)
    messages = verifier.render(CHECKS, ref, lambda _: buffer.getvalue())
    answer = ask(chat, messages, verifier.Findings, role="verifier", logprobs=True)
    verdicts = verifier.parse(answer.value, CHECKS)
    right = sum(v.passed is True for v in verdicts)
    wrong = "; ".join(f"{c.question} {v.answer or 'no answer'}" for c, v in zip(CHECKS, verdicts, strict=True) if not v.passed)
    state: State = "ok" if right == len(CHECKS) else "fault"
    change = "" if state == "ok" else "choose a vision model in [roles.verifier]"
    message = f"{right} of {len(CHECKS)} answers correct" + (f": {wrong}" if wrong else "")
    vision = Diagnosis(model_name(chat), "vision", state, message, change)
    if answer.tokens:
        return [vision, Diagnosis(model_name(chat), "log-probabilities", "ok", "available: checks have probabilities")]
    hint = "optional: estimate probabilities with --votes 5"
    message = "not available: answers count as certain"
    return [vision, Diagnosis(model_name(chat), "log-probabilities", "weak", message, hint)]


def _probe_thought(chat: BaseChatModel, library: SkillLibrary) -> list[Diagnosis]:
    state = GemsState(prompt=REQUEST, draft=REQUEST, checks=list(CHECKS))
    answer = ask(chat, refiner.render(state, preset("original"), library, lambda _: b""), refiner.Refinement, role="refiner")
    if answer.thought:
        return [Diagnosis(model_name(chat), "thought", "ok", f"visible, {len(answer.thought.split())} words")]
    return [Diagnosis(model_name(chat), "thought", "ok", "hidden: the refiner's stated strategy is stored instead")]


def _probe_endpoint(chat: BaseChatModel) -> Diagnosis:
    """Request the list of models of an endpoint, which is quick and free.

    Raises:
        httpx2.HTTPError: the endpoint does not answer.
    """
    name = model_name(chat)
    base = getattr(chat, "openai_api_base", None)
    if not isinstance(base, str):
        return Diagnosis(name, "endpoint", "ok", "runs in this process")
    key = getattr(chat, "openai_api_key", None)
    headers = {"Authorization": f"Bearer {key.get_secret_value()}"} if isinstance(key, SecretStr) else {}
    host = _host(chat)
    start = time.perf_counter()
    try:
        with GuardedClient() as client:
            response = client.get(f"{base.rstrip('/')}/models", headers=headers, timeout=10)
        names = [str(model["id"]) for model in response.raise_for_status().json()["data"]]
    except httpx2.HTTPStatusError as error:
        code = error.response.status_code
        if code in (401, 403):
            key_env = getattr(chat, "key_env", "the environment variable of its key")
            return Diagnosis(name, "endpoint", "fault", f"{host} refuses the API key", f"set {key_env} to a valid key")
        return Diagnosis(name, "endpoint", "weak", f"{host} does not list its models (status {code})")
    except (ValueError, KeyError, TypeError, RecursionError, OversizedAnswerError):
        return Diagnosis(name, "endpoint", "weak", f"{host} does not list its models as OpenAI does", "does the URL end in /v1?")
    seconds = time.perf_counter() - start
    if name in names:
        return Diagnosis(name, "endpoint", "ok", f"{host} answers and has the model", seconds=seconds)
    known = ", ".join(names[:5]) or "none"
    return Diagnosis(name, "endpoint", "fault", f"{host} has no model {name!r}", f"choose one of its models: {known}", seconds)


def _host(chat: BaseChatModel) -> str:
    """Return the host and port of an endpoint, without a key in the URL."""
    return host_of(str(getattr(chat, "openai_api_base", "")))


def _probe_image(model: ImageModel) -> Iterator[Diagnosis]:
    request = ImageRequest(prompt=REQUEST, seed=1)
    try:
        [first] = generate_rgb(model, [request])
        start = time.perf_counter()  # the first image may have loaded the model
        [again] = generate_rgb(model, [request])
        seconds = time.perf_counter() - start
    except GemsError as error:
        yield Diagnosis(model.name, "image", "fault", str(error), "see the message")
        return
    yield Diagnosis(model.name, "image", "ok", f"{first.width}x{first.height} pixels", seconds=seconds)
    if first.tobytes() == again.tobytes():
        yield Diagnosis(model.name, "seed", "ok", "the same request and seed give the same image")
    else:
        yield Diagnosis(model.name, "seed", "weak", "the same request and seed give another image", "results are not reproducible")
    for caveat in model.caveats(request):
        yield Diagnosis(model.name, "request", "weak", caveat)
    limit = model.prompt_limit
    yield Diagnosis(model.name, "prompt", "ok", f"reads {limit} tokens" if limit else "no known limit")
    yield from _probe_edit(model)


def _probe_edit(model: ImageModel) -> Iterator[Diagnosis]:
    if not model.can_edit:
        yield Diagnosis(model.name, "edit", "skipped", "the model cannot edit images; --edit has no effect")
        return
    buffer = io.BytesIO()
    sample_image().save(buffer, "PNG")
    start = time.perf_counter()
    try:
        generate_rgb(model, [ImageRequest(prompt="Make the square green and keep the rest.", seed=1, source=buffer.getvalue())])
    except GemsError as error:
        yield Diagnosis(model.name, "edit", "fault", str(error), "do not use --edit")
        return
    yield Diagnosis(model.name, "edit", "ok", "edits an image by an instruction", seconds=time.perf_counter() - start)


STATE_MARKS: dict[State, str] = {"ok": "[green]✓[/]", "weak": "[yellow]![/]", "fault": "[red]✗[/]", "skipped": "[dim]–[/]"}


def diagnosis_table(diagnoses: Sequence[Diagnosis]) -> Table:
    """Return diagnoses as a table with a section for each model."""
    legend = "✓ works   ! GEMS works without it   ✗ must be fixed   – skipped"
    out = Table(caption=legend, show_header=False, box=box.SIMPLE, pad_edge=False)
    out.add_column(no_wrap=True)
    out.add_column(no_wrap=True)
    out.add_column(overflow="fold")
    out.add_column(justify="right", no_wrap=True)
    subject = ""
    for diagnosis in diagnoses:
        if diagnosis.subject != subject:
            subject = diagnosis.subject
            out.add_section()
            out.add_row(f"[bold]{escape(subject)}[/]", "", "", "")
        message = escape(diagnosis.told) + (f"\n[yellow]→ {escape(diagnosis.change)}[/]" if diagnosis.change else "")
        seconds = "" if diagnosis.seconds is None else f"{diagnosis.seconds:.1f} s"
        out.add_row(f"  {diagnosis.probe}", STATE_MARKS[diagnosis.state], message, seconds)
    return out
