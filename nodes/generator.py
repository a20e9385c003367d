"""Generator: turns the draft into images. It waits for the planner and the decomposer."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import PurePath
from typing import Any

from langchain_core.runnables.config import ContextThreadPoolExecutor
from langgraph.runtime import Runtime
from langsmith.utils import tracing_is_enabled

from ..context import RunContext, settings_in
from ..errors import SettingError
from ..events import ImageMade, emit
from ..memory.state import Attempt, ImageRef, Request, best_of
from ..models.image.base import ImageModel, ImageRequest, generate_rgb
from ..storage.image_store import ImageStore
from .messages import Node, cost

TRACED = "LangSmith tracing is on (LANGSMITH_TRACING, LANGCHAIN_TRACING_V2): requests, answers and images are posted to it."


class GeneratorState(Request):
    """What the generator reads."""

    draft: str = ""
    thought: str = ""
    edit: bool = False
    attempts: list[Attempt] = []


def count(made: int, context: RunContext) -> int:
    """Return how many candidates the next round has: fewer than asked for if the images of the run do not suffice.

    Raises:
        SettingError: there is none left, which a selector of ours would not have gone on from.
    """
    if context.max_images is None:
        return context.candidates
    if made >= context.max_images:
        raise SettingError(f"all images of max_images {context.max_images} are used: raise it to go on")
    return min(context.candidates, context.max_images - made)


def render(prompt: str, round: int, context: RunContext, source: bytes | None = None, made: int = 0) -> list[ImageRequest]:
    """Return a request for each candidate of a round, each with its own seed.

    Args:
        prompt: what to draw, or what to change.
        round: from 1.
        context: the run's settings.
        source: the picture to edit, as PNG.
        made: how many images the run has made so far.
    """
    return [
        ImageRequest(
            prompt=prompt,
            negative_prompt=context.negative_prompt,
            seed=context.seed_of(round, candidate),
            width=context.width,
            height=context.height,
            source=source,
        )
        for candidate in range(count(made, context))
    ]


def identity(model: ImageModel, request: ImageRequest, thread: str | None = None) -> str:
    """Return everything that determines a picture, as one string: by it a picture already made is found again.

    A run finds its own pictures only: not every model gives the same picture for the same request, and whoever starts a
    new run wants a new one. Graphs without a thread share theirs.
    """
    whole = {"name": model.name, "settings": model.settings, "request": request.model_dump(), "thread": thread}
    return json.dumps(whole, sort_keys=True, default=str)


def obtain(
    model: ImageModel,
    store: ImageStore,
    requests: Sequence[ImageRequest],
    thread: str | None = None,
    on_image: Callable[[ImageRequest, ImageRef], None] = lambda request, ref: None,
) -> list[ImageRef]:
    """Return the picture of each request; those that this run has made already are not made again.

    Args:
        model: what draws.
        store: where pictures are kept.
        requests: what to draw.
        thread: the run.
        on_image: called with each request and its picture as soon as it is there, from any thread.

    Raises:
        ImageModelError: the model failed or gave fewer pictures than asked for. What it made is in the store.
        ImageStoreError: the store cannot be read or written.
    """
    found = {r: ref for r in requests if (ref := store.find_by_request(identity(model, r, thread), thread))}
    for request, ref in found.items():
        on_image(request, ref)

    def make(request: ImageRequest) -> ImageRef:
        ref = _make(model, store, request, thread)
        on_image(request, ref)
        return ref

    wanted = [r for r in dict.fromkeys(requests) if r not in found]
    if wanted:
        store.ensure_writable()  # a picture that cannot be kept is not paid for
    # One at a time or from as many threads as the model has a use for; each is stored as soon as it is there.
    with ContextThreadPoolExecutor(max(1, min(model.parallel, len(wanted)))) as pool:
        found.update(zip(wanted, pool.map(make, wanted), strict=True))
    return [found[r] for r in requests]


def _make(model: ImageModel, store: ImageStore, request: ImageRequest, thread: str | None) -> ImageRef:
    [image] = generate_rgb(model, [request])
    size = f"{image.width}x{image.height}"
    name = PurePath(model.name).name if model.name.startswith("/") else model.name  # some servers name a model by its folder
    text = {"prompt": request.prompt, "seed": str(request.seed), "size": size, "model": name, "software": "gems"}
    if request.negative_prompt:
        text["negative_prompt"] = request.negative_prompt
    return store.put(image, text, identity(model, request, thread), thread)


def generator(model: ImageModel, store: ImageStore) -> Node:
    """Build the node that adds the round's attempts to `attempts`.

    Args:
        model: what draws.
        store: where pictures are kept.
    """

    def node(state: GeneratorState, runtime: Runtime[RunContext]) -> dict[str, Any]:
        context = settings_in(runtime.context)
        round = max((a.round for a in state.attempts), default=0) + 1
        prompt = state.draft or state.prompt
        best = best_of(state.attempts) if state.edit and model.can_edit else None
        source = best.image if best else None
        requests = render(prompt, round, context, store.read(source) if source else None, len(state.attempts))
        began = time.perf_counter()
        thread = runtime.execution_info.thread_id if runtime.execution_info else None

        def attempt(request: ImageRequest, ref: ImageRef) -> Attempt:
            candidate, seed = requests.index(request), request.seed
            return Attempt(
                round=round, candidate=candidate, prompt=prompt, seed=seed, image=ref, source=source, thought=state.thought
            )

        def told(request: ImageRequest, ref: ImageRef) -> None:
            emit(ImageMade.of(attempt(request, ref), "generator"))

        refs = obtain(model, store, requests, thread, told)
        seconds = time.perf_counter() - began
        attempts = [attempt(request, ref) for request, ref in zip(requests, refs, strict=True)]
        cut = model.truncated(prompt)
        notes = [f"The image model does not read the end of the prompt of round {round}: {cut[:200]!r}"] if cut else []
        notes += [note for request in requests for note in model.caveats(request)]
        notes += [TRACED] if tracing_is_enabled() else []
        # Pictures found again count as made: they were paid for, only not yet booked when the run was killed.
        return {"attempts": attempts, "notes": notes, "usage": cost("generator", [], images=len(refs), seconds=seconds)}

    return node
