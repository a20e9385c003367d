"""Editing the best image instead of drawing anew, where the image model can and the run allows it."""

import json

import pytest
from PIL import Image, ImageDraw

from gems import Gems, ImageModel, run
from gems.models.chat.answer_text import text_of

from ..moody_chat import Moody

REQUEST = "a red circle above a blue square"


class Editor(ImageModel):
    """Draws a green square; asked to edit, it does what was wanted. It remembers every request."""

    name = "editor"
    can_edit = True

    def __init__(self, can_edit=True):
        self.can_edit, self.heard = can_edit, []

    def generate(self, requests):
        self.heard += requests
        return [self._draw(r) for r in requests]

    def _draw(self, request):
        image = Image.new("RGB", (128, 128), "white")
        pen = ImageDraw.Draw(image)
        if request.source:
            pen.ellipse((50, 20, 78, 48), fill=(220, 40, 40))
            pen.rectangle((50, 84, 78, 112), fill=(40, 80, 220))
        return image


def editing(action, prompt="Put a red circle above a blue square."):
    return Moody(mood={"EditRefinement": json.dumps({"strategy": "mend it", "action": action, "prompt": prompt})})


def test_the_refiner_may_have_the_best_image_edited(tmp_path):
    image, chat = Editor(), editing("edit")
    result = run(REQUEST, chat=chat, image=image, runs=tmp_path, edit="auto", max_rounds=2)
    first, second = result.attempts
    assert image.heard[0].source is None
    assert image.heard[1].source == result.store.read(first.image)
    assert second.source == first.image
    assert second.prompt == "Put a red circle above a blue square."
    assert result.decision == "accept"


def test_an_image_drawn_anew_has_no_source(tmp_path):
    image = Editor()
    run(REQUEST, chat=editing("regenerate"), image=image, runs=tmp_path, edit="auto", max_rounds=2)
    assert [r.source for r in image.heard] == [None, None]


@pytest.mark.parametrize(("can_edit", "edit"), [(True, "none"), (False, "auto")])
def test_it_is_not_asked_whether_to_edit_where_that_cannot_be(tmp_path, can_edit, edit):
    image, chat = Editor(can_edit), editing("edit")
    run(REQUEST, chat=chat, image=image, runs=tmp_path, edit=edit, max_rounds=2)
    assert {kind for kind, _ in chat.heard} >= {"Refinement"}
    assert "EditRefinement" not in {kind for kind, _ in chat.heard}
    assert all(r.source is None for r in image.heard)


def test_the_memory_says_which_image_was_an_edit_of_which(tmp_path):
    chat = editing("edit", "Do nothing useful.")
    image = Editor()
    image._draw = lambda request: Image.new("RGB", (128, 128), "white")
    run(REQUEST, chat=chat, image=image, runs=tmp_path, edit="auto", max_rounds=3)
    shown = "\n".join(text_of(m) for m in chat.turn("EditRefinement", 2))
    assert '<attempt round="2" edit_of_round="1">' in shown


def test_an_edit_that_was_made_is_not_made_again_after_a_crash(tmp_path):
    image, chat = Editor(), editing("edit")
    chat.mood["Findings"] = lambda n: (_ for _ in ()).throw(RuntimeError("power cut")) if n == 2 else None
    with pytest.raises(RuntimeError, match="power cut"):
        run(REQUEST, chat=chat, image=image, runs=tmp_path, edit="auto", max_rounds=2, verify="batch", thread="t")
    made = len(image.heard)
    assert Gems(runs=tmp_path, chat=editing("edit"), image=image).resume("t").decision == "accept"
    assert len(image.heard) == made == 2


def test_quoted_text_is_not_added_to_an_edit(tmp_path):
    image, chat = Editor(), editing("edit", "Make the square blue.")
    chat.mood["Checks"] = json.dumps({"checks": [{"kind": "object", "question": "Is there a circle?"}]})
    chat.mood["tools"] = json.dumps({"prompt": "a sign"})
    run('a sign "OPEN"', chat=chat, image=image, runs=tmp_path, edit="auto", max_rounds=2, plan="none", recall="feedback")
    assert image.heard[1].prompt == "Make the square blue."
