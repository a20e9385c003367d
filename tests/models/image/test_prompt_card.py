"""What stands in for models in a rehearsal: cards with the prompt on them, and answers at random."""

import io
from pathlib import Path

import pytest
from PIL import Image, ImageChops

from gems import run
from gems.config import load_config
from gems.evaluation.benchmarks.base import JudgeQuestion
from gems.evaluation.judges.judge_parsing import ask_marks, marks
from gems.evaluation.judges.registry import judge_of
from gems.models.image.base import ImageRequest
from gems.models.registry import image_model

MARKS = {"realism": (0, 2), "style": (1, 5)}
CARD = image_model("card")


def drawn(prompt, seed=0, **size):
    return CARD.generate([ImageRequest(prompt=prompt, seed=seed, **size)])[0]


def ink(picture):
    """Return the box around what is written."""
    return ImageChops.difference(picture, Image.new("RGB", picture.size, picture.getpixel((0, 0)))).getbbox()


def test_a_card_has_the_whole_prompt_on_it_and_is_the_same_again():
    assert drawn("two cats") == drawn("two cats")
    assert drawn("two cats") != drawn("two cats", seed=1)
    assert drawn("x", width=64, height=32).size == (64, 32)
    for prompt in ("two cats", "word " * 250, "x" * 600, "写着欢迎光临" * 20):
        left, top, right, bottom = ink(drawn(prompt))
        assert 10 < left < right <= 512
        assert 10 < top < bottom <= 500, prompt


def test_a_run_is_rehearsed_with_skills_and_rounds_and_says_what_it_was():
    result = run("a shop sign with a cat on it, at dusk", chat="random", image="card", preset="default", seed=3)
    assert result.usage.images >= 1
    assert "the image model card writes the prompt on a card and draws nothing of it: this is a rehearsal" in result.state.notes
    assert result.attempts[-1].prompt.startswith("a shop sign with a cat on it, at dusk")
    again = run("a shop sign with a cat on it, at dusk", chat="random", image="card", preset="default", seed=3)
    assert [a.image.sha256 for a in again.attempts] == [a.image.sha256 for a in result.attempts]


def test_with_cards_the_chat_model_is_random_unless_another_one_is_named():
    Path("gems.toml").write_text('[chat]\nmodel = "openai:gpt-5.2"\n')
    assert load_config(image="card").chat.model == "random"
    assert load_config(chat="shapes", image="card").chat.model == "shapes"
    assert load_config("gems.toml", image="card").chat.model == "openai:gpt-5.2"
    assert load_config(image="shapes").chat.model == "shapes"


@pytest.mark.parametrize(
    ("text", "reads"),
    [
        ("Is there a cat? Answer with yes or no only.", lambda said: said in ("yes", "no")),
        ("有猫吗？ Answer yes or no.", lambda said: said in ("yes", "no")),
        (f"How good? {ask_marks(MARKS)}", lambda said: marks(said, MARKS) is not None),
        ("Write down all the text.", lambda said: len(said.split()) == 7),
    ],
)  # fmt: skip
def test_answers_have_the_form_that_is_asked_for_and_differ_by_what_is_asked(text, reads):
    judge = judge_of("random")
    pictures = [io.BytesIO() for _ in range(12)]
    for seed, buffer in enumerate(pictures):
        drawn("a cat", seed).save(buffer, "PNG")
    said = [judge.ask(JudgeQuestion(key="a", text=text), buffer.getvalue()).text for buffer in pictures]
    assert all(map(reads, said))
    assert len(set(said)) > 1
    assert said == [judge.ask(JudgeQuestion(key="a", text=text), buffer.getvalue()).text for buffer in pictures]


def test_one_word_comes_with_twenty_alternatives_whose_weight_is_on_answers_of_the_kind():
    buffer = io.BytesIO()
    drawn("a cat").save(buffer, "PNG")
    for text, kind in (("How many cats? Answer in one word.", {"two", "3"}), ("Is it a cat? Answer in one word.", {"Yes", " no"})):
        answer = judge_of("random").ask(JudgeQuestion(key="a", text=text, kind="word", max_tokens=1), buffer.getvalue())
        assert len(answer.top) == 20
        assert kind <= {token for token, _ in answer.top}
        assert sum(p for _, p in answer.top) == pytest.approx(1, abs=0.05)
