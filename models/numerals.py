"""Parse numbers in answers, in digits and in words of many languages.

An answer that hedges ("about three", "fewer than three", "two or three") states no number. English numbers are found anywhere;
numbers of other languages only at the start of a short answer, since "once" and "elf" are English words too.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

_UNITS = str.split(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen "
    "nineteen"
)
NUMBER_WORDS = (*_UNITS, "twenty")
"""From zero on."""
_TENS = str.split("twenty thirty forty fifty sixty seventy eighty ninety")

_LANGUAGES = (
    # From 0 to 20, the tens from 30 on, and how a unit is put to a ten.
    ("cero uno dos tres cuatro cinco seis siete ocho nueve diez once doce trece catorce quince dieciséis diecisiete dieciocho "
     "diecinueve veinte", "treinta cuarenta cincuenta sesenta setenta ochenta noventa", "{ten} y {unit}"),
    ("zero um dois três quatro cinco seis sete oito nove dez onze doze treze quatorze quinze dezesseis dezessete dezoito dezenove "
     "vinte", "trinta quarenta cinquenta sessenta setenta oitenta noventa", "{ten} e {unit}"),
    ("zéro un deux trois quatre cinq six sept huit neuf dix onze douze treize quatorze quinze seize dix-sept dix-huit dix-neuf "
     "vingt", "trente quarante cinquante soixante", "{ten} {unit}"),
    ("null eins zwei drei vier fünf sechs sieben acht neun zehn elf zwölf dreizehn vierzehn fünfzehn sechzehn siebzehn achtzehn "
     "neunzehn zwanzig", "dreißig vierzig fünfzig sechzig siebzig achtzig neunzig", "{unit}und{ten}"),
    ("zero uno due tre quattro cinque sei sette otto nove dieci undici dodici tredici quattordici quindici sedici diciassette "
     "diciotto diciannove venti", "trenta quaranta cinquanta sessanta settanta ottanta novanta", "{ten}{unit}"),
    ("nul een twee drie vier vijf zes zeven acht negen tien elf twaalf dertien veertien vijftien zestien zeventien achttien "
     "negentien twintig", "dertig veertig vijftig zestig zeventig tachtig negentig", "{unit}en{ten}"),
    ("ноль один два три четыре пять шесть семь восемь девять десять одиннадцать двенадцать тринадцать четырнадцать пятнадцать "
     "шестнадцать семнадцать восемнадцать девятнадцать двадцать",
     "тридцать сорок пятьдесят шестьдесят семьдесят восемьдесят девяносто", "{ten} {unit}"),
    ("영 하나 둘 셋 넷 다섯 여섯 일곱 여덟 아홉 열", "", ""),
    ("ゼロ ひとつ ふたつ みっつ よっつ いつつ むっつ ななつ やっつ ここのつ とお", "", ""),
)  # fmt: skip
_MORE_SPELLINGS = {
    "una": 1, "une": 1, "ein": 1, "eine": 1, "uma": 1, "duas": 2, "одна": 1, "две": 2, "catorze": 14, "veintiuno": 21,
    "veintidós": 22, "veintitrés": 23, "veinticuatro": 24, "veinticinco": 25, "veintiséis": 26, "veintisiete": 27,
    "veintiocho": 28, "veintinueve": 29, "vingt et un": 21, "trente et un": 31, "quatre-vingt": 80, "quatre-vingts": 80,
    "einundzwanzig": 21, "einunddreißig": 31, "한": 1, "두": 2, "세": 3, "네": 4,
}  # fmt: skip
_NONES = str.split("keine kein aucun aucune ninguno ninguna nenhum nenhuma nessuno nessuna geen ingen")
_NO_NUMBERS = {"null", "nul"}
"""Zero in German and Dutch, and what a program writes where it has no answer."""
_ALONE = {*str.split("once elf due sei doze um tre een acht venti otto uno un sept"), *_NONES}
"""Words that count only as the whole answer: English words too, and "none", since "aucune idée" is no number."""
_NO_COUNT = {
    *str.split(
        "environ maximum minimum max min maximo minimo aproximadamente mindestens hochstens ungefahr circa plus mehr mas mais"
    ),
    *str.split("o ou oder of или примерно cent cents mille mil hundert tausend honderd duizend million millions millones сто"),
    *str.split("vielleicht quizas quiza peut forse talvez возможно наверное"),
    *str.split("тысяча тысячи тысяч prozent procent процент процента процентов"),
}
"""Words after a number that change it, or make it a guess."""

_HAN = {sign: value for value, signs in enumerate(str.split("零〇 一 二两兩 三 四 五 六 七 八 九")) for sign in signs}
_DIGIT = "[一二两兩三四五六七八九]"
_HAN_RUN = re.compile("[零〇一二两兩三四五六七八九十百千万萬亿億]+")
_HAN_NUMBER = re.compile(f"(?:(?P<h>{_DIGIT})百零?)?(?:(?P<t>{_DIGIT})?(?P<ten>十))?(?P<u>{_DIGIT}|[零〇])?")
_HAN_NO_COUNT = re.compile(
    "[三四五六七八九十](?:角形?|边形|邊形|芒)|一(?:些|样|樣|起|共|下|直|般|切|定|边|邊|种|種|致|旁|部分)|统一|統一|唯一|十分|十字|百分|第[一二三四五六七八九十百]+"
)
_HAN_HEDGE = re.compile(
    "好像|应该|應該|看起来|看起來|吗|嗎|大约|大約|大概|约|約|左右|至少|最多|起码|不到|不足|超过|超過|少于|少於|多于|多於|以上|以下|以内|以內|可能|也许|也許|不是|不确定|不確定|不知|无法|無法"
    "|几|幾|或|分之|余|多个|多個|未満|未满|并非|並非|第[0-9]|ほど|くらい|ぐらい|わから|分から|不明|たぶん|ではな|じゃな"
)
_HAN_NONE = re.compile("(?:没有?|沒有?|无|無)(?![法效])|な[しい]|ありません|없")

_WORD = "|".join([*sorted(_UNITS, key=len, reverse=True), *_TENS, "hundred", "thousand", "million", "billion", "dozen"])
_RUN = re.compile(
    r"(?<![\w'])(?:(?:half )?an? (?=hundred|thousand|million|billion|dozen))?"
    rf"(?:{_WORD})(?:(?:[\s-]| and )(?:{_WORD}))*(?![\w']|-[^\W\d_])|\d+(?:,\d{{3}})*"
)
_ANYWHERE = re.compile(
    r"\b(?:unknown|unclear|unsure|uncertain|maybe|perhaps|possibly|probably|likely|approximately|approx|roughly|circa|estimated?"
    r"|guess(?:ing)?|might|may be|could be|could(?: not|n't)|can(?:no|')t|can not|not (?:sure|certain|clear)|unable|hard to"
    r"|difficult to|impossible|(?:do not|don't) know|several|countless|numerous|innumerable)\b|\?\s*$"
)
_FIRST = re.compile(r"\W*(?:many|few|a few|some|a lot|lots|too many|no idea)\b")
_BEFORE = re.compile(
    r"(?:\b(?:than|at (?:least|most)|about|around|nearly|almost|over|under|above|below|beyond|up to|minus|negative|some|close to"
    r"|as (?:many|few) as|between|maximum(?: of)?|minimum(?: of)?|more|fewer|less|or"
    r"|upwards of|in excess of|anywhere from|option)\s*|[~≈<>≤≥±]\s*|[-−+$€£#]|\d[./:,])$"
)
_DENIED = re.compile(r"(?:\b(?:not|never|without|no|nor)\b|n't\b)[^,.;:!?\n]*$")
_AFTER = re.compile(
    r"[\s,]*(?:[+%‰°?]|odd\W*$|(?:hundred|thousand|million|billion|dozen|per ?cent|plus|ish|min(?:imum)?|max(?:imum)?"
    r"|(?:or|and) (?:so|more|fewer|less|even|a half|a bit)|at (?:least|most|a min\w*|a max\w*)|more or less|give or take|something"
    r"|thirds?|quarters?|halves|[ap]m)\b)|[/:.,]\d|-ish\b"
)
_PART = re.compile("-?[a-zß-ÿа-я]")
"""A number that begins a word: "3rd", "3D", "three-legged" count nothing."""
_NONE = re.compile(r"\W*(?:there (?:is|are) |i (?:see|count) |the answer is |zero\W+)*(no|none|nothing)\b")
_NO_ANSWER = re.compile(
    r"\W*(?:there (?:is|are) )*no (?:idea|clue|answer|opinion|information|data|way|judge?ment|certainty|response|result"
    r"|verdict|means|telling|doubt|input|one (?:can|could|knows)|sé\b|lo s[eéo]\b|estoy|(?:images?|pictures?|photos?|files?)"
    r"(?: (?:was|is|has been|have been))?(?: (?:given|provided|attached|available|included|supplied|received|sent)|\W*$))"
)

MAX_CHARACTERS = 2000
"""Characters of an answer that are searched for a number, or yes or no."""


def parse_number(text: str) -> int | None:
    """Parse a text that is a number and nothing else: `3`, `three`, `thirty-three`, `三`, `dos`; None where it is no number.

    Args:
        text: in digits or words, from 0 to 999 in English, to 999 in Han signs, to 99 in the large European languages.

    Example:
        >>> parse_number("twenty-five"), parse_number("二十五"), parse_number("treinta"), parse_number("3 cats")
        (25, 25, 30, None)
    """
    word = text.casefold().strip(" .,*\"'")
    if re.fullmatch(r"\d{1,3}(?:,\d{3}){1,2}|\d{1,9}", word):
        return int(word.replace(",", ""))
    if _HAN_RUN.fullmatch(word):
        return _parse_han(word)
    return _spellings().get(_normalize(word)) if len(word) < 60 else None


def number(answer: str) -> int | None:
    """Return the number that an answer states; None where it states no number, several, or hedges.

    Args:
        answer: such as `three`, `There are 3.` or `三个`.

    Example:
        >>> number("thirty-three circles"), number("fewer than three"), number("none")
        (33, None, 0)
    """
    if any(unicodedata.category(sign) == "No" for sign in answer[:MAX_CHARACTERS]):  # ½, ²: as digits they would be others
        return None
    text = unicodedata.normalize("NFKC", answer[:MAX_CHARACTERS]).casefold().replace("’", "'")
    if is_no_answer(text) or _ANYWHERE.search(text) or _FIRST.match(text):
        return None
    stated = set(_english_numbers(text))
    if not stated:
        return _stated_in_han(text) if _HAN_RUN.search(text) or _HAN_NONE.search(text) else _stated_in_other_language(text)
    if _HAN_HEDGE.search(text):
        return None
    if _NONE.match(text):
        return 0 if stated == {0} else None
    return stated.pop() if len(stated) == 1 else None


def is_no_answer(answer: str) -> bool:
    """Return whether an answer begins with a "no" that answers nothing: "no idea", "no image was given"."""
    return _NO_ANSWER.match(answer[:MAX_CHARACTERS].casefold()) is not None


def _english_numbers(text: str) -> Iterator[int | None]:
    """Yield the numbers of a text in digits or English words; None for one that is hedged or denied, 0 for "none"."""
    if _NONE.match(text):
        yield 0
    for run in _RUN.finditer(text):
        before, after = text[max(0, run.start() - 80) : run.start()], text[run.end() : run.end() + 20]
        if _AFTER.match(after) or _BEFORE.search(before) or _DENIED.search(before):
            yield None
        elif not _PART.match(after) and not before[-1:].isalpha():
            yield parse_number(run.group())


def _stated_in_han(text: str) -> int | None:
    text = _HAN_NO_COUNT.sub(" ", text)
    none = _HAN_NONE.search(text)
    numbers = {_parse_han(run.group()) for run in _HAN_RUN.finditer(text)}
    if _HAN_HEDGE.search(text) or (none and numbers):
        return None
    if none:
        return 0 if not text[: none.start()].strip(" 「」\"'") else None
    return numbers.pop() if len(numbers) == 1 else None


def _parse_han(word: str) -> int | None:
    match = _HAN_NUMBER.fullmatch(word)
    if match is None or not any(match.groups()):
        return None
    hundreds, tens, ten, unit = (match.group(name) for name in ("h", "t", "ten", "u"))
    if unit in ("零", "〇") and (hundreds or ten):
        return None
    return 100 * _HAN.get(hundreds or "", 0) + (10 * (_HAN[tens] if tens else 1) if ten else 0) + _HAN.get(unit or "", 0)


def _stated_in_other_language(text: str) -> int | None:
    """Return the number of another language at the start of a short answer: "trois cercles"."""
    words = re.findall(r"[^\W\d_]+", _without_accents(text))[:8]
    if re.search(rf"[%‰°~≈<>≤≥±+?/]|^\W*[-−]|^\W*(?:{_WORD})\b", text):
        return None
    for size in (3, 2, 1):
        value, rest = _spellings().get(" ".join(words[:size])), words[size:]
        if len(words) >= size and value is not None:
            doubtful = len(rest) > (0 if words[0] in _ALONE else 1) or any(
                word in _NO_COUNT or word in _spellings() for word in rest
            )
            return None if doubtful else value
    return None


_SPELLINGS: dict[str, int] = {}


def _spellings() -> dict[str, int]:
    """Return the value of each spelling of a number, computed once."""
    if not _SPELLINGS:
        values = {_normalize(word): value for word, value in _each_spelling()}
        _SPELLINGS.update({word: value for word, value in values.items() if word not in _NO_NUMBERS})
    return _SPELLINGS


def _each_spelling() -> Iterator[tuple[str, int]]:
    for words, tens, joined in _LANGUAGES:
        small, large = words.split(), tens.split()
        yield from ((word, value) for value, word in enumerate(small))
        for value, ten in enumerate(large, 3):
            yield ten, 10 * value
        for value, ten in [(2, small[20]), *enumerate(large, 3)] if joined else ():
            yield from ((joined.format(ten=ten, unit=small[unit]), 10 * value + unit) for unit in range(1, 10))
    yield from (*_MORE_SPELLINGS.items(), *((word, 0) for word in _NONES))
    below = [*_UNITS, *(f"{ten} {_UNITS[unit]}" if unit else ten for ten in _TENS for unit in range(10))]
    yield from ((word, value) for value, word in enumerate(below))
    for hundred, count in [("a", 1), *zip(below[1:10], range(1, 10), strict=True)]:
        yield f"{hundred} hundred", 100 * count
        for n, word in enumerate(below[1:], 1):
            yield from ((f"{hundred} hundred{link}{word}", 100 * count + n) for link in (" ", " and "))
    yield from (("hundred", 100), ("dozen", 12), ("a dozen", 12), ("half a dozen", 6), ("two dozen", 24), ("three dozen", 36))


def _normalize(word: str) -> str:
    return _without_accents(" ".join(re.split(r"[\s-]+", word.casefold())))


def _without_accents(text: str) -> str:
    apart = unicodedata.normalize("NFKD", text)
    return unicodedata.normalize("NFKC", "".join(sign for sign in apart if not unicodedata.combining(sign))).casefold()
