"""What runs on the machines of a Ray cluster: image models in actors (painters), and prompts as tasks that ask them.

Without Ray nothing here can be imported; `ray_engine` sees to that.
"""

from __future__ import annotations

import functools
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import ray
from PIL import Image
from ray.exceptions import RayActorError, RayTaskError

from ..errors import ClusterError, ImageModelError
from ..graph.build import Graph, build_graph
from ..models.image.base import ImageModel, ImageRequest, generate_images
from ..models.options import CHAT_ROLES, ModelOptions
from ..models.registry import ChatChoices, Models, image_model
from ..storage.image_store import ImageStore
from .engine import Job
from .records import SampleRecord
from .sample_run import draw
from .variants import code_digest

ROUNDS = 8
"""How often all painters are tried, after waits that double from half a second to a minute: two minutes in all."""

T = TypeVar("T")


class ModelInfo(NamedTuple):
    """What a painter tells of its model before it has drawn."""

    name: str
    settings: dict[str, object]
    parallel: int


class ImageModelActor:
    """An image model in an actor. It is made when it is first needed, so that what is wrong with it is told to who asks.

    Args:
        image: a list with the reference to the model, its options or its spec: what Ray would fetch at once stands alone.
        code: digest of the code that the study is made with.
    """

    def __init__(self, image: Sequence[Any], code: str) -> None:
        self._image, self._code = image, code
        self._lock = threading.Lock()
        self._made: ImageModel | None = None

    def _model(self) -> ImageModel:
        with self._lock:
            if self._made is None:
                require_code(self._code)
                choice = ray.get(self._image[0])  # not before the code is known to be the same
                self._made = choice if isinstance(choice, ImageModel) else image_model(choice)
            return self._made

    def about(self) -> ModelInfo:
        """Return what is known of the model without loading its weights."""
        model = self._model()
        return ModelInfo(model.name, model.settings, model.parallel)

    def can_edit(self) -> bool:
        """Return what the model says of itself."""
        return self._model().can_edit

    def prompt_limit(self) -> int | None:
        """Return what the model says of itself."""
        return self._model().prompt_limit

    def generate(self, requests: Sequence[ImageRequest]) -> list[Image.Image]:
        """Draw. Calls come from several threads: a model that gathers requests into batches does so here too."""
        return generate_images(self._model(), requests)  # they are of no file, and can be sent

    def truncated(self, prompt: str) -> str | None:
        """Return what the model says of a prompt."""
        return self._model().truncated(prompt)

    def caveats(self, request: ImageRequest) -> list[str]:
        """Return what the model says of a request."""
        return self._model().caveats(request)


class RemoteImageModel(ImageModel):
    """The image model as a prompt's graph sees it: asks the first of some painters, and another one where that is lost.

    Ray would let a call wait until its own painter is back, which may be never where a machine is gone for good. So calls are
    not repeated by Ray, but here: equal requests give equal pictures, whoever draws them.

    Args:
        about: what the painters have told.
        painters: handles of the actors, the one to be asked first.
    """

    def __init__(self, about: ModelInfo, painters: Sequence[Any]) -> None:
        self.name, self._settings, self.parallel = about
        self._painters = list(painters)
        self._known: dict[str, Any] = {}

    @property
    def settings(self) -> dict[str, object]:
        """As the painters' model has them."""
        return self._settings

    @property
    def can_edit(self) -> bool:
        """As the painters' model has it."""
        return bool(self._once("can_edit"))

    @property
    def prompt_limit(self) -> int | None:
        """As the painters' model has it."""
        limit: int | None = self._once("prompt_limit")
        return limit

    def generate(self, requests: Sequence[ImageRequest]) -> list[Image.Image]:
        """Have a painter draw."""
        images: list[Image.Image] = self._ask("generate", list(requests))
        return images

    def truncated(self, prompt: str) -> str | None:
        """Ask a painter."""
        cut: str | None = self._ask("truncated", prompt)
        return cut

    def caveats(self, request: ImageRequest) -> list[str]:
        """Ask the painter that has drawn, unless it is lost."""
        said: list[str] = self._ask("caveats", request)
        return said

    def _once(self, what: str) -> Any:
        if what not in self._known:
            self._known[what] = self._ask(what)
        return self._known[what]

    def _ask(self, what: str, *args: Any) -> Any:
        for number in range(ROUNDS):
            for painter in list(self._painters):
                try:
                    return answer(getattr(painter, what).remote(*args))
                except RayActorError:
                    # Whoever was lost is asked last from now on, as long as the others answer.
                    self._painters = [*(p for p in self._painters if p is not painter), painter]
            time.sleep(min(60, 0.5 * 2**number))
        raise ImageModelError(
            f"all {len(self._painters)} painters of {self.name!r} were lost again and again: the logs of Ray say why, "
            "often too little memory for so many on one machine"
        )


def answer(ref: Any) -> Any:
    """Return what a call came to, and raise what it raised as if it had been made here."""
    try:
        return ray.get(ref)
    except RayTaskError as error:
        cause = getattr(error, "cause", None)
        raise (cause if isinstance(cause, Exception) else error) from None


class WorkerSetup(NamedTuple):
    """What tasks need to know, the same for all of a study."""

    id: str
    code: str
    """Digest of the code that the study is made with."""
    chat: Sequence[Any]
    """A list with the reference to the chat models as they were given."""
    prices: ModelOptions
    about: ModelInfo
    painters: tuple[Any, ...]
    store: ImageStore | None
    """That of the study where all machines reach it; else a task has one of its own, and hands over its best images."""


def paint(setup: WorkerSetup, job: Job, first: int) -> Iterator[tuple[SampleRecord, bytes | None]]:
    """Run all variants of a job, one after the other.

    Args:
        setup: of the study.
        job: what is to be run.
        first: index of the painter that is asked first.

    Yields:
        Each record, and the PNG of its image if the study's store has not got it.

    Raises:
        GemsError: the worker has other code than the study, or cannot make the chat models.
    """
    image = RemoteImageModel(setup.about, [*setup.painters[first:], *setup.painters[:first]])
    with tempfile.TemporaryDirectory(prefix="gems-") as folder:
        store = setup.store or ImageStore(Path(folder))
        graph = _graph(setup, image, store)
        for variant in job.variants:
            record = draw(graph, variant, job.cell, setup.prices)
            yield record, store.read(record.image) if record.image and setup.store is None else None


def _graph(setup: WorkerSetup, image: ImageModel, store: ImageStore) -> Graph:
    chats = _once_in_this_process(setup.id, lambda: _chats(setup))
    return build_graph(chats, image, image_store=store, prices=setup.prices)


def _chats(setup: WorkerSetup) -> dict[str, Any]:
    """Make the chat models of a study. Keys come from this machine's environment."""
    require_code(setup.code)
    choice: ChatChoices = ray.get(setup.chat[0])
    made = Models.choose(choice, "shapes").chats
    return {role: made[role] for role in CHAT_ROLES}


_MADE: dict[str, Any] = {}
"""What this process has made for the study that it works for: the tasks of a process come one after the other."""


def _once_in_this_process(id: str, make: Callable[[], T]) -> T:
    if id not in _MADE:
        made = make()
        _MADE.clear()
        _MADE[id] = made
    found: T = _MADE[id]
    return found


@functools.cache
def _own_code() -> str:
    return code_digest()


def require_code(code: str) -> None:
    """Make sure that this process would give the study's results.

    Raises:
        ClusterError: its code is another one.
    """
    if _own_code() != code:
        where = ray.util.get_node_ip_address()
        raise ClusterError(f"the machine {where} of the cluster has other code of gems than this one: install the same on all")
