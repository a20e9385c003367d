"""The configuration file, as someone with several models writes it."""

import pytest

from gems.config import load_config, models_for_resume
from gems.errors import ConfigError, ModelSpecError
from gems.models.options import ChatOptions, ImageOptions, ModelOptions

FILE = """
preset = "paper"

[chat]
model = "http://localhost:1/v1#big"
thinking = true
key_env = "BIG_KEY"

[roles.summarizer]
thinking = false

[roles.verifier]
model = "http://localhost:2/v1#small"

[image]
model = "http://localhost:3/v1#painter"
set = { num_inference_steps = 9 }

[run]
max_rounds = 2
"""


@pytest.fixture
def write(tmp_path):
    def file(text):
        path = tmp_path / "gems.toml"
        path.write_text(text)
        return path

    return file


def test_a_file_names_models_by_role_their_options_and_the_settings_of_runs(write):
    config = load_config(write(FILE))
    assert config.preset == "paper"
    assert config.run == {"max_rounds": 2}
    assert config.chats["default"].model.endswith("#big")
    assert config.image.call == {"num_inference_steps": 9}


def test_a_role_without_a_model_of_its_own_changes_the_common_one(write):
    summarizer = load_config(write(FILE)).chats["summarizer"]
    assert summarizer.model.endswith("#big")
    assert summarizer.thinking is False
    assert summarizer.key_env == "BIG_KEY"


def test_the_key_and_switches_of_one_endpoint_never_reach_another(write):
    verifier = load_config(write(FILE)).chats["verifier"]
    assert verifier.model.endswith("#small")
    assert verifier.key_env is None
    assert verifier.thinking is None


def test_the_command_line_wins_over_the_file(write):
    call = ["num_inference_steps=4", "note=as it is", "sizes=[1, 2]"]
    config = load_config(write(FILE), "shapes", None, call, {"in_flight": 3})
    assert {role: options.model for role, options in config.chats.items()} == {
        "default": "shapes",
        "verifier": "http://localhost:2/v1#small",
    }
    assert config.image.model.endswith("#painter")
    assert config.image.call == {"num_inference_steps": 4, "note": "as it is", "sizes": [1, 2]}
    assert config.image.in_flight == 3


def test_prices_belong_to_their_model(write):
    text = '[chat]\nmodel = "openai:a"\nprice_input = 2\nprice_output = 8\n[roles.refiner]\nthinking = true\n'
    text += '[roles.verifier]\nmodel = "openai:b"\nprice_input = 1\n[image]\nmodel = "openai:c"\nprice = 0.04\n'
    config = load_config(write(text))
    assert (config.roles["refiner"].price_output, config.roles["verifier"].price_output) == (8, None)
    assert config.models.priced
    assert not load_config(write(text), "shapes", "shapes").model_copy(update={"roles": {}}).models.priced


def test_another_image_model_starts_from_its_own_defaults(write):
    config = load_config(write(FILE), image="shapes")
    assert config.image.model == "shapes"
    assert config.image.call == {}


RECORDED = ModelOptions(
    chat=ChatOptions(model="openai:a", thinking=True, key_env="A_KEY"),
    roles={
        "refiner": ChatOptions(model="openai:a", thinking=False, key_env="A_KEY"),
        "verifier": ChatOptions(model="openai:b", price_input=9),
    },
    image=ImageOptions(model="openai:c", call={"quality": "low"}, price=0.1),
)


def test_a_run_goes_on_with_what_the_file_says_and_keeps_the_rest(write):
    assert models_for_resume(write("[run]\nseed = 3\n"), RECORDED, None, None) == (None, None)
    chats, image = models_for_resume(write('[chat]\nmodel = "openai:x"\n'), RECORDED, None, None)
    assert (chats, image) == ({"default": ChatOptions(model="openai:x")}, None)
    chats, image = models_for_resume(write('[image]\nmodel = "openai:x"\n'), RECORDED, None, None)
    assert (chats, image) == (None, ImageOptions(model="openai:x"))
    chats, image = models_for_resume(write("[image]\nprice = 0.2\n"), RECORDED, "shapes", None)
    assert (chats, image) == ({"default": ChatOptions(model="shapes")}, RECORDED.image.model_copy(update={"price": 0.2}))


def test_a_table_without_a_model_is_laid_over_the_runs_own(write):
    text = "[chat]\nprice_input = 2\nthinking = 'low'\n[roles.planner]\ntemperature = 0\n[image]\nset = { quality = 'high' }\n"
    chats, image = models_for_resume(write(text), RECORDED, None, None)
    common = RECORDED.chat.model_copy(update={"price_input": 2, "thinking": "low"})
    assert chats == {
        "default": common,
        "planner": common.model_copy(update={"temperature": 0}),
        "refiner": RECORDED.roles["refiner"].model_copy(update={"price_input": 2}),
        "verifier": RECORDED.roles["verifier"],
    }
    assert (image.model, image.call, image.price) == ("openai:c", {"quality": "high"}, 0.1)
    text = "[roles.verifier]\ntemperature = 0\n[roles.refiner]\nmodel = 'openai:d'\n"
    chats, image = models_for_resume(write(text), RECORDED, None, None)
    assert chats["default"] == RECORDED.chat
    assert chats["verifier"] == RECORDED.roles["verifier"].model_copy(update={"temperature": 0})
    assert (chats["refiner"], image) == (ChatOptions(model="openai:d"), None)


@pytest.mark.parametrize(
    ("recorded", "text", "place"),
    [
        (ModelOptions(chat=ChatOptions(model="custom:mine")), "[chat]\nprice_input = 1\n", "chat"),
        (ModelOptions(roles={"verifier": ChatOptions(model="custom:mine")}), "[chat]\nprice_input = 1\n", "roles.verifier"),
        (ModelOptions(image=ImageOptions(model="diffusers:…/mine")), "[image]\nprice = 1\n", "image"),
    ],
)
def test_a_model_that_no_record_can_bring_back_must_be_named(write, recorded, text, place):
    with pytest.raises(ConfigError, match=rf"the run's own model mine cannot be .* in \[{place}\]"):
        models_for_resume(write(text), recorded, None, None)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[chat\n", "is not TOML"),
        ("[chat]\nmodle = 'x'\n", r"chat: the chat model shapes has no option modle \(did you mean model\?\)"),
        ("[chat]\nmodel = 'openai:m'\ntemperature = 9\n", "chat.temperature: Input should be less than"),
        ("[roles.painter]\nthinking = true\n", "roles.painter: no such role; .*verifier"),
        ("roles = 3\n", r"roles has a table for each role: \[roles.verifier\]"),
        ("[roles]\nverifier = 'x'\n", "roles has a table for each role"),
        ("[image]\nmodel = 'diffusers:m'\noffload = 'everything'\n", "image.offload: Input should be 'none'"),
        (
            "[chat]\nmodel = 'openai:m'\n[roles.verifier]\ntemprature = 1\n",
            "roles.verifier: .* no option temprature .*mean temperature",
        ),
        (
            "[chat]\ntemperature = 0\n",
            "chat: the chat model shapes has no option temperature: its options are price_input, price_output",
        ),
        ("[judge]\nmodel = 'random'\nthinking = false\n", "judge: the chat model random has no option thinking"),
        (
            "[image]\nsett = {}\n",
            r"image: the image model shapes has no option sett \(did you mean set\?\): its options are set, batch, wait, price",
        ),
        ("[run]\nmax_round = 3\n", r"\.toml: run.max_round: there is no such setting; did you mean max_rounds"),
        ("colour = 'red'\n", "colour: there is no such setting; choose one of chat, image, judge, preset, roles, run"),
    ],
)
def test_a_mistake_is_named_with_its_place(write, text, words):
    with pytest.raises(ConfigError, match=words):
        load_config(write(text))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"cannot read the configuration .*nowhere.toml"):
        load_config(tmp_path / "nowhere.toml")


def test_an_option_of_another_backend_is_refused_by_name_on_the_command_line_too(write):
    with pytest.raises(
        ModelSpecError, match=r"the image model openai:gpt-image-2 has no option device: its options are timeout, retries"
    ):
        load_config(image="openai:gpt-image-2", image_options={"device": "cuda", "dtype": None})


def test_a_table_is_of_the_model_that_the_run_has(write):
    random = ModelOptions(chat=ChatOptions(model="openai:a"), roles={"verifier": ChatOptions(model="random")})
    chats, _ = models_for_resume(write("[chat]\ntemperature = 0.5\n"), random, None, None)
    assert (chats["default"].temperature, chats["verifier"]) == (0.5, ChatOptions(model="random"))
    with pytest.raises(ConfigError, match=r"roles.verifier: the chat model random has no option temperature"):
        models_for_resume(write("[roles.verifier]\ntemperature = 0.5\n"), random, None, None)


@pytest.mark.parametrize("pair", ["steps", "=4", ""])
def test_an_option_without_key_or_value_says_how_to_write_it(pair):
    with pytest.raises(ConfigError, match="write key=value"):
        load_config(call=[pair])


def test_an_option_out_of_bounds_names_its_flag():
    with pytest.raises(ConfigError, match="--batch: Input should be greater"):
        load_config(image_options={"batch": 0})
