"""Models by name, and a model for each role."""

import pytest

from gems.errors import ModelSpecError
from gems.models.options import ChatOptions
from gems.models.registry import Models, chat_model, image_model
from gems.models.shapes import shapes_chat


@pytest.mark.parametrize("spec", ["", "shape", "openai:", "http://", "http://localhost:1/v1", "ftp://host/v1#m"])
def test_a_spec_that_is_not_understood_says_what_to_write(spec):
    with pytest.raises(ModelSpecError, match="is not understood: write shapes"):
        chat_model(spec)
    with pytest.raises(ModelSpecError, match="is not understood: write shapes"):
        image_model(spec)


@pytest.mark.parametrize("make", [chat_model, image_model])
def test_a_key_in_a_url_is_refused_and_not_repeated(make):
    with pytest.raises(ModelSpecError, match="a key has no place in a URL") as error:
        make("http://me:secret@localhost:1/v1#m")
    assert "secret" not in str(error.value)


def test_an_endpoint_is_named_by_its_url_and_model():
    chat = chat_model("http://localhost:30000/v1#kimi-k2.5")
    assert chat.model_name == "kimi-k2.5"
    assert chat.openai_api_base == "http://localhost:30000/v1"


def test_one_model_plays_all_roles_unless_a_role_has_its_own():
    mine = shapes_chat()
    models = Models.choose({"default": "http://localhost:1/v1#big", "verifier": mine})
    assert models.chats["verifier"] is mine
    assert models.chats["planner"] is models.chats["refiner"]
    assert models.options.names == {"chat": "big, verifier: shapes-chat", "image": "shapes-image"}


def test_the_same_options_make_one_client():
    slow = ChatOptions(model="http://localhost:1/v1#big", temperature=0)
    models = Models.choose({"default": "http://localhost:1/v1#big", "verifier": slow, "refiner": slow})
    assert models.chats["verifier"] is models.chats["refiner"] is not models.chats["planner"]


def test_a_role_that_does_not_exist_is_named():
    with pytest.raises(ModelSpecError, match=r"unknown role 'painter': a chat model is for default, planner"):
        Models.choose({"painter": "shapes"})


def test_a_model_given_as_an_object_is_recorded_by_its_name():
    assert Models.choose(shapes_chat()).options.chat.model == "custom:shapes-chat"


def test_an_object_that_is_no_model_is_refused_with_what_is_one(sketcher):
    class Painter:
        name = "painter"

    with pytest.raises(ModelSpecError, match=r"subclass of gems\.ImageModel, not a Painter"):
        Models.choose("shapes", Painter())
    with pytest.raises(ModelSpecError, match="a langchain-core BaseChatModel, not a Painter"):
        Models.choose(Painter(), sketcher)
    with pytest.raises(ModelSpecError, match=r"Sketcher is a class: pass Sketcher\(\)"):
        Models.choose("shapes", type(sketcher))
    sketcher.name = ""
    with pytest.raises(ModelSpecError, match="the image model Sketcher has no name: set its attribute name"):
        Models.choose("shapes", sketcher)
