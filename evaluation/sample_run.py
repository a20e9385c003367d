"""One run of the graph for one image of a benchmark, and its record."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import BaseMessage
from langchain_core.runnables import RunnableConfig
from langgraph.store.memory import InMemoryStore

from ..context import RunContext
from ..errors import GemsError
from ..graph.build import Graph
from ..memory.state import GemsState, Usage
from ..models.options import without_hosts_and_folders
from ..nodes.budget import cost_of
from ..storage.image_store import ImageStore
from .benchmarks.base import Sample
from .run_records import CheckSummary, SampleRecord
from .variants import Variant, VariantGraph


@dataclass(frozen=True)
class WorkItem:
    """A prompt, the index of its image and the seed: the same for all variants."""

    id: str
    prompt: str
    index: int
    seed: int

    @classmethod
    def of(cls, sample: Sample, index: int, seed: int) -> WorkItem:
        """Build the item of a sample, without what only the scorer may know."""
        return cls(sample.id, sample.prompt, index, seed)


def run_sample(built: VariantGraph, variant: Variant, item: WorkItem) -> SampleRecord:
    """Run the graph once and record its image and costs. A failed run is a record with the reason.

    Args:
        built: the variant's graph; without a store, a run that uses lessons has an empty one of its own.
        variant: the settings.
        item: the prompt and its seed.
    """
    graph, prices = built
    if variant.context.lessons != "none" and graph.store is None:
        graph = graph.copy({"store": InMemoryStore()})
    began = time.perf_counter()
    followed = _RunFollower()
    error = ""
    try:
        followed.run(graph, item.prompt, variant.context.model_copy(update={"seed": item.seed}))
    except Exception as failure:  # whatever a custom model raises fails this image only, and is counted
        host = failure.host if isinstance(failure, GemsError) else ""
        error = without_hosts_and_folders(_failure_reason(failure), prices, host)
    seconds = round(time.perf_counter() - began, 3)
    state = followed.state
    usage = state.usage if state else Usage()
    total, cost = usage.total, cost_of(usage, prices)
    record = SampleRecord(
        id=item.id,
        prompt=item.prompt,
        variant=variant.name,
        index=item.index,
        seed=item.seed,
        error=error,
        rounds=state.round if state else 0,
        calls=total.calls,
        images=total.images,
        input_tokens=total.input_tokens,
        output_tokens=total.output_tokens,
        seconds=seconds,
        cost=None if cost is None else cost.amount,
        refiner_input_tokens=tuple(followed.tokens),
        refiner_pictures=tuple(followed.pictures),
    )
    if error or state is None or state.best is None or state.best.score is None or state.result is None:
        return record.model_copy(update={"error": error or "the run ended without an image that was judged"})
    score = state.best.score
    checks = CheckSummary(total=score.total, passed=score.passed, gm=score.geometric, am=score.arithmetic)
    return record.model_copy(update={"image": state.best.image, "decision": state.result.decision, "checks": checks})


def with_image_path(record: SampleRecord, store: ImageStore, folder: Path) -> SampleRecord:
    """Add the path of its image to a record, if it is in the folder of the study."""
    if record.image is None or not store.is_inside(folder):
        return record
    path = store.path(record.image.sha256).resolve().relative_to(folder.resolve()).as_posix()
    return record.model_copy(update={"path": path})


def _failure_reason(failure: Exception) -> str:
    text = " ".join(str(failure).split())[:500] or "no reason given"
    return text if isinstance(failure, GemsError) else f"{type(failure).__name__}: {text}"


class _RunFollower:
    """Follows a run: its last state, and the input tokens and images of each call of the refiner.

    The state only has sums by role, so the tokens are read from the updates; images are counted here alone.
    """

    def __init__(self) -> None:
        self.tokens: list[int] = []
        self.pictures: list[int] = []
        self._last: Any = None

    @property
    def state(self) -> GemsState | None:
        """The state after the last completed step; None before the first."""
        return GemsState.model_validate(self._last) if self._last else None

    def run(self, graph: Graph, prompt: str, context: RunContext) -> None:
        eyes = _RefinerImageCounter()
        config: RunnableConfig = {"recursion_limit": 100_000, "callbacks": [eyes]}  # the round budget is ours
        for part in graph.stream({"prompt": prompt}, config, context=context, stream_mode=["updates", "values"], version="v2"):
            if part["type"] == "values":
                self._last = part["data"]
            elif "refiner" in (update := cast("dict[str, Any]", part["data"])):
                usage = (update["refiner"] or {}).get("usage") or Usage()
                self.tokens.append(usage.total.input_tokens)
                self.pictures.append(eyes.pictures - sum(self.pictures))


class _RefinerImageCounter(BaseCallbackHandler):
    """Counts the images that the refiner is shown."""

    def __init__(self) -> None:
        self.pictures = 0

    def on_chat_model_start(
        self,
        serialized: dict[str, Any],
        messages: list[list[BaseMessage]],
        *,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Count the images in a call of the refiner."""
        if (metadata or {}).get("langgraph_node") == "refiner":
            blocks = [block for batch in messages for message in batch for block in message.content if isinstance(block, dict)]
            self.pictures += sum(block.get("type") in ("image", "image_url") for block in blocks)
