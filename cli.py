"""The command `gems`: its commands, and its handling of errors."""

from __future__ import annotations

import codecs
import io
import json
import sys
from importlib.metadata import version
from typing import Annotated

import typer

from .commands import fork, graph, presets, prune, run, runs, serve
from .commands.error_exit import SHOW_TRACEBACKS, fail
from .commands.evaluate import eval_app
from .commands.lessons import lessons_app
from .commands.skills import skills_app
from .errors import GemsError
from .terminal import Console, escape_logs_and_tracebacks

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        Console().print(f"gems {version('gems-agent')}", highlight=False)
        raise typer.Exit


@app.callback()
def gems(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version and exit.")
    ] = False,
) -> None:
    """Generate an image, verify it with checks, remember what was learned, and refine until every check passes."""


# `gems --help` lists the commands in this order.
app.command("run")(run.run_command)
app.command("runs")(runs.runs_command)
app.command("show")(runs.show_command)
app.command("gallery")(runs.gallery_command)
app.command("rm")(prune.rm_command)
app.command("prune")(prune.prune_command)
app.command("presets")(presets.presets_command)
app.command("graph")(graph.graph_command)
app.command("resume")(run.resume_command)
app.command("fork")(fork.fork_command)
app.command("serve")(serve.serve_command)
app.command("doctor")(serve.doctor_command)
app.add_typer(skills_app, name="skills")
app.add_typer(lessons_app, name="lessons")
app.add_typer(eval_app, name="eval")


def _escape_as_json(error: UnicodeError) -> tuple[str, int]:
    """Replace characters that the output cannot encode by JSON escapes, which keep their meaning inside JSON."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return json.dumps(error.object[error.start : error.end])[1:-1], error.end


codecs.register_error("gems", _escape_as_json)


def main() -> None:
    """Run the command line. An error that the user can fix is one line on standard error, with exit code 2."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="gems")
    escape_logs_and_tracebacks()
    SHOW_TRACEBACKS.set(False)  # another command in this process may have set it
    try:
        app()
    except GemsError as error:
        fail(str(error), error)
    except KeyboardInterrupt:
        fail("interrupted", None, code=130)
    except OSError as error:
        fail(f"{error.strerror or error}: {error.filename or ''}".rstrip(": "), error)


if __name__ == "__main__":
    main()
