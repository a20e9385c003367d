"""What a soak sees of a run: its steps, what its image model makes, and what its image store keeps, written down as it happens."""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from gems.errors import OutsideWorldError
from gems.events import Event, RoleEnded, RoleStarted, RunStarted
from gems.memory.state import ImageRef
from gems.models.image.base import ImageModel, ImageRequest
from gems.models.shapes.grammar import parse_request
from gems.models.shapes.world import draw, lay_out_scene
from gems.storage.image_store import ImageStore

GENERATION_SECONDS = 0.02
"""Seconds that a picture takes, besides its drawing."""
FLAWED_SHARE = 0.75
"""Share of the pictures that lack something, so that runs take several rounds."""


class EventLog:
    """Lines of JSON, each written at once, so that they outlive the process.

    Args:
        path: the file.
        durable: whether each line is on the disk when `write` returns.
    """

    def __init__(self, path: Path, *, durable: bool = False) -> None:
        self.path, self._durable = path, durable
        self._file = os.open(path, os.O_APPEND | os.O_CREAT | os.O_WRONLY, 0o644)

    def write(self, **line: Any) -> None:
        """Append a line."""
        os.write(self._file, json.dumps({"at": time.monotonic(), **line}).encode() + b"\n")
        if self._durable:
            os.fsync(self._file)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


class RunWatch:
    """Writes down what a run is at, by its events, its image model and its image store."""

    def __init__(self, journal: EventLog, pictures: EventLog, thread: str, new: bool) -> None:
        self.journal, self.pictures, self.thread, self.new = journal, pictures, thread, new
        self.phase, self._running = "opening", set[str]()

    def __call__(self, event: Event) -> None:
        """Take an event of the run."""
        if isinstance(event, RunStarted):
            self.at("loading")
            return
        if isinstance(event, RoleEnded):
            self._running.discard(event.role)
        elif not isinstance(event, RoleStarted):
            return
        elif {*self._running, event.role} == {"planner", "decomposer"}:
            self._running.add(event.role)
        else:
            self._running = {event.role}  # of a step whose result was stored before the kill, LangGraph tells the begin but no end
        self.at(" and ".join(sorted(self._running)) or "checkpoint")

    def at(self, phase: str) -> None:
        """Write down what the run is at now."""
        self.phase = phase
        self.journal.write(thread=self.thread, phase=phase, new=self.new)


class WatchedImageModel(ImageModel):
    """Draws shapes with Pillow from the prompt and the seed, often one too few; writes down each picture before it returns it."""

    name = "painter"

    def __init__(self, watch: RunWatch, store: Path) -> None:
        self.watch, self.store = watch, store

    def generate(self, requests: Sequence[ImageRequest]) -> list[Image.Image]:
        """Draw, and write down whether a picture had been made before and was in the store."""
        return [self._draw(request) for request in requests]

    def _draw(self, request: ImageRequest) -> Image.Image:
        key = f"{request.seed} {request.prompt}"
        again = any(line["key"] == key for line in read_log(self.watch.pictures.path))
        if kept := again and is_stored(self.store, request):
            self.watch.pictures.write(key=key, what="asked for though stored")
        self.watch.at("drawing")
        time.sleep(GENERATION_SECONDS)
        image = draw_request(request)
        self.watch.pictures.write(key=key, what="drawn", again=again and not kept)
        return image


class WatchedStore(ImageStore):
    """An image store that writes down when a picture is in it."""

    def __init__(self, place: Path, watch: RunWatch) -> None:
        super().__init__(place)
        self.watch = watch

    def put(self, image: Image.Image, text: Mapping[str, str] | None = None, *rest: Any) -> ImageRef:
        """Store a picture."""
        said = dict(text or {})
        self.watch.at("storing")
        ref = super().put(image, text, *rest)
        self.watch.pictures.write(key=f"{said.get('seed')} {said.get('prompt')}", what="stored", sha256=ref.sha256)
        self.watch.at("generator")
        return ref

    def read(self, ref: ImageRef) -> bytes:
        """Read a picture; between two steps nobody but the end of a run does that."""
        if self.watch.phase == "checkpoint":
            self.watch.at("publishing")
        return super().read(ref)


def draw_request(request: ImageRequest) -> Image.Image:
    """Return the picture of a request: always the same one, and often without its first thing."""
    rng = random.Random(f"{request.seed} {request.prompt}")
    try:
        scene = lay_out_scene(parse_request(request.prompt).spec, rng)
    except OutsideWorldError:
        scene = None
    return draw(scene.things[rng.random() < FLAWED_SHARE :] if scene else ())


def is_stored(folder: Path, request: ImageRequest) -> bool:
    """Return whether a picture of this prompt and seed is among the files of an image store, whatever its notes say."""
    for path in folder.glob("??/*.png"):
        with Image.open(path) as image:
            if (image.info.get("prompt"), image.info.get("seed")) == (request.prompt, str(request.seed)):
                return True
    return False


def read_log(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a journal; one that a kill has torn is no line."""
    whole = path.read_bytes().rpartition(b"\n")[0] if path.exists() else b""
    return [json.loads(line) for line in whole.splitlines()]
