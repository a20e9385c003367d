"""A chat model that answers at random: `random`, to rehearse runs and judges of benchmarks without a model.

Answers have the form that is requested: the schema of a role, marks, letters, yes or no, or one word with probabilities.
The messages are the seed: the same words and images get the same answer.
"""

from __future__ import annotations

import json
import math
import random
import re
from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage

from ..numerals import NUMBER_WORDS
from ..options import ChatOptions
from .scripted import ScriptedChat, load_skills, loadable_skills, schema_name, tag_content

YES_NO = ("Yes", "No", "yes", "no", " Yes", " No", " yes", " no")
COUNTS = (*NUMBER_WORDS[1:11], *map(str, range(1, 11)))
TEXT_WORDS = ("the", "of", "and", "a", "to", "in", "is", "OPEN", "SALE", "的", "一", "是", "了", "我")
"""Words of an answer to a request to transcribe text."""
MAX_CHECKS = 4
REASON = "this was decided at random"


class RandomChatOptions(ChatOptions):
    """A chat model that answers at random."""

    spec = "random"
    about = "random answers, for a rehearsal"

    def make(self) -> RandomChat:
        """Return the chat model."""
        return RandomChat()


class RandomChat(ScriptedChat):
    """Plays every role of GEMS, and any judge, at random."""

    model_name: str = "random"

    @property
    def _llm_type(self) -> str:
        return "random"

    def answer(self, messages: Sequence[BaseMessage], options: Mapping[str, Any]) -> AIMessage:
        """Answer in the form that is requested, by chance."""
        rng = random.Random(repr([message.content for message in messages]))
        prompt = _human_text(messages)
        if schema := schema_name(options):
            return AIMessage(json.dumps(_role_answer(schema, prompt, rng), ensure_ascii=False))
        if options.get("tools"):
            return _planner_message(options["tools"], messages, rng)
        if options.get("logprobs"):
            return _one_token_answer(prompt, int(options.get("top_logprobs") or 0), rng)
        return AIMessage(_judge_answer(prompt, rng))

    def count_tokens(self, messages: Sequence[BaseMessage], answer: AIMessage) -> tuple[int, int]:
        """Count words."""
        return len(_human_text(messages).split()), len(answer.text.split())


def _human_text(messages: Sequence[BaseMessage]) -> str:
    return "\n".join(message.text for message in messages if message.type == "human")


def _role_answer(schema: str, prompt: str, rng: random.Random) -> dict[str, Any]:
    """Answer as the role whose schema it is; fields that a schema lacks are ignored by whoever reads the answer."""
    request = tag_content(prompt, "request")
    if schema == "Checks":
        parts = [part.strip() for part in re.split(r"[.,;:!?。，；：]", request) if part.strip()][:MAX_CHECKS]
        return {"checks": [{"kind": "object", "question": f"Is this in the image: {part}?"} for part in parts]}
    if schema == "Findings":
        ids = re.findall(r"^(\S+?)\. ", tag_content(prompt, "questions"), re.MULTILINE)
        return {"findings": [{"id": id, "answer": rng.choice(("yes", "no")), "reason": REASON} for id in ids]}
    if schema == "LearnedLessons":
        return {"lessons": []}
    return {
        "prompt": request if schema == "Plan" else f"{request} (take {rng.randrange(2, 1000)})",
        "strategy": REASON,
        "action": "regenerate",
        "experience": f"Nothing was learned: {REASON}.",
    }


def _planner_message(tools: Sequence[dict[str, Any]], messages: Sequence[BaseMessage], rng: random.Random) -> AIMessage:
    """Load a skill or none first, then plan."""
    skills = loadable_skills(tools) if messages[-1].type == "human" else []
    if skills and rng.random() < 0.5:
        return load_skills([rng.choice(skills)])
    return AIMessage(json.dumps(_role_answer("Plan", _human_text(messages), rng), ensure_ascii=False))


def _judge_answer(prompt: str, rng: random.Random) -> str:
    """Answer the question of a benchmark in words."""
    if marks := re.findall(r'"(\w+)": (\d+)-(\d+)', prompt):
        return json.dumps({name: rng.randint(int(low), int(high)) for name, low, high in marks})
    if "multiple-choice" in prompt:
        return "\n".join(f"{n}. {rng.choice('ABCDE')}" for n in re.findall(r"^(\d+)\. ", prompt, re.MULTILINE))
    if re.search(r"\byes\b.{0,12}\bno\b", prompt, re.IGNORECASE):
        return rng.choice(("yes", "no"))
    if "one word" in prompt:
        return _one_token_answer(prompt, 0, rng).text
    return " ".join(rng.sample(TEXT_WORDS, len(TEXT_WORDS) // 2))


def _one_token_answer(prompt: str, alternatives: int, rng: random.Random) -> AIMessage:
    """Answer in one token, with log-probabilities of alternatives."""
    first, second = (COUNTS, YES_NO) if "how many" in prompt.casefold() else (YES_NO, COUNTS)
    weights = [rng.random() ** 4 + 0.001 for _ in first] + [0.0001] * len(second)
    likely = sorted(zip([*first, *second], weights, strict=True), key=lambda token_and_weight: -token_and_weight[1])
    top = [{"token": token, "logprob": math.log(weight / sum(weights)), "bytes": list(token.encode())} for token, weight in likely]
    content = [{**top[0], "top_logprobs": top[:alternatives]}]
    return AIMessage(likely[0][0].strip(), response_metadata={"logprobs": {"content": content}})
