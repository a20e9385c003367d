"""The embedded chat model with moods: where it is told to, it says something else."""

from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, ChatResult

from gems.models.shapes.chat import ShapesChat


class Moody(ShapesChat):
    """The shapes model, but for one schema (or the tool turn) it says something else."""

    mood: dict
    heard: list = []

    def _generate(self, messages, stop=None, run_manager=None, **kwargs):
        name = (kwargs.get("response_format") or {}).get("json_schema", {}).get("name", "tools")
        self.heard.append((name, messages))
        if name in self.mood:
            said = self.mood[name]
            said = said(len([n for n, _ in self.heard if n == name])) if callable(said) else said
            if said is not None:
                message = said if isinstance(said, AIMessage) else AIMessage(said)
                return ChatResult(generations=[ChatGeneration(message=message)])
        return super()._generate(messages, stop, run_manager, **kwargs)

    def turn(self, name, number):
        """Return the messages of the model's n-th turn of a kind."""
        return [messages for kind, messages in self.heard if kind == name][number - 1]
