"""The commands for the models themselves: `gems serve` offers them to others, `gems doctor` checks them."""

from __future__ import annotations

import json
import os
from typing import Annotated

import typer

from ..errors import SettingError
from ..terminal import Console, echo
from .options import AsJson, Batch, Chat, ConfigFile, Debug, Device, Dtype, ImageSpec, Offload, Set, library, set_debug


def serve_command(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.")] = 30000,
    key_env: Annotated[
        str | None, typer.Option(help="Environment variable with the key that clients must send; none by default.")
    ] = None,
    open_to_all: Annotated[bool, typer.Option("--open-to-all", help="Serve other machines without a key.")] = False,
    allowed_hosts: Annotated[
        str,
        typer.Option(
            "--allowed-hosts",
            envvar="GEMS_ALLOWED_HOSTS",
            help="Names it has besides those of this machine: A,B,...",
        ),
    ] = "",
    chat: Chat = None,
    image: ImageSpec = None,
    config: ConfigFile = None,
    set_: Set = None,
    device: Device = None,
    dtype: Dtype = None,
    offload: Offload = None,
    batch: Batch = None,
    debug: Debug = False,
) -> None:
    """Serve the chat model and the image model by an OpenAI-compatible HTTP API."""
    set_debug(debug)
    from ..config import changed, load_config
    from ..models.chat.call import model_name
    from ..models.registry import chat_model, image_model
    from ..server import serve
    from ..server.origin_check import parse_allowed_hosts

    key = os.environ.get(key_env, "") if key_env else None
    if key_env and not key:
        raise SettingError(f"--key-env {key_env}: this environment variable is not set; put the key into it")
    file = changed(load_config(config), chat, image, set_, device=device, dtype=dtype, offload=offload, batch=batch)
    drawer = image_model(file.image)
    talker = chat_model(file.chat)

    def ready(url: str) -> None:
        echo(f"serving {model_name(talker)} and {drawer.name} at {url} (Ctrl-C ends)", flush=True)

    hosts = parse_allowed_hosts(allowed_hosts)
    serve(talker, drawer, host=host, port=port, key=key, open_to_all=open_to_all, allowed_hosts=hosts, on_ready=ready)


def doctor_command(
    chat: Chat = None,
    image: ImageSpec = None,
    config: ConfigFile = None,
    set_: Set = None,
    device: Device = None,
    dtype: Dtype = None,
    offload: Offload = None,
    batch: Batch = None,
    draw: Annotated[bool, typer.Option(help="Make pictures too: two, or three where the model edits.")] = True,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Check that the models do what GEMS needs of them, and say what to change. Exit code 1 if something essential fails."""
    set_debug(debug)
    from ..config import changed, load_config
    from ..models.registry import Models
    from .doctor import diagnose, table

    file = changed(load_config(config), chat, image, set_, device=device, dtype=dtype, offload=offload, batch=batch)
    found = []
    with Console(stderr=True).status("asking ...") as status:
        for one in diagnose(Models.choose(file.chats, file.image), draw=draw, skills=library(None)):
            found.append(one)
            status.update(f"{one.subject}: {one.probe} done ...")
    if as_json:
        echo(json.dumps([one._asdict() for one in found], indent=1, ensure_ascii=False))
    else:
        Console().print(table(found))
    if any(one.state == "fault" for one in found):
        raise typer.Exit(1)
