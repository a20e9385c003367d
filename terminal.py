"""Where text goes to people: a terminal, a pipe, a page. What steers it instead of being read is shown and not sent.

Requests, skills and answers of models may hold escape sequences that set a title, clear the screen or hide a link, and
bidirectional signs that show a text in another order than a model reads it.
"""

from __future__ import annotations

import json
import logging
import re
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any

import rich.console
from rich.segment import Segment
from rich.text import Text

SIGNS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # control characters but tab and line feed
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # bidirectional ones
    "\u2028\u2029\u2060-\u2064\u206a-\u206f\ufeff\ufff9-\ufffb"  # other line ends, and what is invisible and joins nothing
    "\ud800-\udfff\U000e0000-\U000e007f]"  # halves of a sign, and tags: a text in a text that only models read
)


def visible(text: str) -> str:
    r"""Return a text with signs that steer a terminal, turn the order or are hidden as JSON writes them; JSON keeps its meaning.

    Letters of all scripts stay, right-to-left ones too, and so do the joiners of emoji and of Persian.

    Example:
        >>> visible("red\x1b[2J")
        'red\\u001b[2J'
    """
    return SIGNS.sub(lambda sign: json.dumps(sign[0])[1:-1], text.replace("\r\n", "\n"))


class Console(rich.console.Console):
    """Rich's console, on which texts are `visible`; only its own styles are escape sequences."""

    def render_str(self, text: str, **options: Any) -> Text:
        """Render a text; here, so that a table knows how wide it is."""
        return super().render_str(visible(text), **options)

    def render(
        self, renderable: rich.console.RenderableType, options: rich.console.ConsoleOptions | None = None
    ) -> Iterator[Segment]:
        """Render anything: what has come past `render_str`, such as the text beside a spinner, is seen to here."""
        for text, style, control in super().render(renderable, options):
            yield Segment(text if control else visible(text), style, control)


def echo(text: object, end: str = "\n", flush: bool = False) -> None:
    """Print a text, or JSON, on standard output, where no style is wanted."""
    print(visible(str(text)), end=end, flush=flush)  # noqa: T201


@contextmanager
def signal_handlers(handlers: Mapping[signal.Signals, Callable[[int, FrameType | None], object]]) -> Iterator[None]:
    """Handle signals by these functions while the context lasts, and by the former handlers after it.

    Example:
        >>> with signal_handlers({signal.SIGTERM: lambda number, frame: print("asked to stop")}):
        ...     signal.raise_signal(signal.SIGTERM)
        asked to stop
    """
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def shield() -> None:
    """Have this process's tracebacks and log lines `visible` too: they quote models and files."""
    sys.excepthook = _show_error
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(_Visible())


class _Visible(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return visible(super().format(record))


def _show_error(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    sys.stderr.write(visible("".join(traceback.format_exception(kind, error, trace))))
