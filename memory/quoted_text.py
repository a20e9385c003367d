"""Quoted text of a request: text in double quotes must appear in the image, word for word.

Quotation marks of all scripts count; JSON keys, attributes, code and weights do not.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

MAX_QUOTE = 4000
"""Characters of the longest quoted text: a mark that is not closed within these opens none."""
MAX_KEY = 60
"""Characters of a key that are matched."""
MAX_NESTED = 20
"""Quotation marks in a quoted text, nested or in a row."""

TEXT_KEY = re.compile(
    r"(?!alt|negative|prompt|placeholder)(?:.*[_ -])?(?:texts?|captions?|titles?|subtitles?|headlines?|slogans?|taglines?|lettering"
    r"|inscriptions?|labels?|signs?|signage|words?|wording|quotes?|message|文字|文本|标题|副标题|标语|字样)"
    r"(?:[_ -](?:content|overlay|string))?",
    re.IGNORECASE,
)
"""Keys of a structured request whose values are texts in the image."""
VALUE_KEY = re.compile(r"content|value|string|lines?|items?|内容", re.IGNORECASE)
"""Keys whose values are texts in the image below one of those keys."""
NO_TEXT = frozenset({"none", "no", "no text", "n/a", "null", "false", "true", "无"})
"""Values of such keys that mean no text."""

_PAIRS = '“” ‟” „“” «» ‹› ❝❞ 〝〟〞 「」 『』 ﹁﹂ ﹃﹄ ｢｣ ””“ »«» ›‹› ＂＂ ״״ ""'
_CLOSERS = {pair[0]: pair[1:] for pair in _PAIRS.split()}
"""The closing marks of each opening mark."""
_EITHER_WAY = frozenset('”»›״"')
"""Marks that also close, or mean inches: they open where a word could begin, and close where one could end."""
_FALLBACK = {"“": '"“', "„": '"', '"': "”"}
"""Closing marks if the proper one is missing."""
_OPENER = re.compile("[" + "".join(_CLOSERS) + "]")
_MARKS = {opener: re.compile(f"[{opener}{closers}]") for opener, closers in _CLOSERS.items()}

_STRING = r'"(?:[^"\\]|\\.)*"'
_OBJECT = re.compile(rf"\{{[\s\0]*{_STRING}\s*:", re.DOTALL)
_TOKEN = re.compile(rf"(?P<string>{_STRING})(?P<colon>\s*:)?|[{{}}\[\],]", re.DOTALL)
_PAIR = re.compile(rf'"(?P<key>[\w -]+)"\s*:\s*(?P<value>{_STRING})')
_TAG = re.compile(r"</?[A-Za-z][\w:-]*(?:\s[^<>]*)?>|<[?!][^<>]*>")
_ASSIGNED = re.compile(rf"(?<![\w.:-])(?P<key>[A-Za-z_][\w.:-]*)\s*=\s*(?P<value>{_STRING})")
_DESCRIBED = re.compile(
    r"(?:^[ \t]*(?:[-*][ \t]+)?|[,;]\s*)"
    r"(?P<key>subject|style|mood|lighting|camera|lens|angle|medium|colou?rs?|palette|background|foreground|scene|setting|composition"
    r"|action|pose|environment|atmosphere|quality|aspect[ _-]ratio|description|(?:negative[ _-])?prompt)"
    rf"\s*:\s*(?P<value>{_STRING})",
    re.IGNORECASE | re.MULTILINE,
)
_CODE = (
    re.compile(r"```(?!text|txt|markdown|md|json|yaml)\w[\w+#-]*\n.*?(?:```|\Z)", re.DOTALL),
    re.compile(r'(?<!\S)--[A-Za-z][\w-]*[ =]"[^"\n]*"'),
    re.compile(r'(?:"[^"\n]*"|\((?:[^()"\n]|"[^"\n]*")*\))\.[A-Za-z_]\w*\([^()\n]*\)'),
    re.compile(r'\b[A-Za-z_][A-Za-z0-9_]*\((?:[^()"\n]|"[^"\n]*")*\)'),
)
_WEIGHT = re.compile(r"(?:\++|--+)(?=[\s,.;:)\]]|$)")
_REMOVED = "\0"
"""Replaces removed characters, so that positions do not change."""
_BREAK = re.compile(r"(?:\\r)?\\n(?!abla|eq\b|u\b|ot\b)")


class Quote(NamedTuple):
    """A quoted text, with its position including the marks."""

    text: str
    start: int
    end: int


def quoted_strings(prompt: str) -> list[str]:
    """Return the quoted texts of a request, each once: what the image must show, word for word.

    A line break in a text becomes a space.
    """
    return list(dict.fromkeys(quote.text for quote in quotes(prompt)))


def quotes(prompt: str) -> list[Quote]:
    """Return every quoted text of a request, in order, with its position."""
    found, prose = _split_structured(prompt)
    plain = [Quote(_one_line(prose[start + 1 : end - 1]), start, end) for start, end in _quote_spans(prose)]
    if len(plain) == 1 and not found and _is_whole_request(plain[0], prompt):
        return []
    return sorted((quote for quote in (*found, *plain) if quote.text), key=lambda quote: quote.start)


def replace_quotes(prompt: str, write: Callable[[Quote], str]) -> str:
    """Return a text with a replacement for each quoted text and its marks."""
    parts, position = [], 0
    for quote in quotes(prompt):
        if quote.start >= position:
            parts += [prompt[position : quote.start], write(quote)]
            position = quote.end
    return "".join(parts) + prompt[position:]


def _is_whole_request(quote: Quote, prompt: str) -> bool:
    """Return whether the marks enclose a whole, long request: it was pasted with its quotes."""
    around = prompt[: quote.start] + prompt[quote.end :]
    return not around.strip() and (len(quote.text.split()) > 3 or (not quote.text.isascii() and len(quote.text) > 12))


def _one_line(text: str) -> str:
    path = re.search(r"\b[A-Za-z]:\\", text)
    return " ".join((text if path else _BREAK.sub(" ", text)).replace(_REMOVED, "").split())


def _split_structured(prompt: str) -> tuple[list[Quote], str]:
    """Return the texts in JSON, markup and code, and the prompt with spaces in place of these parts."""
    found: list[Quote] = []

    def blank(match: re.Match[str]) -> str:
        return " " * len(match[0])

    def pair(match: re.Match[str]) -> str:
        texts = _texts_in_value(match["value"], [match["key"]])
        found.extend(Quote(text, match.start("value"), match.end("value")) for text in texts)
        return blank(match)

    prompt = _blank_json(prompt, found)
    if '\\"' in prompt or '""' in prompt:
        prompt = re.sub(r'(?<!")""+(?=[^\s"])', lambda m: '"'.rjust(len(m[0]), _REMOVED), prompt.replace('\\"', f'{_REMOVED}"'))
        prompt = re.sub(r'(?<=[^\s"])""+', lambda m: '"'.ljust(len(m[0]), _REMOVED), prompt)
        prompt = _blank_json(prompt, found)
    for tag in _TAG.finditer(prompt):
        for attribute in _ASSIGNED.finditer(prompt, *tag.span()):
            pair(attribute)
    prompt = _TAG.sub(blank, prompt)
    for code in _CODE:
        prompt = code.sub(blank, prompt)
    prompt = _ASSIGNED.sub(pair, _PAIR.sub(pair, prompt))
    if len(_DESCRIBED.findall(prompt)) > 1:  # one alone may well be a sentence: "it bears the description: ..."
        prompt = _DESCRIBED.sub(pair, prompt)
    return found, prompt


def _blank_json(prompt: str, found: list[Quote]) -> str:
    """Return the prompt with spaces in place of JSON objects, also incomplete ones, and add their texts to `found`."""
    while start := _OBJECT.search(prompt):
        keys, end = [""], len(prompt)
        for token in _TOKEN.finditer(prompt, start.start()):
            if token["colon"]:
                keys[-1] = _decoded(token["string"])
            elif token["string"]:
                texts = _texts_in_value(token["string"], keys)
                found.extend(Quote(text, token.start("string"), token.end("string")) for text in texts)
            elif token[0] in "{[":
                keys.append("")
            elif token[0] in "}]" and len(keys) > 1:
                keys.pop()
                if len(keys) == 1:
                    end = token.end()
                    break
        prompt = prompt[: start.start()] + " " * (end - start.start()) + prompt[end:]
    return prompt


def _texts_in_value(string: str, keys: list[str]) -> list[str]:
    """Return the texts of a JSON value: the value itself if a key says so, else the texts that it quotes."""
    value = _decoded(string)
    named = [re.sub(r"(?<=[a-z])(?=[A-Z])", "_", key.strip()[-MAX_KEY:]) for key in keys if key.strip()]
    if named and named[-1].lower().startswith("negative"):
        return []
    own = bool(named) and bool(TEXT_KEY.fullmatch(named[-1]))
    below = len(named) > 1 and bool(VALUE_KEY.fullmatch(named[-1])) and any(TEXT_KEY.fullmatch(name) for name in named[:-1])
    quoted = quoted_strings(value) if _OPENER.search(value) else []
    if quoted or not (own or below) or value.strip().casefold() in NO_TEXT:
        return quoted
    return [_one_line(value)]


def _decoded(string: str) -> str:
    string = string.replace(_REMOVED, "")
    try:
        return str(json.loads(string, strict=False))
    except ValueError:
        return string[1:-1].replace('\\"', '"')


def _quote_spans(prose: str) -> Iterator[tuple[int, int]]:
    """Yield the spans of quoted texts with their marks, from left to right."""
    position = 0
    while opener := _OPENER.search(prose, position):
        start = opener.start()
        position = start + 1
        if opener[0] in _EITHER_WAY and not _may_open(prose, start):
            continue
        end = _quote_end(prose, start)
        if end > 0:
            position = end
            if not _WEIGHT.match(prose, end):
                yield start, end


def _may_open(prose: str, at: int) -> bool:
    before, after = prose[at - 1 : at], prose[at + 1 : at + 2]
    other_script = after.isalnum() and not _in_word(after) and not before.isdigit()
    return bool(after) and (not _in_word(before) or other_script) and (prose[at] in '"״' or not after.isspace())


def _quote_end(prose: str, start: int) -> int:
    """Return the end of the quoted text that opens at `start`, with its mark; 0 if it is not closed."""
    opener, stop = prose[start], min(len(prose), start + MAX_QUOTE)
    depth = 1
    barrier = stop
    for seen, mark in enumerate(_MARKS[opener].finditer(prose, start + 1, stop)):
        if mark[0] in _CLOSERS[opener]:
            if _may_close(prose, start, mark.start()):
                depth -= 1
            elif opener in {'"', "״"}:
                barrier = mark.start()
                break
        else:
            depth += 1
            barrier = min(barrier, mark.start())
        if depth == 0:
            return mark.end()
        if seen == MAX_NESTED:
            break
    ends = (prose.find(mark, start + 1, barrier + 1) for mark in _FALLBACK.get(opener, ""))
    return min((end + 1 for end in ends if end > 0 and _may_close(prose, start, end)), default=0)


def _may_close(prose: str, start: int, at: int) -> bool:
    mark, before, after = prose[at], prose[at - 1], prose[at + 1 : at + 2]
    if mark in "“«‹" and before.isspace():  # opens another text
        return False
    if mark not in '"״':
        return True
    opens = before.isspace() and after.isalnum() and not prose[start + 1].isspace()
    ragged = "\n" in prose[start:at] and (before.isspace() or prose[start + 1].isspace())
    within = _in_word(after) and (_in_word(before) or not before.isalnum())
    return not (within or opens or ragged)


def _in_word(character: str) -> bool:
    """Return whether a character is a letter or digit of a script with spaces, next to which no quoted text begins or ends."""
    return character.isalnum() and (ord(character) < 0x600 or 0x1E00 <= ord(character) < 0x2000)
