"""What the server reads from the environment, and how the forms begin."""

import json

import pytest

from gems.context import PROMPTS, RunContext, preset
from gems.runs.manifest import studio_id
from gems.studio import graphs, setup


def test_the_graphs_have_no_saver_and_no_store_of_their_own():
    assert graphs.graph.checkpointer is None
    assert graphs.graph.store is None


def test_forms_begin_with_the_settings_of_the_configuration_file():
    settings = setup.settings_form(preset("loop", max_rounds=7, refiner_prompt="Mend it."))
    begun = settings()
    assert (begun.max_rounds, begun.recall, begun.refiner_prompt) == (7, "last", "Mend it.")
    assert begun.planner_prompt == setup.BUILT_IN_PROMPTS["planner_prompt"]
    assert settings.model_json_schema()["properties"]["max_rounds"]["maximum"] == 100


def test_a_text_built_in_is_none_of_ones_own():
    told = setup.Settings(max_rounds=2, learner_prompt="Learn.")
    assert setup.without_built_in_prompts(told) == RunContext(max_rounds=2, learner_prompt="Learn.")
    assert set(setup.BUILT_IN_PROMPTS) == set(PROMPTS)


@pytest.mark.parametrize("name", ["one", "20260101-120000-a-red-circle-ab12", "x" * 36])
def test_an_id_is_always_the_same_for_a_name_and_a_server_run_is_its_own(name):
    assert studio_id(name) == studio_id(name) != studio_id(name + "x")
    assert studio_id(studio_id(name)) == studio_id(name)


def test_a_uuid_in_upper_case_is_another_runs_name_and_so_is_its_id():
    name = "6f0e0f0c-6a35-5c0f-9b5e-3d1f5a3c7b12"
    assert studio_id(name) == name
    assert studio_id(name.upper()) not in (name, name.upper())
    assert studio_id(name.replace("-", "")) != name


def test_gems_show_tells_the_id_that_a_run_has_on_the_server(command):
    assert command("run", "a red circle", "--preset", "original", "--thread", "mine")[0] == 0
    code, out, _ = command("show", "mine")
    assert code == 0
    assert f"thread  {studio_id('mine')}" in out
    assert json.loads(command("show", "mine", "--json")[1])["studio_id"] == studio_id("mine")
