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
from ..models.options import ModelOptions, without_hosts_and_folders
from ..nodes.budget import money
from ..storage.image_store import ImageStore
from .benchmark import Sample
from .records import Checked, SampleRecord
from .variants import Variant


@dataclass(frozen=True)
class WorkItem:
    """A prompt, which of its images, and the seed of its runs: the same for all variants."""

    id: str
    prompt: str
    index: int
    seed: int

    @classmethod
    def of(cls, sample: Sample, index: int, seed: int) -> WorkItem:
        """Return the cell of a sample. What only the scorer may know stays behind."""
        return cls(sample.id, sample.prompt, index, seed)


def draw(graph: Graph, variant: Variant, cell: WorkItem, prices: ModelOptions) -> SampleRecord:
    """Run the graph once, and record what it reached and took. A run that fails is a record too, with the reason.

    Args:
        graph: the graph; without a store for lessons, a run that uses them has an empty one of its own.
        variant: the settings.
        cell: the prompt and its seed.
        prices: what the models cost.
    """
    if variant.context.lessons != "none" and graph.store is None:
        graph = graph.copy({"store": InMemoryStore()})
    began = time.perf_counter()
    followed = _Followed()
    error = ""
    try:
        followed.run(graph, cell.prompt, variant.context.model_copy(update={"seed": cell.seed}))
    except Exception as failure:  # whatever a model of one's own raises costs this image only, and is counted
        error = without_hosts_and_folders(_said(failure), prices)
    seconds = round(time.perf_counter() - began, 3)
    state = followed.state
    usage = state.usage if state else Usage()
    total, cost = usage.total, money(usage, prices)
    record = SampleRecord(
        id=cell.id,
        prompt=cell.prompt,
        variant=variant.name,
        index=cell.index,
        seed=cell.seed,
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
    checks = Checked(total=score.total, passed=score.passed, gm=score.geometric, am=score.arithmetic)
    return record.model_copy(update={"image": state.best.image, "decision": state.result.decision, "checks": checks})


def kept(record: SampleRecord, store: ImageStore, folder: Path) -> SampleRecord:
    """Return a record with the path of its image, if it is a file below the folder of the study."""
    if record.image is None or not store.is_in(folder):
        return record
    path = store.path(record.image.sha256).resolve().relative_to(folder.resolve()).as_posix()
    return record.model_copy(update={"path": path})


def _said(failure: Exception) -> str:
    text = " ".join(str(failure).split())[:500] or "no reason given"
    return text if isinstance(failure, GemsError) else f"{type(failure).__name__}: {text}"


class _Followed:
    """A run as it goes on: its last state, and what each of the refiner's turns was sent, its input tokens and pictures.

    The state adds up the tokens by role, so they are read from the updates as they pass; pictures nobody counts.
    """

    def __init__(self) -> None:
        self.tokens: list[int] = []
        self.pictures: list[int] = []
        self._last: Any = None

    @property
    def state(self) -> GemsState | None:
        """The state after the last step that ended; None before the first."""
        return GemsState.model_validate(self._last) if self._last else None

    def run(self, graph: Graph, prompt: str, context: RunContext) -> None:
        eyes = _Eyes()
        config: RunnableConfig = {"recursion_limit": 100_000, "callbacks": [eyes]}  # the round budget is ours
        for part in graph.stream({"prompt": prompt}, config, context=context, stream_mode=["updates", "values"], version="v2"):
            if part["type"] == "values":
                self._last = part["data"]
            elif "refiner" in (update := cast("dict[str, Any]", part["data"])):
                usage = (update["refiner"] or {}).get("usage") or Usage()
                self.tokens.append(usage.total.input_tokens)
                self.pictures.append(eyes.pictures - sum(self.pictures))


class _Eyes(BaseCallbackHandler):
    """Counts the pictures that the refiner is shown."""

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
        """Look at what is sent."""
        if (metadata or {}).get("langgraph_node") == "refiner":
            blocks = [block for batch in messages for message in batch for block in message.content if isinstance(block, dict)]
            self.pictures += sum(block.get("type") in ("image", "image_url") for block in blocks)
