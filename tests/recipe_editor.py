"""An editor that writes a skill about folded paper, as an author would: python recipe_editor.py SKILL.md REFERENCE.md."""

import sys
from pathlib import Path

HEAD = """\
---
name: origami
description: Makes folded paper look folded. Use it when the request asks for origami. Do not use it for books.
license: Apache-2.0
---

# Origami

Folded paper has flat facets, sharp creases and no glue.

## Use it, or leave it

Use it for origami. Leave it for a paper boat on a sign (leave it for text-rendering).

## Method

"""
TAIL = """
More folds: `references/folds.md`.

## Examples

Request: an origami crane

Prompt: a crane folded from one square of red paper, sharp creases, flat facets, on a plain table

Request: a paper fox with a banner "HELLO"

Prompt: a fox folded from orange paper, sharp creases, holding a paper banner that says "HELLO"

Request: a book on a table (leave it)

Prompt: a book on a table

## When a check fails

Name the creases first.

## Check yourself

One sheet, no scissors, no glue.
"""

skill, reference = map(Path, sys.argv[1:])
skill.write_text(HEAD + "".join(f"{n}. Fold number {n} is a straight crease.\n" for n in range(1, 36)) + TAIL)
reference.write_text("# Folds\n\nValley, mountain, reverse.\n")
