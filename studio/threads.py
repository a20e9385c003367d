"""What the server lists: runs that were made in Python as its threads, and the presets as its assistants."""

from __future__ import annotations

import asyncio
import uuid
from contextlib import suppress
from typing import Any

from langgraph_sdk.client import LangGraphClient
from langgraph_sdk.errors import NotFoundError

from ..context import ABOUT, PRESETS, RunContext
from ..errors import GemsError
from ..graph.record import NAMESPACE, Record, read_record, studio_id, threads
from ..memory.database import Opened
from ..memory.home import Home
from . import setup
from .graphs import SWAPPED

PAGE = 500


class Listed:
    """The runs of a home, as threads of the server.

    Args:
        client: of this server.
        home: where runs live.
        opened: its database.
    """

    def __init__(self, client: LangGraphClient, home: Home, opened: Opened) -> None:
        self.client, self.home, self.opened = client, home, opened
        self._known: dict[str, str] = {}
        self._alone = asyncio.Lock()

    def has(self, thread: str) -> bool:
        """Tell whether a thread was there when runs were looked for last."""
        return thread in self._known

    async def refresh(self) -> None:
        """Make a thread for every run that has none yet, and delete those of runs that are gone."""
        async with self._alone:
            names = await asyncio.to_thread(threads, self.opened, self.home)
            now = {studio_id(name): name for name in names}
            for thread in [thread for thread in self._known if thread not in now]:
                with suppress(NotFoundError):  # it was deleted on the server
                    await self.client.threads.delete(thread)
                del self._known[thread]
            for thread in [thread for thread in now if thread not in self._known]:
                await self._add(thread, now[thread])
                self._known[thread] = now[thread]

    async def _add(self, thread: str, name: str) -> None:
        try:
            record = await asyncio.to_thread(read_record, self.opened, self.home, name)
        except GemsError:  # damaged: `gems runs` says so
            return
        await self.client.threads.create(
            thread_id=thread,
            if_exists="do_nothing",
            graph_id=_graph_of(record),
            metadata={"run": name, "prompt": record.prompt[:200], "settings": differing(record.context)},
        )


def _graph_of(record: Record) -> str:
    """Return the graph that has the roles swapped that a run had; the plain one where there is none."""
    return next((graph for graph, roles in SWAPPED.items() if roles == record.nodes), "gems")


def differing(context: RunContext) -> dict[str, Any]:
    """Return the settings that are not as the forms show them by default, for an assistant or a run."""
    shown = setup.plain(setup.Settings())
    return {name: value for name, value in context.model_dump().items() if value != getattr(shown, name)}


async def offer_presets(client: LangGraphClient) -> None:
    """Make each preset an assistant of the graph, or bring it up to date; done again, it changes nothing."""
    for name, settings in PRESETS.items():
        id = str(uuid.uuid5(NAMESPACE, f"preset/{name}"))
        context = differing(RunContext(**settings))
        made = await client.assistants.create(
            "gems", assistant_id=id, name=f"gems {name}", description=ABOUT[name], context=context, if_exists="do_nothing"
        )
        if made.get("context") != context or made.get("description") != ABOUT[name]:
            await client.assistants.update(id, context=context, description=ABOUT[name])
