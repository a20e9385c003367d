"""The command of the study of lessons."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.markup import escape

from ..errors import SettingError
from ..storage.files import replace_file
from .evaluate_options import (
    Concurrency,
    Data,
    JsonFile,
    Limit,
    Out,
    Runs,
    Seed,
    Seeds,
    Settings,
    fetch_shapes_requests,
    merge_changes,
    print_note,
    split_names,
    table_console,
)
from .options import RUNS, Debug, set_debug


def eval_lessons(
    presets: Annotated[str, typer.Option(help="Presets to compare, separated by commas.")] = "loop-memory,paper,default",
    sweep: Annotated[list[str] | None, typer.Option(help="setting=values, as for benchmarks: plan=none,rewrite.")] = None,
    set_: Settings = None,
    limit: Limit = None,
    data: Data = None,
    seed: Seed = 0,
    seeds: Seeds = 1,
    concurrency: Concurrency = 1,
    out: Out = None,
    json_file: JsonFile = None,
    runs: Runs = RUNS,
    debug: Debug = False,
) -> None:
    """Measure cross-run experience: lessons are learned on one half of the prompts and tried on the other, and the reverse.

    Your own lessons are neither read nor written.
    """
    set_debug(debug)
    from ..errors import PlotError
    from ..evaluation import lessons_study, variants
    from ..evaluation.plots import plot_differences
    from .evaluate_progress import progress_bars
    from .evaluate_report import json_bytes

    axes = [variants.parse_axis(text) for text in sweep or ()]
    if any(a.setting == "lessons" for a in axes):
        raise SettingError("--sweep lessons: this study sets it by itself; compare its values with `gems eval shapes`")
    fixed = merge_changes(variants.parse_changes(set_ or ()), {"lessons": "none"}, "this study")
    compared = variants.make_variants(split_names(presets), axes, fixed)
    options: dict[str, Any] = {
        "limit": limit,
        "data": fetch_shapes_requests(data),
        "seed": seed,
        "seeds": seeds,
        "concurrency": concurrency,
    }
    with progress_bars() as progress:
        result = lessons_study.compare_lessons(compared, out=out, runs=runs, progress=progress, **options)
    screen = table_console()
    screen.print(lessons_study.lessons_table(result))
    results = lessons_study.lessons_to_json(result)
    replace_file(result.folder / "result.json", json_bytes(results))
    repeats = f"{seeds} run{'s' if seeds > 1 else ''} of each prompt"
    facts = [f"gems {result.study.version} (code {result.study.code}), image model {result.study.image}, seed {seed}, {repeats}."]
    replace_file(result.folder / "table.md", lessons_study.lessons_markdown(result, facts).encode())
    title = f"with lessons minus without: {result.prompts} prompts, {repeats}, 95 % bootstrap intervals"
    try:
        plot_differences([(c.name, c.differences) for c in result.compared], result.folder / "plot.png", title)
    except PlotError as error:
        print_note(error)
    screen.print(f"records, lessons and tables: {escape(str(result.folder))}", highlight=False, soft_wrap=True)
    if json_file is not None:
        replace_file(json_file, json_bytes(results))
