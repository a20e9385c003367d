"""What a database keeps of a checkpoint in the clear, beside the bytes of the serializer, has a hash too."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    BaseCheckpointSaver,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    get_serializable_checkpoint_metadata,
)

from ..errors import CheckpointError
from .serializer import NamedWrite, damaged

HASH = "gems_sha256"
"""Where a JSON object has the hash of all else that is in it."""
CLEAR = ("v", "ts", "id", "channel_versions", "versions_seen")
"""Parts of a checkpoint that PostgreSQL keeps as JSON."""


def hash_of(value: Any) -> str:
    """Return the SHA-256 of a JSON value, whichever database it has gone through: the order of keys and 1 or 1.0 are the same."""
    plain = json.loads(json.dumps(value, default=str), parse_int=float)
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def with_hash(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return a JSON object with its hash in it."""
    return {**value, HASH: hash_of(value)}


def without_hash(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return a JSON object without its hash; one that was written before there were hashes as it is.

    Raises:
        CheckpointError: it has another hash.
    """
    plain = {key: part for key, part in value.items() if key != HASH}
    if HASH in value and value[HASH] != hash_of(plain):
        raise CheckpointError("it is damaged (it has another hash): restore the database from a copy, or start anew")
    return plain


class CheckedSaver(BaseCheckpointSaver[str]):
    """Makes a saver hash what it writes in the clear, and refuse what it cannot read, instead of an error of any kind."""

    def put(
        self, config: RunnableConfig, checkpoint: Checkpoint, metadata: CheckpointMetadata, new_versions: ChannelVersions
    ) -> RunnableConfig:
        """Save a checkpoint."""
        whole: Any = get_serializable_checkpoint_metadata(config, metadata)
        whole = {**whole, HASH: _hash(checkpoint, whole)}
        return super().put(config, checkpoint, whole, new_versions)

    def put_writes(self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = "") -> None:
        """Save what a step has written, each value with the name of what it is of."""
        super().put_writes(config, [(channel, NamedWrite(channel, value)) for channel, value in writes], task_id, task_path)

    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """Return a checkpoint, the latest if none is named.

        Raises:
            CheckpointError: it is damaged, or encrypted with another key.
        """
        with readable():
            found = super().get_tuple(config)
            return found and _checked(found)

    def list(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> Iterator[CheckpointTuple]:
        """Yield the checkpoints of a run, the latest first.

        Raises:
            CheckpointError: one is damaged, or encrypted with another key.
        """
        with readable():
            for found in super().list(config, filter=filter, before=before, limit=limit):
                yield _checked(found)


@contextmanager
def readable() -> Iterator[None]:
    """Have whatever goes wrong with a row's form be what it is: damage.

    Raises:
        CheckpointError: something did.
    """
    try:
        yield
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise CheckpointError(damaged(f"{type(error).__name__} when it was read")) from error


def _checked(found: CheckpointTuple) -> CheckpointTuple:
    metadata: Any = dict(found.metadata)
    said = metadata.pop(HASH, None)
    if said is None and not isinstance(metadata.get("step"), int):
        raise CheckpointError(damaged("its step is not known"))
    if said is not None and said != _hash(found.checkpoint, metadata):
        raise CheckpointError(damaged("what is known about it has another hash"))
    return found._replace(metadata=metadata, pending_writes=[_written(*write) for write in found.pending_writes or ()])


def _hash(checkpoint: Checkpoint, metadata: Any) -> str:
    return hash_of([{name: checkpoint.get(name) for name in CLEAR}, sorted(checkpoint["channel_values"]), metadata])


def _written(task: str, channel: str, value: Any) -> tuple[str, str, Any]:
    if not isinstance(value, NamedWrite):  # of an earlier version
        return task, channel, value
    if value.channel != channel:
        raise CheckpointError(damaged(f"what a step has written of {value.channel!r} has another name"))
    return task, channel, value.value
