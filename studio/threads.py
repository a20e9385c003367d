"""What the server lists: runs that were made in Python, as its threads."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import datetime

from langgraph_sdk.client import LangGraphClient
from langgraph_sdk.errors import ConflictError, NotFoundError

from ..errors import GemsError
from ..runs.manifest import find_manifest, read_manifest, start_times, studio_id
from ..storage.database import DatabaseConnection
from ..storage.workspace import Workspace
from .assistants import differing
from .graphs import graph_of
from .saver import ENDING

PAGE = 500


class ThreadSync:
    """The runs of a home, as threads of the server.

    Args:
        client: of this server.
        home: where runs live.
        opened: its database.
    """

    def __init__(self, client: LangGraphClient, home: Workspace, opened: DatabaseConnection) -> None:
        self.client, self.home, self.opened = client, home, opened
        self._known: dict[str, tuple[str, str]] = {}  # a run's name, and when it was begun
        self._alone = asyncio.Lock()

    async def has(self, thread: str) -> bool:
        """Tell whether a thread was there when runs were looked for last, and no other run has its name since then."""
        if thread not in self._known:
            return False
        name, when = self._known[thread]
        try:
            record = await asyncio.to_thread(find_manifest, self.opened, self.home, name)
        except GemsError:  # damaged: `gems runs` says so
            return True
        return record is None or record.began is None or bool(when and record.began == datetime.fromisoformat(when))

    async def refresh(self) -> None:
        """Make a thread for every run that has none yet, and delete those of runs that are gone."""
        async with self._alone:
            runs = await asyncio.to_thread(start_times, self.opened, self.home)
            now = {studio_id(name): (name, when) for name, when in runs.items()}
            for thread in [thread for thread in self._known if thread not in now]:
                with suppress(ConflictError):  # it is being removed: the next look deletes it
                    with suppress(NotFoundError):  # it was deleted on the server
                        await self.client.threads.delete(thread)
                    del self._known[thread]
            for thread, run in now.items():
                if self._known.get(thread) != run:
                    await self._add(thread, run[0])
                    self._known[thread] = run

    async def leave(self) -> None:
        """Empty the server's list of threads, and keep the runs: what it leaves behind when it ends are pickles, in the clear."""
        ENDING.set()
        while found := await self.client.threads.search(limit=PAGE):
            for thread in found:
                await self.client.threads.delete(thread["thread_id"])

    async def _add(self, thread: str, name: str) -> None:
        try:
            record = await asyncio.to_thread(read_manifest, self.opened, self.home, name)
        except GemsError:  # damaged: `gems runs` says so
            return
        metadata = {"run": name, "prompt": record.prompt[:200], "settings": differing(record.context)}
        graph = graph_of(record.nodes)
        await self.client.threads.create(thread_id=thread, if_exists="do_nothing", graph_id=graph, metadata=metadata)
        if thread in self._known:  # of an earlier run of this name
            await self.client.threads.update(thread, metadata={**metadata, "graph_id": graph})
