"""The commands for the models themselves: `gems serve` and `gems doctor`."""

from __future__ import annotations

import json
import os
from typing import Annotated

import typer

from ..errors import SettingError
from ..terminal import Console, echo
from .options import AsJson, ModelArgs, load_skills
from .signature import command


@command
def serve_command(
    *,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 means any free port.")] = 30000,
    key_env: Annotated[
        str | None, typer.Option(help="Environment variable with the API key that clients must send; by default none.")
    ] = None,
    open_to_all: Annotated[bool, typer.Option("--open-to-all", help="Serve other machines without an API key.")] = False,
    allowed_hosts: Annotated[
        str,
        typer.Option(
            "--allowed-hosts",
            envvar="GEMS_ALLOWED_HOSTS",
            help="Accept these host names too, besides those of this machine: A,B,...",
        ),
    ] = "",
    models: ModelArgs,
) -> None:
    """Serve the chat model and the image model over an OpenAI-compatible HTTP API."""
    from ..models.chat.call import model_name
    from ..models.registry import chat_model, image_model
    from ..server import create_app, serve
    from ..server.origin_check import parse_allowed_hosts

    key = os.environ.get(key_env, "") if key_env else None
    if key_env and not key:
        raise SettingError(f"--key-env {key_env}: this environment variable is not set; put the API key into it")
    file = models.config_of()
    images = image_model(file.image)
    chats = chat_model(file.chat)

    def print_url(url: str) -> None:
        echo(f"serving {model_name(chats)} and {images.name} at {url} (stop with Ctrl-C)", flush=True)

    app = create_app(chats, images, key=key, allowed_hosts=[host, *parse_allowed_hosts(allowed_hosts)])
    serve(app, host=host, port=port, open_to_all=open_to_all, on_ready=print_url)


@command
def doctor_command(
    *,
    models: ModelArgs,
    draw: Annotated[bool, typer.Option(help="Generate images too: two, or three if the model edits.")] = True,
    as_json: AsJson = False,
) -> None:
    """Check that the models do what GEMS needs, and say what to change. Exit with code 1 if a required check fails."""
    from ..models.backends import GROUPS, schemes
    from ..models.registry import Models
    from .doctor import diagnose, diagnosis_table

    file = models.config_of()
    diagnoses = []
    with Console(stderr=True).status("checking ...") as status:
        for diagnosis in diagnose(Models.choose(file.chats, file.image), draw=draw, skills=load_skills(None)):
            diagnoses.append(diagnosis)
            status.update(f"{diagnosis.subject}: {diagnosis.probe} done ...")
    if as_json:
        echo(json.dumps([diagnosis._asdict() for diagnosis in diagnoses], indent=1, ensure_ascii=False))
    else:
        Console().print(diagnosis_table(diagnoses))
        for kind in GROUPS:
            echo(f"{kind} models: {', '.join(schemes(kind))}")
    if any(diagnosis.state == "fault" for diagnosis in diagnoses):
        raise typer.Exit(1)
