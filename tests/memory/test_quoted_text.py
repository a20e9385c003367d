"""Quoted text: a table of requests and of what the image must show word for word."""

import time

import pytest

from gems.memory.quoted_text import quoted_strings, quotes, replace_quotes
from gems.nodes import decomposer
from gems.nodes.quote_guard import restore_quoted

MARKS = [
    ('a sign "OPEN"', ["OPEN"]),
    ("a sign “OPEN”", ["OPEN"]),
    ("a sign ‟OPEN”", ["OPEN"]),
    ("ein Schild „Offen“", ["Offen"]),
    ("szyld „Otwarte”", ["Otwarte"]),
    ('ein Schild „Offen"', ["Offen"]),
    ("ein Schild »Offen« darauf", ["Offen"]),
    ("en skylt med ”Öppet”", ["Öppet"]),
    ("kyltti, jossa lukee ”Auki” ja ”Kiinni”", ["Auki", "Kiinni"]),
    ("kyltti, jossa lukee »Auki»", ["Auki"]),
    ("une enseigne « Ouvert »", ["Ouvert"]),
    ("une enseigne «\u00a0Ouvert\u202f»", ["Ouvert"]),
    ("вывеска «Открыто»", ["Открыто"]),
    ('вывеска "Открыто"', ["Открыто"]),
    ("вывіска „Відчинено“ і «Зачинено»", ["Відчинено", "Зачинено"]),
    ("a card in ‹Two› words", ["Two"]),
    ("eine Karte ›Zwei‹", ["Zwei"]),
    ("ein Band ›Eins‹ und ›Zwei‹", ["Eins", "Zwei"]),
    ("a board ❝Specials❞", ["Specials"]),
    ("tábla „Nyitva” és »Zárva«", ["Nyitva", "Zárva"]),
    ("табела „Отворено“", ["Отворено"]),
    ("πινακίδα «Ανοιχτό»", ["Ανοιχτό"]),
    ("bir tabela “Açık”", ["Açık"]),
    ('bir tabelada "AÇIK" yazıyor', ["AÇIK"]),
    ("un letrero «Abierto» y otro “Cerrado”", ["Abierto", "Cerrado"]),
    ('uma placa com "Aberto"', ["Aberto"]),
    ('mixed “Two" and “Three”', ["Two", "Three"]),
    ('mixed "Two” and a plain word', ["Two"]),
    ("sloppy “A“ and “B“", ["A", "B"]),
    ("nested “say “hi” twice” here", ["say “hi” twice"]),
    ('one in another «the "best" pie»', ['the "best" pie']),
    ("one in another “the ‘best’ pie”", ["the ‘best’ pie"]),
    ("two of one kind 「a」と「b」", ["a", "b"]),
]
SCRIPTS = [
    ('写着"欢迎光临"', ["欢迎光临"]),
    ('木牌上写着"欢迎光临"四个字，黑板上写着"第一课"。', ["欢迎光临", "第一课"]),
    ('上面写着"SALE"和"50%"的海报', ["SALE", "50%"]),
    ('标题"未来已来"AI海报，副标题"智能"2024', ["未来已来", "智能"]),
    ('T恤上写着LOVE"爱"', ["爱"]),
    ('一台55"电视和一台27"显示器，写着"你好"', ["你好"]),
    ("写着“欢迎光临”的招牌", ["欢迎光临"]),
    ("写着”欢迎光临”的招牌", ["欢迎光临"]),
    ("写着”欢迎光临“的招牌", ["欢迎光临"]),
    ("牌子写着＂开门＂", ["开门"]),
    ("匾額寫著「天道酬勤」", ["天道酬勤"]),
    ("匾額寫著『天道酬勤』", ["天道酬勤"]),
    ("看板に『営業中』と書いてある", ["営業中"]),
    ('看板に"営業中"と書いてある', ["営業中"]),
    ("看板に「『A』という店」と書いてある", ["『A』という店"]),
    ("縦書きで﹁祭﹂", ["祭"]),
    ("縦書きで﹃夏﹄", ["夏"]),
    ("半角の｢ｵｰﾌﾟﾝ｣", ["ｵｰﾌﾟﾝ"]),
    ("縦書きで〝大安売り〟", ["大安売り"]),
    ("縦書きで〝大安売り〞", ["大安売り"]),
    ('간판에 "열림"이라고 적혀 있다', ["열림"]),
    ("간판에 “열림”이라고 적혀 있다", ["열림"]),
    ('"열림"과 "닫힘"이라는 두 글자', ["열림", "닫힘"]),
    ('ป้ายเขียนว่า"เปิด"อยู่หน้าร้าน', ["เปิด"]),
    ('ป้ายเขียนว่า "เปิด"', ["เปิด"]),
    ('ប៉ាន់ណូសរសេរថា"បើក"', ["បើក"]),
    ('दुकान पर "खुला" लिखा है', ["खुला"]),
    ('கடையில் "திற"என்று எழுதப்பட்டுள்ளது', ["திற"]),
    ('لافتة كتب عليها "مفتوح" بالأحمر', ["مفتوح"]),
    ("لافتة كتب عليها «مفتوح»", ["مفتوح"]),
    ('تابلویی با نوشته‌ی «باز است» و "بسته"', ["باز است", "بسته"]),
    ('שלט שכתוב עליו "פתוח"', ["פתוח"]),
    ("שלט שכתוב עליו ״פתוח״", ["פתוח"]),
    ('חייל צה"ל ליד שלט "פתוח"', ["פתוח"]),
    ('biển hiệu ghi "MỞ CỬA"', ["MỞ CỬA"]),
    ("მაღაზია „ღიაა“", ["ღიაა"]),
    ('խանութ "Բաց է"', ["Բաց է"]),
]
LINES = [
    ('a poem "Roses are red,\nviolets are blue." and a jar "INK"', ["Roses are red, violets are blue.", "INK"]),
    ("a poem “Roses are red,\r\nviolets are blue.”", ["Roses are red, violets are blue."]),
    ("一首诗「春眠不觉晓\n处处闻啼鸟」", ["春眠不觉晓 处处闻啼鸟"]),
    ("a card “First verse\n\nsecond verse”", ["First verse second verse"]),
    ('a card "GRAND\n  SALE"', ["GRAND SALE"]),
    ('a 5" shelf, then\nanother one of 6" and "OPEN"', ["OPEN"]),
    ('not closed "\nand a sign "OPEN"', ["OPEN"]),
    ('a sign "OPEN\nand a sign "CLOSED"', ["CLOSED"]),
    (r'a card "HELLO\nWORLD"', ["HELLO WORLD"]),
    (r'a card "line one\r\nline two"', ["line one line two"]),
    (r'a terminal with "C:\new\table"', [r"C:\new\table"]),
    (r'a board with "\nabla f = 0"', [r"\nabla f = 0"]),
    ('  "  spaced   out  "  on a wall', ["spaced out"]),
]
ESCAPES = [
    (r"a sign \"OPEN\" on the door", ["OPEN"]),
    (r"a sign \"OPEN\", one \"SHUT\".", ["OPEN", "SHUT"]),
    (r"写着\"欢迎\"的牌子", ["欢迎"]),
    ('one that says ""SHUT"".', ["SHUT"]),
    ('one that says """SHUT""".', ["SHUT"]),
    ('"a sign ""OPEN"" on a shop"', ["OPEN"]),
    ('"a sign ""OPEN"""', ["OPEN"]),
    ('"a shop, sign \\"OPEN\\", at night"', ["OPEN"]),
    ('_"OPEN"_ and **"SHUT"** and *“Bar”*', ["OPEN", "SHUT", "Bar"]),
    ('`"OPEN"` in neon', ["OPEN"]),
    ('nothing: "" and “” and 「」', []),
]
NEAR_MISSES = [
    ('a 5" nail next to a 6" nail, „Offen“', ["Offen"]),
    ('a 27" monitor that shows "HELLO" above a 24"x36" poster', ["HELLO"]),
    ("a 5” nail and a 6” nail", []),
    ("Menu » Settings › Display", []),
    ("rock 'n' roll, the '90s, a 'label' in single quotes", []),
    ('a menu: "Soup", "Salad"; "Tea"', ["Soup", "Salad", "Tea"]),
    ('"OPEN": red letters, "SHUT": blue letters', ["OPEN", "SHUT"]),
    ('signs "OPEN"/"SHUT" and ("EXIT")', ["OPEN", "SHUT", "EXIT"]),
    ('a sign "OPEN 24/7", not "" but "OPEN 24/7" again', ["OPEN 24/7"]),
    ('the equation "E=mc²" and the price "$5.99"', ["E=mc²", "$5.99"]),
    ('below it the description: "For dedicated service"', ["For dedicated service"]),
    ('Top left: "SALE"\nTop right: "50% OFF"\nBottom: "Today"', ["SALE", "50% OFF", "Today"]),
    ('招牌("欢迎")', ["欢迎"]),
    ('a sign ("OPEN":1.3) in neon', ["OPEN"]),
    ('"HELLO"', ["HELLO"]),
    ('"你好"', ["你好"]),
    ('"a red fox reading a newspaper in the snow"', []),
    ("“a red fox reading a newspaper in the snow”", []),
    ('"a red fox" and "a hen"', ["a red fox", "a hen"]),
]
STRUCTURED = [
    ('{"subject": "a red fox", "style": {"medium": "watercolour", "mood": "calm"}, "text": "OPEN"}', ["OPEN"]),
    ('{"subject": "a red fox", "colors": ["red", "white"]}', []),
    ('{"texts": ["OPEN", "SHUT"], "palette": ["red"]}', ["OPEN", "SHUT"]),
    ('{"text": {"content": "OPEN", "font": "bold", "color": "red"}}', ["OPEN"]),
    ('{"elements": [{"type": "text", "content": "x"}, {"type": "sign", "text": "OPEN"}]}', ["OPEN"]),
    ('{"headline": "Big Sale", "slogan": "Only today", "background": "beach"}', ["Big Sale", "Only today"]),
    ('{"logo_text": "ACME", "alt_text": "a logo", "textStyle": "bold", "signText": "IN"}', ["ACME", "IN"]),
    ('{"text": "none", "caption": "", "label": "no text"}', []),
    (r'{"prompt": "a shop with a sign \"OPEN\"", "negative_prompt": "the word \"SALE\""}', ["OPEN"]),
    ('{"prompt": "a shop with a sign “OPEN” and 「茶」"}', ["OPEN", "茶"]),
    (r'{"text": "a sign that reads \"OPEN\" in red"}', ["OPEN"]),
    ('{"主体": "狐狸", "文字": "欢迎"}', ["欢迎"]),
    ('{\n  "scene": "a café",\n  "title": "Chez\\nLuc"\n}', ["Chez Luc"]),
    (r"{\"subject\": \"a fox\", \"text\": \"OPEN\"}", ["OPEN"]),
    ('draw this: {"subject": "a fox", "text": "OPEN"} with a frame "2024"', ["OPEN", "2024"]),
    ('{"subject": "a fox", "text": "OPEN", "style": "oil', ["OPEN"]),
    ('[{"subject": "a fox"}, {"text": "OPEN"}]', ["OPEN"]),
    ('```json\n{"subject": "a fox", "caption": "OPEN"}\n```', ["OPEN"]),
    ('"subject": "a fox", "text": "OPEN"', ["OPEN"]),
    ('subject: "a fox"\nstyle: "watercolour"\ntext: "OPEN"', ["OPEN"]),
    ('style: "oil", mood: "calm", sign: "OPEN"', ["OPEN"]),
    ('<rect fill="red" width="5"/> beside <text font="serif">OPEN</text>', []),
    ('<sign text="OPEN" color="red"/>', ["OPEN"]),
    ('a page <div class="card">with a button "Buy"</div>', ["Buy"]),
    ('fill="red" stroke="blue" text="OPEN"', ["OPEN"]),
    ("a fox <lora:ink:0.8>, \"OPEN\"", ["OPEN"]),
    ('"arms up"++ and "blue"-- and a sign "OPEN"', ["OPEN"]),
    ('("a cat", "a dog").blend(0.7, 0.3)', []),
    ('"a cat".swap("a dog") by a sign "OPEN"', ["OPEN"]),
    ('print("hello") on a screen', []),
    ('load("a.png", mode="rgb"), then a sign "OPEN"', ["OPEN"]),
    ('```python\nx = "a"\nprint(x, "b")\n```\nbeside a sign "OPEN"', ["OPEN"]),
    ('a fox --style raw --no "text, blur" --ar 3:2', []),
    ("{red|blue} fox, __animal__, (soft:1.2), [cat:dog:0.5]", []),
]  # fmt: skip


@pytest.mark.parametrize(("prompt", "texts"), [*MARKS, *SCRIPTS, *LINES, *ESCAPES, *NEAR_MISSES, *STRUCTURED])
def test_what_a_request_quotes(prompt, texts):
    assert quoted_strings(prompt) == texts
    for quote in quotes(prompt):
        assert 0 <= quote.start < quote.end <= len(prompt)


@pytest.mark.parametrize(("prompt", "texts"), [*MARKS, *SCRIPTS, *LINES, *ESCAPES])
def test_what_a_request_quotes_survives_a_rewrite_and_is_quoted_again(prompt, texts):
    rewritten, restored = restore_quoted("Some wall.", prompt)
    assert restored == texts
    assert quoted_strings(rewritten) == texts
    assert restore_quoted(rewritten, prompt)[1] == []


def test_a_json_request_becomes_one_check_of_text():
    request = STRUCTURED[0][0]
    update = decomposer.parse(decomposer.Checks(checks=[]), request)
    assert [check.expected for check in update["checks"] if check.kind == "text"] == ["OPEN"]
    assert restore_quoted(request, request) == (request, [])


def test_quoted_text_is_replaced_where_it_stands():
    assert replace_quotes('a "b" c 「d」e', lambda quote: f"<{quote.text}>") == "a <b> c <d>e"
    assert replace_quotes("no quotes", lambda quote: "x") == "no quotes"


@pytest.mark.parametrize(
    "part", ['"', "“", "»", '{"', '{"a":', '\\"', '""', "<a ", 'a="', "f(", '"a" ', "「", "a.", "a_", '"\n', "```x\n"]
)
def test_no_request_takes_long(part):
    begun = time.process_time()
    quoted_strings(part * (8_000 // len(part)))
    assert time.process_time() - begun < 1
