"""What messages are made of."""

from gems.memory.state import ImageRef
from gems.nodes.messages import user_message

REF = ImageRef(sha256="0" * 64, width=8, height=8)


def test_a_message_without_pictures_is_plain_text_as_servers_of_text_only_models_need_it():
    assert user_message(["one", "two"]).content == "one\n\ntwo"
    assert user_message(["one", REF, "two"]).content == "one\n\ntwo"


def test_pictures_stand_between_the_texts():
    message = user_message(["one", REF, "two"], lambda _: b"png")
    assert [block["type"] for block in message.content_blocks] == ["text", "image", "text"]
    assert message.content_blocks[1]["base64"] == "cG5n"
