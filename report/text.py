"""Numbers and lengths of time as people read them."""

from __future__ import annotations


def count_of(number: int, noun: str) -> str:
    """Return a number with its noun, in the plural where it is not 1."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def short_number(number: int) -> str:
    """Return a number shortened to thousands or millions: 12.3k, 1.2M."""
    if number < 10_000:
        return f"{number:,}"
    return f"{number / 1000:.1f}k" if number < 999_950 else f"{number / 1_000_000:.1f}M"


def duration(seconds: float, digits: int = 1) -> str:
    """Return seconds as text, such as 4.2 s or 3 min 05 s; `digits` decimals below a minute."""
    if seconds < 59.95:
        return f"{seconds:.{digits}f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"
