"""Checksums of what a database stores as plain JSON, beside the serialized bytes: records of runs, metadata of checkpoints."""

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
from .serializer import NamedWrite, damage_message

HASH_KEY = "gems_sha256"
"""The key of a JSON object that holds the hash of its other keys and values."""
PLAINTEXT_FIELDS = ("v", "ts", "id", "channel_versions", "versions_seen")
"""Fields of a checkpoint that PostgreSQL stores as JSON."""


def json_hash(value: Any) -> str:
    """Return the SHA-256 of a JSON value that every database returns alike: whatever the order of keys, and with 1 equal to 1.0."""
    plain = json.loads(json.dumps(value, default=str), parse_int=float)
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def add_hash(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return a JSON object with its hash added."""
    return {**value, HASH_KEY: json_hash(value)}


def verify_hash(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return a JSON object without its hash, once that was verified; an object of an early version has none and is returned as is.

    Raises:
        CheckpointError: the hash differs.
    """
    plain = {key: part for key, part in value.items() if key != HASH_KEY}
    if HASH_KEY in value and value[HASH_KEY] != json_hash(plain):
        raise CheckpointError("it is damaged (it has another hash): restore the database from a copy, or start anew")
    return plain


class ChecksumSaver(BaseCheckpointSaver[str]):
    """Mixin for a saver: adds a hash of the plain fields to each checkpoint, and verifies it when the checkpoint is read."""

    def put(
        self, config: RunnableConfig, checkpoint: Checkpoint, metadata: CheckpointMetadata, new_versions: ChannelVersions
    ) -> RunnableConfig:
        """Save a checkpoint."""
        whole: Any = get_serializable_checkpoint_metadata(config, metadata)
        whole = {**whole, HASH_KEY: _checkpoint_hash(checkpoint, whole)}
        return super().put(config, checkpoint, whole, new_versions)

    def put_writes(self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = "") -> None:
        """Save the writes of a task, each value together with the name of its channel."""
        super().put_writes(config, [(channel, NamedWrite(channel, value)) for channel, value in writes], task_id, task_path)

    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """Return a checkpoint, the latest if the config names none.

        Raises:
            CheckpointError: it is damaged, or encrypted with another key.
        """
        with damage_errors():
            stored = super().get_tuple(config)
            return stored and _verified(stored)

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
        with damage_errors():
            for stored in super().list(config, filter=filter, before=before, limit=limit):
                yield _verified(stored)


@contextmanager
def damage_errors() -> Iterator[None]:
    """Turn any error about a row's form into a CheckpointError: the row is damaged.

    Raises:
        CheckpointError: the block raised such an error.
    """
    try:
        yield
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise CheckpointError(damage_message(f"{type(error).__name__} when it was read")) from error


def _verified(stored: CheckpointTuple) -> CheckpointTuple:
    metadata: Any = dict(stored.metadata)
    written_hash = metadata.pop(HASH_KEY, None)
    if written_hash is None and not isinstance(metadata.get("step"), int):
        raise CheckpointError(damage_message("its step is not known"))
    if written_hash is not None and written_hash != _checkpoint_hash(stored.checkpoint, metadata):
        raise CheckpointError(damage_message("its metadata has another hash"))
    return stored._replace(metadata=metadata, pending_writes=[_unwrapped_write(*write) for write in stored.pending_writes or ()])


def _checkpoint_hash(checkpoint: Checkpoint, metadata: Any) -> str:
    return json_hash([{name: checkpoint.get(name) for name in PLAINTEXT_FIELDS}, sorted(checkpoint["channel_values"]), metadata])


def _unwrapped_write(task: str, channel: str, value: Any) -> tuple[str, str, Any]:
    if not isinstance(value, NamedWrite):  # of an earlier version
        return task, channel, value
    if value.channel != channel:
        raise CheckpointError(damage_message(f"what a step has written of {value.channel!r} has another name"))
    return task, channel, value.value
