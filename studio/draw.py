"""A graph with one node that makes a whole run: for MCP clients, which want a tool with a small answer.

A thread of the graph `gems` shows every step, and its result is all that the run knows. A call of this one is a run as
`gems.run` makes it: it is kept under a name of its own, and what comes back is where its picture and its page are.
"""

from __future__ import annotations

import contextvars
from typing import Any

from langgraph.config import get_config
from langgraph.graph import END, START, StateGraph
from langgraph.runtime import Runtime
from pydantic import BaseModel, Field

from ..context import RunContext
from ..errors import GemsError
from ..memory.state import Request
from ..runs.manifest import studio_id
from ..runs.result import RunResult
from ..runs.run import run
from . import setup


class Drawn(BaseModel):
    """What came of a request."""

    image: str = Field(default="", description="URL of the best picture, a PNG.")
    decision: str = Field(default="", description="accept, give up, or waiting: a person is asked first.")
    reason: str = ""
    open: list[str] = Field(default=[], description="The checks that the picture has not passed, and what is seen instead.")
    prompt_used: str = Field(default="", description="The prompt that the picture was drawn from.")
    run: str = Field(default="", description="The run's name, for `gems show`.")
    page: str = Field(default="", description="URL of the run's report.")
    error: str = Field(default="", description="Why nothing was drawn, and what to do.")


class Wanted(BaseModel):
    """What is to be drawn. The answer has the URL of the picture; it takes as long as a run, from seconds to minutes."""

    # Without the bounds of `Request`: `run` looks at it, so that a wrong one comes back with words of what to do.
    prompt: str = Field(description=Request.model_fields["prompt"].description)


class Drawing(Wanted, Drawn):
    """The request and what came of it."""


def drawn(result: RunResult, host: str = "") -> Drawn:
    """Tell what came of a run, with URLs of this server.

    Args:
        result: the run at its end, or where it waits.
        host: host and port as the client has named them; without them the URLs are paths.
    """
    at = f"http://{host}" if host else ""
    told = Drawn(run=result.thread, page=f"{at}/runs/{studio_id(result.thread)}", decision="waiting")
    best, decided = result.state.best, result.state.result
    if best is None or decided is None:
        return told
    questions = {check.id: check.question for check in result.checks}
    return told.model_copy(
        update={
            "image": f"{at}/images/{best.image.sha256}.png",
            "decision": result.decision or "waiting",
            "reason": decided.reason,
            "open": [f"{questions[v.check]} {v.reason}".strip() for v in best.failed],
            "prompt_used": best.prompt,
        }
    )


def _draw(state: Wanted, runtime: Runtime[RunContext]) -> dict[str, Any]:
    context = setup.plain(runtime.context or setup.Settings())

    def whole_run() -> RunResult:
        return run(
            state.prompt,
            runs=setup.home,
            chat=setup.config.chats,
            image=setup.config.image,
            skills=setup.skills,
            **context.model_dump(),
        )

    # In a context of its own, or LangGraph would take it for a step of this thread, and keep it in its checkpoints.
    try:
        result = contextvars.Context().run(whole_run)
    except GemsError as error:
        return {"error": str(error)}
    return drawn(result, str(get_config().get("configurable", {}).get("host", ""))).model_dump(exclude_defaults=True)


def _build() -> StateGraph[Drawing, RunContext, Wanted, Drawn]:
    builder = StateGraph(Drawing, context_schema=setup.Settings, input_schema=Wanted, output_schema=Drawn)
    builder.add_node("draw", _draw)
    builder.add_edge(START, "draw")
    builder.add_edge("draw", END)
    return builder


graph = _build().compile(name="draw")
