"""Code that runs on a Ray cluster: image models in actors, and prompts as tasks that call them.

Without Ray nothing here can be imported; `ray_engine` sees to that.
"""

from __future__ import annotations

import functools
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import ray
from PIL import Image
from ray.exceptions import RayActorError, RayTaskError

from ..errors import ClusterError, ImageModelError
from ..models.image.base import ImageModel, ImageRequest, generate_rgb
from ..models.options import CHAT_ROLES, ModelOptions
from ..models.registry import ChatChoices, Models, image_model
from ..storage.image_store import ImageStore
from .run_records import SampleRecord
from .sample_run import WorkItem, run_sample
from .study_definition import code_digest
from .variants import Variant

WORKER_ATTEMPTS = 8
"""Rounds of calls to all image actors, after waits that double from half a second to a minute: two minutes in all."""

T = TypeVar("T")


class ModelInfo(NamedTuple):
    """Facts about the model of an image actor, known without its weights."""

    name: str
    settings: dict[str, object]
    parallel: int


class ImageModelActor:
    """An image model in an actor. It is created when first needed, so that the caller gets its error.

    Args:
        image: a list with the reference to the model, its options or its spec: what Ray would fetch at once stands alone.
        code: digest of the code of the study.
    """

    def __init__(self, image: Sequence[Any], code: str) -> None:
        self._image, self._code = image, code
        self._lock = threading.Lock()
        self._made: ImageModel | None = None

    def _model(self) -> ImageModel:
        with self._lock:
            if self._made is None:
                require_same_code(self._code)
                choice = ray.get(self._image[0])  # not before the code is known to be the same
                self._made = choice if isinstance(choice, ImageModel) else image_model(choice)
            return self._made

    def about(self) -> ModelInfo:
        """Return the facts about the model without loading its weights."""
        model = self._model()
        return ModelInfo(model.name, model.settings, model.parallel)

    def can_edit(self) -> bool:
        """Return whether the model can edit images."""
        return self._model().can_edit

    def prompt_limit(self) -> int | None:
        """Return the prompt limit of the model."""
        return self._model().prompt_limit

    def generate(self, requests: Sequence[ImageRequest]) -> list[Image.Image]:
        """Generate images. Calls come from several threads, so that a model can batch them."""
        return generate_rgb(self._model(), requests)  # they are of no file, and can be sent

    def truncated(self, prompt: str) -> str | None:
        """Return the part of a prompt that the model would not read, None if it reads all."""
        return self._model().truncated(prompt)

    def caveats(self, request: ImageRequest) -> list[str]:
        """Return the model's notes on a request."""
        return self._model().caveats(request)


class RemoteImageModel(ImageModel):
    """The image model of a prompt's graph: calls the first of some image actors, and another one if that is lost.

    Ray would let a call wait until its own painter is back, which may be never where a machine is gone for good. So calls are
    not repeated by Ray, but here: equal requests give equal pictures, whoever draws them.

    Args:
        about: facts about the model.
        painters: handles of the actors, the first to be called first.
    """

    def __init__(self, about: ModelInfo, painters: Sequence[Any]) -> None:
        self.name, self._settings, self.parallel = about
        self._painters = list(painters)
        self._known: dict[str, Any] = {}

    @property
    def settings(self) -> dict[str, object]:
        """Of the actors' model."""
        return self._settings

    @property
    def can_edit(self) -> bool:
        """Of the actors' model."""
        return bool(self._once("can_edit"))

    @property
    def prompt_limit(self) -> int | None:
        """Of the actors' model."""
        limit: int | None = self._once("prompt_limit")
        return limit

    def generate(self, requests: Sequence[ImageRequest]) -> list[Image.Image]:
        """Generate images in an actor."""
        images: list[Image.Image] = self._ask("generate", list(requests))
        return images

    def truncated(self, prompt: str) -> str | None:
        """Call an actor."""
        cut: str | None = self._ask("truncated", prompt)
        return cut

    def caveats(self, request: ImageRequest) -> list[str]:
        """Call the actor that generated the image, unless it is lost."""
        caveats: list[str] = self._ask("caveats", request)
        return caveats

    def _once(self, what: str) -> Any:
        if what not in self._known:
            self._known[what] = self._ask(what)
        return self._known[what]

    def _ask(self, what: str, *args: Any) -> Any:
        for number in range(WORKER_ATTEMPTS):
            for painter in list(self._painters):
                try:
                    return get_result(getattr(painter, what).remote(*args))
                except RayActorError:
                    # Whoever was lost is asked last from now on, as long as the others answer.
                    self._painters = [*(p for p in self._painters if p is not painter), painter]
            time.sleep(min(60, 0.5 * 2**number))
        raise ImageModelError(
            f"all {len(self._painters)} painters of {self.name!r} were lost again and again: the logs of Ray say why, "
            "often too little memory for so many on one machine"
        )


def get_result(ref: Any) -> Any:
    """Return the result of a remote call, or raise its exception."""
    try:
        return ray.get(ref)
    except RayTaskError as error:
        cause = getattr(error, "cause", None)
        raise (cause if isinstance(cause, Exception) else error) from None


class WorkerSetup(NamedTuple):
    """Input of all tasks of a study."""

    id: str
    code: str
    """Digest of the code of the study."""
    chat: Sequence[Any]
    """A list with the reference to the chat models as they were given."""
    variants: Mapping[str, Variant]
    prices: Mapping[str, ModelOptions]
    """Options of the models of each variant."""
    about: ModelInfo
    painters: tuple[Any, ...]
    store: ImageStore | None
    """That of the study where all machines reach it; else a task has one of its own, and hands over its best images."""


def run_job(setup: WorkerSetup, item: WorkItem, variants: Sequence[str], first: int) -> Iterator[tuple[SampleRecord, bytes | None]]:
    """Run variants on a work item, one after the other.

    Args:
        setup: of the study.
        item: the prompt and its seed.
        variants: names of those to be run.
        first: index of the image actor that is called first.

    Yields:
        Each record, and the PNG of its image if it is not in the study's store.

    Raises:
        GemsError: the worker has other code than the study, or cannot make the chat models.
    """
    image = RemoteImageModel(setup.about, [*setup.painters[first:], *setup.painters[:first]])
    with tempfile.TemporaryDirectory(prefix="gems-") as folder:
        store = setup.store or ImageStore(Path(folder))
        chats = _make_once(setup.id, lambda: _make_chats(setup))
        for variant in map(setup.variants.__getitem__, variants):
            models = variant.choose_models(chats, image)._replace(options=setup.prices[variant.name])
            record = run_sample(variant.build(models, store), variant, item)
            yield record, store.read(record.image) if record.image and setup.store is None else None


def _make_chats(setup: WorkerSetup) -> dict[str, Any]:
    """Make the chat models of a study. Keys come from this machine's environment."""
    require_same_code(setup.code)
    choice: ChatChoices = ray.get(setup.chat[0])
    models = Models.choose(choice, "shapes").chats
    return {role: models[role] for role in CHAT_ROLES}


_CHATS_BY_STUDY: dict[str, Any] = {}
"""Chat models of the study that this process works for; its tasks run one after the other."""


def _make_once(id: str, make: Callable[[], T]) -> T:
    if id not in _CHATS_BY_STUDY:
        value = make()
        _CHATS_BY_STUDY.clear()
        _CHATS_BY_STUDY[id] = value
    typed: T = _CHATS_BY_STUDY[id]
    return typed


@functools.cache
def _installed_code() -> str:
    return code_digest()


def require_same_code(code: str) -> None:
    """Check that this process has the same code as the study.

    Raises:
        ClusterError: its code is another one.
    """
    if _installed_code() != code:
        where = ray.util.get_node_ip_address()
        raise ClusterError(f"the machine {where} of the cluster has other code of gems than this one: install the same on all")
