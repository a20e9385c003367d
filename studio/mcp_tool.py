"""The graph `draw`: one node that makes a whole run, for MCP clients, which need a tool with a small answer.

A thread of the graph `gems` shows every step and ends with the whole state. A call of this graph is a run of `Gems.run`: it is
stored under a name of its own, and the answer has the URLs of its image and its page.
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
from . import setup


class DrawOutput(BaseModel):
    """The outcome of a request."""

    image: str = Field(default="", description="URL of the best image, a PNG.")
    decision: str = Field(default="", description="accept, give up, or waiting for the answer of a person.")
    reason: str = ""
    open: list[str] = Field(default=[], description="The checks that the image has not passed, and what it shows instead.")
    prompt_used: str = Field(default="", description="The prompt that the image was made from.")
    run: str = Field(default="", description="The run's name, for `gems show`.")
    page: str = Field(default="", description="URL of the run's report.")
    error: str = Field(default="", description="Why no image was made, and what to do.")


class DrawInput(BaseModel):
    """The request for an image. The answer has the URL of the image and takes as long as a run, from seconds to minutes."""

    # Without the bounds of `Request`: `run` checks them, so that the answer to a wrong prompt says what to do.
    prompt: str = Field(description=Request.model_fields["prompt"].description)


class DrawState(DrawInput, DrawOutput):
    """The state of the graph: the request and its outcome."""


def draw_output(result: RunResult, host: str = "") -> DrawOutput:
    """Return the outcome of a run, with URLs of this server.

    Args:
        result: the run at its end, or waiting.
        host: host and port as the client has named them; if empty, the URLs are paths.
    """
    server = f"http://{host}" if host else ""
    page = f"{server}/runs/{studio_id(result.thread)}"
    output = DrawOutput(run=result.thread, page=page, decision=result.decision or "waiting")
    best, decided = result.state.best, result.state.result
    if best is not None and decided is not None:
        questions = {check.id: check.question for check in result.checks}
        output.image = f"{server}/images/{best.image.sha256}.png"
        output.reason, output.prompt_used = decided.reason, best.prompt
        output.open = [f"{questions[v.check]} {v.reason}".strip() for v in best.failed]
    return output


def draw(state: DrawInput, runtime: Runtime[RunContext]) -> dict[str, Any]:
    """Make a whole run."""
    context = setup.without_built_in_prompts(runtime.context or setup.Settings())
    # In a context of its own, or LangGraph would take it for a step of this thread, and store it in its checkpoints.
    try:
        result = contextvars.Context().run(setup.client.run, state.prompt, **context.model_dump())
    except GemsError as error:
        return {"error": str(error)}
    return draw_output(result, str(get_config().get("configurable", {}).get("host", ""))).model_dump(exclude_defaults=True)


_builder = StateGraph(DrawState, context_schema=setup.Settings, input_schema=DrawInput, output_schema=DrawOutput)
_builder.add_node(draw).add_edge(START, "draw").add_edge("draw", END)
graph = _builder.compile(name="draw")
