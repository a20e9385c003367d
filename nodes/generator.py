"""Generator: generates images from the draft, after the planner and the decomposer."""

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
from .messages import Node, usage_of

TRACING_NOTE = "LangSmith tracing is on (LANGSMITH_TRACING, LANGCHAIN_TRACING_V2): requests, answers and images are posted to it."


class GeneratorState(Request):
    """What the generator reads."""

    draft: str = ""
    thought: str = ""
    edit: bool = False
    attempts: list[Attempt] = []


def candidates_in_round(made: int, context: RunContext) -> int:
    """Return the number of candidates in the next round: fewer than the setting if `max_images` allows no more.

    Raises:
        SettingError: no image is left; our selector ends such a run.
    """
    if context.max_images is None:
        return context.candidates
    if made >= context.max_images:
        raise SettingError(f"all images of max_images {context.max_images} are used: raise it to continue")
    return min(context.candidates, context.max_images - made)


def render(prompt: str, round: int, context: RunContext, source: bytes | None = None, made: int = 0) -> list[ImageRequest]:
    """Return a request for each candidate of a round, each with its own seed.

    Args:
        prompt: of the image, or of the edit.
        round: from 1.
        context: the settings of the run.
        source: the image to edit, as PNG.
        made: number of images of the run so far.
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
        for candidate in range(candidates_in_round(made, context))
    ]


def request_key(model: ImageModel, request: ImageRequest, thread: str | None = None) -> str:
    """Return the key of a request in the image store: everything that determines the image.

    The thread is part of it: models need not give equal images for equal requests, and a new run should give a new image.
    Graphs without a thread share their images.
    """
    whole = {"name": model.name, "settings": model.settings, "request": request.model_dump(), "thread": thread}
    return json.dumps(whole, sort_keys=True, default=str)


def find_or_generate(
    model: ImageModel,
    store: ImageStore,
    requests: Sequence[ImageRequest],
    thread: str | None = None,
    on_image: Callable[[ImageRequest, ImageRef], None] = lambda request, ref: None,
) -> list[ImageRef]:
    """Return the image of each request; images that this run has already are not generated again.

    Args:
        model: the image model.
        store: the image store.
        requests: may contain duplicates.
        thread: the run.
        on_image: called with each request and its image as soon as it is there, from any thread.

    Raises:
        ImageModelError: the model failed, or returned too few images. Those that it made are in the store.
        ImageStoreError: the store cannot be read or written.
    """
    refs = {r: ref for r in requests if (ref := store.find_by_request(request_key(model, r, thread), thread))}
    for request, ref in refs.items():
        on_image(request, ref)

    def generate(request: ImageRequest) -> ImageRef:
        ref = _generate(model, store, request, thread)
        on_image(request, ref)
        return ref

    missing = [r for r in dict.fromkeys(requests) if r not in refs]
    if missing:
        store.ensure_writable()  # pay for no image that cannot be stored
    # From as many threads as the model can use; each image is stored as soon as it is there.
    with ContextThreadPoolExecutor(max(1, min(model.parallel, len(missing)))) as pool:
        refs.update(zip(missing, pool.map(generate, missing), strict=True))
    return [refs[r] for r in requests]


def _generate(model: ImageModel, store: ImageStore, request: ImageRequest, thread: str | None) -> ImageRef:
    [image] = generate_rgb(model, [request])
    size = f"{image.width}x{image.height}"
    name = PurePath(model.name).name if model.name.startswith("/") else model.name  # some servers name a model by its folder
    text = {"prompt": request.prompt, "seed": str(request.seed), "size": size, "model": name, "software": "gems"}
    if request.negative_prompt:
        text["negative_prompt"] = request.negative_prompt
    return store.put(image, text, request_key(model, request, thread), thread)


def generator(model: ImageModel, store: ImageStore) -> Node:
    """Build the node that adds the attempts of a round to `attempts`.

    Args:
        model: the image model.
        store: the image store.
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

        def on_image(request: ImageRequest, ref: ImageRef) -> None:
            emit(ImageMade.of(attempt(request, ref), "generator"))

        refs = find_or_generate(model, store, requests, thread, on_image)
        seconds = time.perf_counter() - began
        attempts = [attempt(request, ref) for request, ref in zip(requests, refs, strict=True)]
        cut = model.truncated(prompt)
        notes = [f"The image model does not read the end of the prompt of round {round}: {cut[:200]!r}"] if cut else []
        notes += [note for request in requests for note in model.caveats(request)]
        notes += [TRACING_NOTE] if tracing_is_enabled() else []
        # Images from the store count too: they were paid for, but not counted yet when the run was killed.
        return {"attempts": attempts, "notes": notes, "usage": usage_of("generator", [], images=len(refs), seconds=seconds)}

    return node
