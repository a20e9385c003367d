"""Names that users have written down elsewhere still lead where they led: in code, scripts, files and servers."""

import importlib
import json
import os
import re
from pathlib import Path

import pytest

import gems

from . import names as now
from . import steps

NAMES = json.loads((Path(__file__).parent / "names.json").read_text("utf-8"))


def lost(before, after, at=""):
    """List what of before is gone or another value now; what is new is no loss."""
    if isinstance(before, dict) and isinstance(after, dict):
        gone = [f"{at}/{key} is gone" for key in before if key not in after]
        return gone + [line for key in before if key in after for line in lost(before[key], after[key], f"{at}/{key}")]
    if isinstance(before, list) and isinstance(after, list):
        return [f"{at}: {value!r} is gone" for value in before if value not in after]
    return [] if before == after else [f"{at}: {before!r} is now {after!r}"]


@pytest.mark.parametrize("name", NAMES["public"])
def test_a_public_name_is_there_or_warns_of_its_new_one(name):
    if name in gems.__all__:
        assert getattr(gems, name) is not None
    else:
        with pytest.warns(DeprecationWarning, match=rf"gems\.{name} is called gems\.(Gems\.)?\w+ now"):
            assert getattr(gems, name) is not None


def test_commands_have_their_options_and_the_variables_that_stand_for_them():
    assert lost(NAMES["commands"], now.commands()) == []


def test_settings_of_a_run_have_their_names_types_bounds_and_defaults():
    assert lost(NAMES["settings"], now.settings()) == []


def test_presets_are_what_they_were():
    assert lost(NAMES["presets"], now.presets()) == []


def test_graphs_of_the_server_have_their_ids_settings_input_and_nodes(monkeypatch):
    for variable in os.environ:
        if variable.startswith("GEMS_"):
            monkeypatch.delenv(variable)
    assert lost(NAMES["graphs"], now.graphs()) == []


def test_threads_of_the_server_have_their_ids():
    assert now.ids() == NAMES["threads"]
    assert lost(NAMES["assistants"], now.assistants()) == []


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_what_readme_notebooks_and_docs_imported_is_there():
    gone = []
    for line in NAMES["imports"]:
        module, _, name = line.partition(":")
        try:
            found = importlib.import_module(module)
        except ImportError:
            gone.append(module)
        else:
            gone += [] if not name or hasattr(found, name) else [line]
    assert sorted(set(gone)) == []


def test_environment_variables_are_in_the_code():
    of_options = {variable for options in now.commands().values() for variable in options.values()}
    code = "".join(p.read_text("utf-8") for p in now.root().rglob("*.py") if "tests" not in p.parts and "docs" not in p.parts)
    others = {"PGPASSWORD", "HF_HUB_OFFLINE", "LANGSMITH_TRACING", "OPENAI_API_BASE", "GEMS_CHROMIUM"}  # read by others, and tests
    wanted = [name for name in NAMES["environment"] if name not in others and not name.startswith("AWS_")]
    assert [name for name in wanted if name not in of_options and not re.search(rf"\b{name}\b", code)] == []
    assert lost(NAMES["environment"], now.environment()) == []


CHAT = """
model = "http://localhost:1/v1#m"
thinking = true
temperature = 0.5
top_p = 0.9
max_tokens = 100
timeout = 9.5
retries = 1
in_flight = 2
key_env = "MY_KEY"
extra_body = { top_k = 1 }
price_input = 1.0
price_output = 2.0
"""
LOCAL = "set = { guidance_scale = 1.0 }\nbatch = 2\nwait = 0.1\nprice = 0.5\n"
IMAGES = (
    f'model = "shapes"\n{LOCAL}',
    f'model = "diffusers:owner/name"\n{LOCAL}device = "cpu"\ndtype = "float32"\noffload = "none"\n',
    'model = "http://localhost:1/v1#m"\nset = { guidance_scale = 1.0 }\nprovider = "gems"\nprice = 0.5\n'
    'timeout = 9.5\nretries = 1\nin_flight = 2\nkey_env = "MY_KEY"\n',
)
"""The keys of each backend."""


@pytest.mark.parametrize("image", IMAGES)
def test_keys_of_the_configuration_file_are_taken(tmp_path, monkeypatch, image):
    monkeypatch.setenv("MY_KEY", "k")
    roles = ("planner", "decomposer", "verifier", "summarizer", "refiner", "learner")
    values = {key: value for key, value in NAMES["presets"]["default"].items() if value is not None}
    tables = [
        'preset = "paper"',
        f"[chat]{CHAT}",
        *(f"[roles.{role}]{CHAT}" for role in roles),
        f"[image]\n{image}",
        f"[judge]{CHAT}",
    ]
    run = "\n".join(f"{key} = {json.dumps(value)}" for key, value in values.items())
    (tmp_path / "all.toml").write_text("\n".join([*tables, "[run]", run]), "utf-8")
    code, out, error = steps.gems("run", "a red circle", "--dry-run", "--json", "--config", "all.toml")
    assert code == 0, error
    assert json.loads(out)
    (tmp_path / "wrong.toml").write_text("[chat]\nno_such_key = 1\n", "utf-8")
    assert steps.gems("run", "a red circle", "--dry-run", "--config", "wrong.toml")[0] == 2


def test_the_distribution_has_its_name_command_and_extras():
    assert lost(NAMES["project"], now.project()) == []
    module, _, function = NAMES["project"]["scripts"]["gems"].partition(":")
    assert callable(getattr(importlib.import_module(module), function))


def test_every_key_of_json_and_every_column_of_tables_is_there(outputs):
    assert lost(NAMES["keys"], steps.keys_by_kind({**outputs("sqlite"), **outputs("other")})) == []
