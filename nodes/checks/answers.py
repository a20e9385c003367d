"""Parse answers and compare them with the expected ones, in code rather than by a model.

`FORMS` has the forms of answers; each kind of checks in `memory/check_kinds.py` names its own. The verifier and the judges share
the functions. An answer that hedges ("yes and no", "fewer than three", "maybe OPEN") is unknown.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from ...memory.check_kinds import KINDS
from ...memory.state import Check
from ...models.numerals import MAX_CHARACTERS, is_no_answer, number
from .text_match import TextMatch, compare_text, contains, normalize

_YES = {*str.split("yes yeah yep yup oui si sí sì ja sim da да evet はい ええ うん 是 是的 是啊 对 對 对的 有 有的 네 예 نعم")}
_NO = {
    *str.split("no nope nah non nein não nao nee nej nei нет nie hayır いいえ いや ない ありません 不 不是 不是的 否 没 没有 沒有"),
    *str.split("不对 不對 아니 아니요 아니오 아뇨 없음 لا"),
}
_ENGLISH = {"yes", "yeah", "yep", "yup", "no", "nope", "nah"}
"""Words after which the clause may go on; after "non" or "si" it may mean anything ("non lo so")."""
_CLAUSE = re.compile(r"[,.;:!?()\[\]{}/|\n…，。；：！？、（）／]+|\s[-–—]+\s|\s*[–—]+\s*")
_LEAD_IN = re.compile(r"^(?:(?:so|the|my|final|short|correct) )*(?:answer|verdict)(?: is)?\b")
_JOINED = re.compile(r"\b(?:and|or|but|y|o|ou|et|und|oder|и|или|e)\s+(\w+)")
_SECOND_ANSWER = re.compile(
    r"(?:(?:but|and|or|rather|then|well|wait|actually|though|maybe|perhaps) )*(\w+)(?: (?:it|there|they|s?he|we|i)\b.*)?"
)
_SURE = r"(?:entirely |completely |fully |quite |really |absolutely |totally |so )?(?:sure|certain|clear)"
_CANNOT = r"(?:can ?not|can't|could not|couldn't|do not|don't|unable to|not able to)"
_HEDGE = re.compile(
    rf"(?:(?:but|and|or|though|however|then|it|this|that|which|is|it's|that's|i|i'm|am|we|are|very|most|rather|only|just) )*(?:"
    rf"unknown|unclear|unsure|uncertain|undecided|undetermined|indeterminate|undeterminable|ambiguous"
    rf"|(?:maybe|perhaps|possibly|probably|likely)(?: not)?|unlikely|not {_SURE}(?: .*)?|(?:guess|suppose)(?: so)?"
    rf"|(?:{_CANNOT}|(?:hard|difficult|impossible) to) (?:tell|say|see|know|judge|determine|decide|answer|be sure)(?: .*)?"
    rf"|depends(?: .*)?|partly|partially|sort of|kind of|somewhat|not|or not"
    rf"|not applicable|not known|either|neither|both|no idea|not really|not exactly|in a way|approximately|ish|comment|s[eé]|doch"
    rf"|vielleicht|peut être|quizás?|tal vez|forse|talvez|возможно|наверное|아마도?"
    rf"|但?我?(?:不确定|不確定|不知道)|也许|可能|わからない|分からない|不明|たぶん)"
)
_CHANCE = re.compile(r"\W*\w+\W*(?:with |at |about )?(?!100\b)\d{1,3}(?:[.,]\d+)? ?(?:%|per ?cent)(?: \w+)?\W*")
"""Yes or no with a chance below 100 %."""
_NO_TEXT = re.compile(
    r"(there (is|are) )?(no|none|nothing)( (visible|legible|readable|written))*( (text|texts|words|writing|letters))?"
    r"( ((is|are) )?(visible|legible|readable|written|shown|present|there))?( (in|on) the (image|picture))?\.?",
    re.IGNORECASE,
)
_UNREADABLE_LINE = re.compile(r"(?:unknown|unclear|illegible|unreadable|unsure|uncertain)\s*(?:[,.:;(–-].*)?", re.IGNORECASE)
_CANNOT_BE_READ = re.compile(
    rf"\b(?:I|we|one) (?:am |are )?{_CANNOT}\b|\bI'm (?:not (?:sure|certain)|unable)\b|\bnot (?:legible|readable)\b"
    r"|\bhard to read\b|\b(?:too|so) (?:small|blurry|blurred|dark|faint|distorted)\b"
    r"|\b(?:can ?not|can't|could not|couldn't) be (?:read|made out|seen)\b"
    r"|\b(?:is|are|looks?|seems?|appears?|be|mostly|partly|text) (?:\w+ )?(?:illegible|unreadable|unclear|unknown|garbled)\b"
    r"|看不清|无法|無法|不确定|不確定|读不出|讀不出|読めない|判読"
)
"""In a line that says that the text cannot be read."""
_DOUBTED = re.compile(
    r"^\W*(?:unknown|unclear|illegible|unreadable|likely)\b|_\W+(?:unknown|unclear|illegible|unreadable)\W*$"
    r"|\b(?:unsure|uncertain|not sure|[iI] (?:think|guess|believe))\b"
    r"|\b(?:maybe|perhaps|possibly|probably|might|may be|could be|instead of|rather than|supposed to|meant to)\b"
    r"|\b(?:looks?|sounds?|seems?|appears?) (?:a bit |somewhat |something )?(?:like|similar|to)\b|\b(?:similar|close) to\b"
    r"|\bshould (?:say|read|be|spell)\b|(?:\bnot|n't) (?:say|read|show|contain|spell)\b|\b(?:[iI] see|there (?:is|are)) no\b"
    r"|\b(?:no (?:texts?|words?|signs?|letters|writing|inscription)|without)\b.*_|\b(?:almost|nearly) _|\? *\)|没有写|不是"
    r"|(?:^\W*|(?:,|;|\b(?:is|are|was|but|and|says?|reads?)) )not (?:the \w+ )?_|\b(?:is|are)n't (?:the \w+ )?_"
    r"|_[\"'”»]?(?: (?:is|was|are))? (?:not|never|missing|absent|nowhere)\b|_[\"'”»]? (?:is|was|are)n't\b|_[\"'”»]?,? or\b"
    r"|\b(?:fails? to|anything but|resembl\w+|presumably|expected)\b|(?:看不到|没有|沒有|可能)[是有写着寫著到]*\W*_"
    r"|\b(?:peut-être|vielleicht|quizás?|tal vez|forse|talvez|возможно|наверное)\W*_"
)
"""In a line about a text ("_") that does not say that the text is there."""


MAX_REMARK = 500
"""Characters of a line that are searched for a remark about the text: longer lines are the text itself."""


def yes_or_no(answer: str) -> bool | None:
    """Return True for yes, False for no, and None for neither, for both and for a hedge.

    The first word decides, after "the answer is", unless what follows takes it back ("yes, but no", "no, I am not sure").

    Args:
        answer: in English, or the word for yes or no in another large language.

    Example:
        >>> yes_or_no("Yes, there are two."), yes_or_no("No."), yes_or_no("yes/no"), yes_or_no("No idea")
        (True, False, None, None)
    """
    clauses = _clauses(answer)
    if not clauses:
        return None
    first, *rest = clauses
    word, *more = first.split()
    polarity = _polarity(word)
    if polarity is None or (more and word not in _ENGLISH) or ("?" in answer and _clauses(answer.partition("?")[0]) == [first]):
        return None
    if is_no_answer(first) or _CHANCE.fullmatch(answer[:MAX_CHARACTERS]) or any(map(_HEDGE.fullmatch, (" ".join(more), *rest))):
        return None
    others = [
        *more[:1],
        *_JOINED.findall(first),
        *(again.group(1) for clause in rest if (again := _SECOND_ANSWER.fullmatch(clause))),
    ]
    return None if any(_polarity(other) is (not polarity) for other in others) else polarity


def _clauses(answer: str) -> list[str]:
    """Return the words of each clause of an answer, in lower case, without punctuation, numbers and "the answer is"."""
    clauses = _CLAUSE.split(answer[:MAX_CHARACTERS].casefold().replace("’", "'"))
    words = (" ".join(re.findall(r"[^\W\d_]+(?:'[^\W\d_]+)*", clause)) for clause in clauses)
    return [bare for clause in words if (bare := _LEAD_IN.sub("", clause).strip())]


def _polarity(word: str) -> bool | None:
    return True if word in _YES else False if word in _NO else None


def passes(check: Check, answer: str) -> bool | None:
    """Return whether an answer is the one that a check expects; None if it is unknown or has another form."""
    return FORMS[answer_form(check)].compare(check.expected, answer) if answer.strip() else None


def answer_form(check: Check) -> str:
    """Return the form of the answer to a check, a key of `FORMS`: that of its kind, unless it expects yes or no."""
    form = KINDS[check.kind].form
    closed = check.expected in {"yes", "no"} if form == "text" else yes_or_no(check.expected) is not None
    return "yes or no" if closed else form


def expects_text(check: Check) -> bool:
    """Return whether the answer to a check is a text of the image; other text checks are yes/no ("Is the text legible?")."""
    return answer_form(check) == "text"


def _compare_words(expected: str, answer: str) -> bool | None:
    """Compare yes or no; another expected answer must be given word for word."""
    wanted, polarity = yes_or_no(expected), yes_or_no(answer)
    if _is_hedge(answer) or (wanted is not None and polarity is None):
        return None
    return polarity == wanted if wanted is not None else _bare(answer) == _bare(expected)


def _compare_numbers(expected: str, answer: str) -> bool | None:
    counted, wanted = number(answer), number(expected)
    return None if _is_hedge(answer) or counted is None or wanted is None else counted == wanted


def _is_hedge(answer: str) -> bool:
    """Return whether the first clause of an answer is a hedge."""
    first = next(iter(_clauses(answer)), "")
    return _HEDGE.fullmatch(first) is not None or is_no_answer(first)


def _bare(answer: str) -> str:
    """Return an answer without quotes around it and a full stop, with single spaces, in lower case."""
    return " ".join(answer.strip().strip("\"'“”‘’「」«»").split()).rstrip(".").casefold()


def match_text(expected: str, answer: str) -> TextMatch:
    """Compare the text in an answer with the expected one. Remarks such as "no text" are not text."""
    if _NO_TEXT.fullmatch(answer.strip()) and normalize(answer) != normalize(expected):
        return compare_text(expected, "")
    return compare_text(expected, "\n".join(line for line in answer.splitlines() if not _denies_text(line, expected)))


def _compare_texts(expected: str, answer: str) -> bool | None:
    """Return whether the text is in the lines that are certain; None if it is not, and another line is in doubt."""
    wanted = normalize(expected)
    lines = [line for line in answer.splitlines() if line.strip()]
    certain = [line for line in lines if not _is_doubtful(normalize(line), wanted)]
    passed = match_text(expected, "\n".join(certain)).passed
    return True if passed else False if len(certain) == len(lines) else None


def _is_doubtful(line: str, wanted: str) -> bool:
    """Return whether a line is a remark that a text cannot be read, or may not be the wanted one, rather than the text."""
    if line == wanted or _NO_TEXT.fullmatch(line):
        return False
    about = contains(line, wanted)
    rest = (line.replace(wanted, "_") if about else line)[:MAX_REMARK]
    rest = re.sub(r"\b[A-HJ-Z](?=[a-z])", lambda sign: sign.group().lower(), rest)
    return bool(_UNREADABLE_LINE.fullmatch(line) or _CANNOT_BE_READ.search(rest) or (about and _DOUBTED.search(rest)))


def _denies_text(line: str, wanted: str) -> bool:
    """Return whether a line contains the wanted text only in a remark such as "no text"."""
    if not _NO_TEXT.fullmatch(line.strip()):
        return False
    remark, text = normalize(line), normalize(wanted)
    return remark != text and contains(remark, text)


class AnswerForm(NamedTuple):
    """A form of answers."""

    instruction: str
    """What the verifier is told about answers of this form."""
    given: str
    """What it gives as the answer, in short."""
    compare: Callable[[str, str], bool | None]
    """Takes the expected answer and the one given; returns whether it passes, None if it is unknown."""


FORMS = {
    "yes or no": AnswerForm(
        'A yes/no question: "yes" or "no". "Yes" only if it holds fully and for everything the question names; a thing that is '
        'partly there, of the wrong colour or ambiguous is "no".',
        '"yes", "no"',
        _compare_words,
    ),
    "number": AnswerForm(
        'A "how many" question: the number you count, as a word. Count one by one; count what is cut off by the edge, overlaps '
        "or stands in the background too.",
        "a number as a word",
        _compare_numbers,
    ),
    "text": AnswerForm(
        "A question for text: exactly the characters you can read, mistakes included, not what they were probably meant to be.",
        "the text read",
        _compare_texts,
    ),
}
"""The forms of answers by name, in the order in which the verifier is told about them."""
