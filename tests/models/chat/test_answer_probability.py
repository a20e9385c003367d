"""How sure a model was: the tokens of each answer are found in whatever tokenization, and no guess is made."""

import json
import math

import pytest
from langchain_core.messages import AIMessage

from gems.models.chat.answer_probability import LogprobToken, answer_probabilities, answer_spans, tokens_of

LN = math.log


def token(text, p=1.0, **top):
    return LogprobToken(text, LN(p), {t: LN(q) for t, q in top.items()})


def answered(*pieces):
    """Build tokens from texts and (text, alternatives with probabilities) pairs; return them with their text."""
    tokens = [
        token(p) if isinstance(p, str) else LogprobToken(p[0], LN(p[1][p[0]]), {t: LN(q) for t, q in p[1].items()}) for p in pieces
    ]
    return "".join(t.text for t in tokens), tokens


def one(*value, expected="yes", end='"}]}'):
    text, tokens = answered('{"findings": [{"id": "', "c1", '", "answer":', *value, end)
    return answer_probabilities(text, tokens, {"c1": expected}).get("c1")


def test_the_share_of_yes_among_yes_and_no():
    assert one(' "', ("yes", {"yes": 0.6, "no": 0.2, "unknown": 0.2})) == pytest.approx(0.75)


def test_the_share_of_an_expected_no():
    assert one(' "', ("yes", {"yes": 0.6, "no": 0.2}), expected="no") == pytest.approx(0.25)


def test_spellings_add_up():
    alternatives = {"yes": 0.4, "Yes": 0.2, " YES": 0.1, "no": 0.2, "No": 0.1}
    assert one(' "', ("yes", alternatives)) == pytest.approx(0.7)


def test_the_quote_may_be_in_the_token():
    assert one((' "yes', {' "yes': 0.5, ' "no': 0.3, '"no': 0.2}), expected="no") == pytest.approx(0.5)
    assert one(' "', ('no"', {'no"': 0.5, "no": 0.25, 'yes"': 0.25}), expected="yes", end="}]}") == pytest.approx(0.25)


def test_a_word_split_into_pieces():
    assert one(' "', ("y", {"y": 0.5, "n": 0.25, "Yes": 0.25}), ("es", {"es": 1.0})) == pytest.approx(0.75)


def test_the_first_word_of_a_longer_answer_decides():
    assert one(' "', ("Yes", {"Yes": 0.9, "No": 0.1}), ", clearly") == pytest.approx(0.9)


def test_an_answer_that_only_begins_like_yes_is_none():
    assert one(' "', ("yes", {"yes": 0.9, "no": 0.1}), "terday") is None


def test_counts_as_words_and_digits():
    alternatives = {"three": 0.5, "3": 0.1, "four": 0.2, "2": 0.1, "many": 0.1}
    assert one(' "', ("three", alternatives), expected="three") == pytest.approx(0.6 / 0.9)
    assert one(' "', ("three", alternatives), expected="4") == pytest.approx(0.2 / 0.9)


def test_a_number_split_into_pieces():
    """Twelve as "1", "2": what ends after the 1 is a one, what goes on otherwise another number."""
    share = one(' "', ("1", {"1": 0.8, "9": 0.2}), ("2", {"2": 0.5, '"': 0.25, "3": 0.25}), expected="12")
    assert share == pytest.approx(0.4)


def test_a_number_that_could_have_gone_on():
    share = one(' "', ("six", {"six": 1.0}), ('"', {'"': 0.75, "teen": 0.25}), expected="six", end="}]}")
    assert share == pytest.approx(0.75)


def test_neither_seen_is_not_told():
    assert one(' "', ("unknown", {"unknown": 0.7, "can't": 0.3})) is None


def test_an_answer_of_another_kind_is_not_told():
    """The tokens beside an "unknown" say little about what was seen."""
    assert one(' "', ("unknown", {"unknown": 0.9, "yes": 0.06, "no": 0.04})) is None


def test_texts_are_not_told():
    assert one(' "', ("OPEN", {"OPEN": 0.9, "CLOSED": 0.1}), expected="OPEN") is None


def test_a_short_list_that_lacks_the_chosen_token():
    text, tokens = answered('{"findings": [{"id": "c1", "answer": "', "no", '"}]}')
    tokens[1] = LogprobToken("no", LN(0.05), {"yes": LN(0.95)})
    assert answer_probabilities(text, tokens, {"c1": "yes"})["c1"] == pytest.approx(0.95)


def test_tokens_without_alternatives_tell_nothing():
    text, tokens = answered('{"findings": [{"id": "c1", "answer": "', "yes", '"}]}')
    assert answer_probabilities(text, tokens, {"c1": "yes"}) == {}
    assert answer_probabilities(text, [], {"c1": "yes"}) == {}


def test_reasoning_comes_first_and_end_marks_last():
    draft = '{"findings": [{"id": "c1", "answer": "'
    text, tokens = answered(draft, ("yes", {"yes": 0.8, "no": 0.2}), '"}]}')
    before = answered("<think>", draft, ("no", {"no": 0.9, "yes": 0.1}), '"}]}', "</think>", "\n\n")[1]
    assert answer_probabilities(text, [*before, *tokens, token("<|im_end|>")], {"c1": "yes"})["c1"] == pytest.approx(0.8)


def test_text_that_the_server_stripped():
    _, tokens = answered("\n\n", '{"findings": [{"id": "c1", "answer": "', ("yes", {"yes": 0.8, "no": 0.2}), '"}]}', "\n")
    text = '  {"findings": [{"id": "c1", "answer": "yes"}]}\n\n\n'
    assert answer_probabilities(text, tokens, {"c1": "yes"})["c1"] == pytest.approx(0.8)


def test_tokens_of_another_text_tell_nothing():
    text, _ = answered('{"findings": [{"id": "c1", "answer": "', "yes", '"}]}')
    assert answer_probabilities(text, [token("x", 0.5, y=0.5)] * 20, {"c1": "yes"}) == {}


def test_characters_split_over_tokens():
    """Byte-level tokenizers cut a character in two: such a token's text is no text, its bytes are."""
    half = [{"token": f"bytes:\\x{b:x}", "bytes": [b], "logprob": 0.0, "top_logprobs": []} for b in "é".encode()]
    value = {"token": "yes", "bytes": [121, 101, 115], "logprob": LN(0.5), "top_logprobs": [
        {"token": "yes", "bytes": None, "logprob": LN(0.5)}, {"token": "no", "logprob": LN(0.5)}]}  # fmt: skip

    def plain(text):
        return {"token": text, "bytes": list(text.encode()), "logprob": 1e-9, "top_logprobs": []}

    content = [plain('{"findings": [{"id": "c1", "reason": "caf'), *half, plain('", "answer": "'), value, plain('"}]}')]
    message = AIMessage("", response_metadata={"logprobs": {"content": content}})
    text = '{"findings": [{"id": "c1", "reason": "café", "answer": "yes"}]}'
    assert answer_probabilities(text, tokens_of(message), {"c1": "yes"})["c1"] == pytest.approx(0.5)


@pytest.mark.parametrize(
    "logprobs",
    [
        None,
        {},
        {"content": None},
        {"content": [{"token": "a"}]},
        {"content": [None]},
        {"content": [{"token": "a", "logprob": None}]},
    ],
)
def test_odd_log_probabilities_are_none(logprobs):
    assert tokens_of(AIMessage("a", response_metadata={"logprobs": logprobs})) == ()


def test_odd_alternatives_are_left_out():
    top = [None, {"token": "b"}, {"token": "c", "logprob": -2.0, "bytes": [999]}]
    message = AIMessage("a", response_metadata={"logprobs": {"content": [{"token": "a", "logprob": -1, "top_logprobs": top}]}})
    assert tokens_of(message) == (LogprobToken("a", -1.0, {"c": -2.0}),)


def spanned(text):
    return {id: text[slice(*span)] for id, span in answer_spans(text).items()}


TWO = json.dumps({"findings": [{"id": "c1", "answer": "yes"}, {"id": "c2", "answer": 'a "no"', "reason": 'says {"'}]}, indent=1)


@pytest.mark.parametrize(
    "text",
    [
        TWO,
        f"```json\n{TWO}\n```",
        f'He said "{{so" {{ and: {TWO} - {{"findings": []}}',
        f'<think>{{"findings": [{{"id": "c1", "answer": "no"}}]}}</think>\n{TWO}',
        TWO.replace('"c1",\n   "answer": "yes"', '"c1", "answer":"yes", "extra": {"answer": 3, "id": 4}'),
    ],
)
def test_answers_are_found_in_whatever_surrounds_them(text):
    assert spanned(text) == {"c1": "yes", "c2": 'a \\"no\\"'}


def test_keys_in_any_order():
    assert spanned('{"findings": [{"reason": "id", "answer": "no", "id": "c3"}]}') == {"c3": "no"}


def test_the_first_finding_of_an_id_counts():
    assert spanned('{"findings": [{"id": "c1", "answer": "no"}, {"id": "c1", "answer": "yes"}]}') == {"c1": "no"}


@pytest.mark.parametrize(
    "text", ["", "no JSON", '{"findings": [{"id": "c1", "answer": "ye', '{"a":' * 100_000, '{"answer": "yes"}']
)
def test_text_without_findings_has_no_answers(text):
    assert answer_spans(text) == {}


def test_ids_are_compared_as_the_verifier_does():
    text, tokens = answered('{"findings": [{"id": "C1:", "answer": "', ("yes", {"yes": 0.8, "no": 0.2}), '"}]}')
    assert answer_probabilities(text, tokens, {"c1": "yes", "c2": "yes"}) == {"c1": pytest.approx(0.8)}
