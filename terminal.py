"""Output for people on a terminal, in a pipe or on a page, with control characters escaped.

Requests, skills and answers of models may hold escape sequences that set a title, clear the screen or hide a link, and
bidirectional characters that show a text in another order than a model reads it.
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

CONTROL_CHARACTERS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # control characters but tab and line feed
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # bidirectional ones
    "\u2028\u2029\u2060-\u2064\u206a-\u206f\ufeff\ufff9-\ufffb"  # other line ends, and invisible characters that join nothing
    "\ud800-\udfff\U000e0000-\U000e007f]"  # surrogates, and tags: a hidden text that only models read
)


def escape_controls(text: str) -> str:
    r"""Escape control, bidirectional and invisible characters of a text as JSON does, so that JSON keeps its meaning.

    Letters of all scripts stay, right-to-left ones too, and so do the joiners of emoji and of Persian.

    Example:
        >>> visible("red\x1b[2J")
        'red\\u001b[2J'
    """
    return CONTROL_CHARACTERS.sub(lambda sign: json.dumps(sign[0])[1:-1], text.replace("\r\n", "\n"))


class Console(rich.console.Console):
    """Rich's console with escaped texts: the only escape sequences are those of its own styles."""

    def render_str(self, text: str, **options: Any) -> Text:
        """Render a text, escaped here so that a table knows its width."""
        return super().render_str(escape_controls(text), **options)

    def render(
        self, renderable: rich.console.RenderableType, options: rich.console.ConsoleOptions | None = None
    ) -> Iterator[Segment]:
        """Render anything; texts that bypass `render_str`, such as that beside a spinner, are escaped here."""
        for text, style, control in super().render(renderable, options):
            yield Segment(text if control else escape_controls(text), style, control)


def echo(text: object, end: str = "\n", flush: bool = False) -> None:
    """Print a text, escaped and without style, on standard output."""
    print(escape_controls(str(text)), end=end, flush=flush)  # noqa: T201


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


def escape_logs_and_tracebacks() -> None:
    """Escape the tracebacks and log lines of this process too: they quote models and files."""
    sys.excepthook = _print_traceback
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(_EscapingFormatter())


class _EscapingFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return escape_controls(super().format(record))


def _print_traceback(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    sys.stderr.write(escape_controls("".join(traceback.format_exception(kind, error, trace))))
