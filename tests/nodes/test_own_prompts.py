"""Prompts of one's own: what a model is really told when a role's prompt is set."""

import pytest
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langgraph.runtime import Runtime

from gems import Gems, RunContext, run
from gems.context import PROMPT_SETTINGS
from gems.errors import SettingError
from gems.models.options import CHAT_ROLES
from gems.models.shapes.chat import ShapesChat
from gems.nodes import decomposer, learner, planner, refiner, summarizer, verifier
from gems.skills import SkillLibrary

FILES = {"planner": planner, "decomposer": decomposer, "verifier": verifier, "summarizer": summarizer} | {
    "refiner": refiner,
    "learner": learner,
}
OWN = {f"{role}_prompt": f"Be the {role}, in {{braces}}." for role in CHAT_ROLES}
HARD = "three red circles to the left of two blue squares"


class Listening(ShapesChat):
    """The embedded chat model, which keeps the system messages that it is sent."""

    heard: list = []

    def _generate(self, messages, *args, **kwargs):
        self.heard.append(messages[0].text)
        return super()._generate(messages, *args, **kwargs)


@pytest.fixture
def chats():
    return {role: Listening(heard=[]) for role in CHAT_ROLES}


def test_there_is_a_prompt_for_every_role_that_asks_a_model():
    assert tuple(f"{role}_prompt" for role in CHAT_ROLES) == PROMPT_SETTINGS
    assert set(FILES) == set(CHAT_ROLES)


def test_every_role_is_told_the_prompt_of_ones_own_and_what_code_adds_is_kept(chats, make_sketcher):
    result = run(HARD, chat=chats, image=make_sketcher(0.3), lessons="keep", seed=0, max_rounds=9, patience=0, **OWN)
    assert result.decision == "accept"
    for role, chat in chats.items():
        assert chat.heard, role
        for system in chat.heard:
            assert system.startswith(OWN[f"{role}_prompt"])
            assert FILES[role].SYSTEM not in system
    assert "counting" in chats["planner"].heard[0]  # the catalogue of skills
    assert all('"prompt"' in system for system in chats["planner"].heard[1:])  # the schema of the answer


def test_without_one_every_role_is_told_the_built_in_text(chats, make_sketcher):
    run(HARD, chat=chats, image=make_sketcher(0.3), lessons="keep", seed=0, max_rounds=9, patience=0, refiner_prompt="  \n")
    for role, chat in chats.items():
        assert all(system.startswith(FILES[role].SYSTEM) for system in chat.heard), role


def test_a_run_keeps_its_prompts_and_a_fork_may_have_another(chats, make_sketcher):
    first = run(HARD, thread="one", chat=chats, image=make_sketcher(0.2), seed=3, max_rounds=1, refiner_prompt="Mend it.")
    assert Gems().get("one").context.refiner_prompt == "Mend it."
    Gems(chat=chats, image=make_sketcher(0.2)).resume(first.thread)
    other = Gems(chat=chats, image=make_sketcher(1.0)).fork("one", round=1, prompt=HARD, max_rounds=2, refiner_prompt="Draw anew.")
    assert other.context.refiner_prompt == "Draw anew."
    assert chats["refiner"].heard[-1].startswith("Draw anew.")


def test_a_configuration_file_sets_a_prompt_and_the_page_says_that_it_was_changed(command, tmp_path):
    (tmp_path / "gems.toml").write_text('[run]\nverifier_prompt = """\nLook closely,\nand be brief.\n"""\n')
    code, _, err = command("run", "a red circle", "--config", tmp_path / "gems.toml", "--thread", "own", "--rounds", "1")
    assert code == 0, err
    assert Gems().get("own").context.verifier_prompt == "Look closely,\nand be brief."
    page = Gems().get("own").report_path.read_text()
    assert "changed, 5 words" in page
    assert "Look closely" not in page


@pytest.mark.parametrize(("text", "told"), [("x" * 20_001, "20000"), ("a\0b", "NUL"), (7, "string")])
def test_a_prompt_that_is_no_text_or_too_long_is_refused(text, told):
    with pytest.raises(SettingError, match=f"planner_prompt.*{told}"):
        run("a red circle", planner_prompt=text)


class Forgetful(ShapesChat):
    """Forgets the text that the picture is to show."""

    def _generate(self, *args, **kwargs):
        return ChatResult(generations=[ChatGeneration(message=AIMessage('{"prompt": "a sign"}'))])


def test_a_prompt_of_ones_own_that_says_nothing_of_quotes_loses_none():
    node = planner.planner(Forgetful(), SkillLibrary.load())
    context = RunContext(plan="rewrite", planner_prompt="Write what you like.")
    update = node(planner.PlannerState(prompt='a sign "HELLO"'), Runtime(context=context))
    assert '"HELLO"' in update["draft"]
    assert any("put back" in note for note in update["notes"])
