"""Keep the server's list of threads in step with the runs that Python makes and removes."""

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
from .assistants import changed_settings
from .graphs import graph_id_of
from .saver import SHUTTING_DOWN

PAGE_SIZE = 500


class ThreadSync:
    """Creates a thread of the server for each run of a workspace.

    Args:
        client: of this server.
        workspace: the workspace of the runs.
        connection: its open database.
    """

    def __init__(self, client: LangGraphClient, workspace: Workspace, connection: DatabaseConnection) -> None:
        self.client, self.workspace, self.connection = client, workspace, connection
        self._known: dict[str, tuple[str, str]] = {}  # by thread: the run's name, and when it began
        self._refreshing = asyncio.Lock()

    async def is_current(self, thread: str) -> bool:
        """Return whether a thread was known at the last refresh and its run is still the same one."""
        if thread not in self._known:
            return False
        name, began = self._known[thread]
        try:
            record = await asyncio.to_thread(find_manifest, self.connection, self.workspace, name)
        except GemsError:  # damaged: `gems runs` says so
            return True
        return record is None or record.began is None or bool(began and record.began == datetime.fromisoformat(began))

    async def refresh(self) -> None:
        """Create a thread for every run that has none, and delete the threads of removed runs."""
        async with self._refreshing:
            runs = await asyncio.to_thread(start_times, self.connection)
            now = {studio_id(name): (name, began) for name, began in runs.items()}
            for thread in [thread for thread in self._known if thread not in now]:
                with suppress(ConflictError):  # it is being removed: the next refresh deletes it
                    with suppress(NotFoundError):  # it was deleted on the server
                        await self.client.threads.delete(thread)
                    del self._known[thread]
            for thread, run in now.items():
                if self._known.get(thread) != run:
                    await self._add(thread, run[0])
                    self._known[thread] = run

    async def clear(self) -> None:
        """Empty the server's list of threads, not the runs: at its end the server writes the list to a pickle, unencrypted."""
        SHUTTING_DOWN.set()
        while threads := await self.client.threads.search(limit=PAGE_SIZE):
            for thread in threads:
                await self.client.threads.delete(thread["thread_id"])

    async def _add(self, thread: str, name: str) -> None:
        try:
            record = await asyncio.to_thread(read_manifest, self.connection, self.workspace, name)
        except GemsError:  # damaged: `gems runs` says so
            return
        metadata = {"run": name, "prompt": record.prompt[:200], "settings": changed_settings(record.context)}
        graph = graph_id_of(record.nodes)
        await self.client.threads.create(thread_id=thread, if_exists="do_nothing", graph_id=graph, metadata=metadata)
        if thread in self._known:  # of an earlier run of this name
            await self.client.threads.update(thread, metadata={**metadata, "graph_id": graph})
