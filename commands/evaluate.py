"""The commands `gems eval`: run a benchmark, and score, show, export or import a study."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from ..errors import SettingError
from ..evaluation.benchmarks.registry import REGISTRY
from ..terminal import Console
from .evaluate_options import (
    EngineArgs,
    JudgeArgs,
    PromptArgs,
    StudyModelArgs,
    StudyOutputArgs,
    TableArgs,
    VariantArgs,
    image_store_at,
)
from .options import ConfigFile, DryRunArgs, Images, path_argument, path_option
from .signature import command

eval_app = typer.Typer(help="Measure presets, settings and nodes of your own on benchmarks.", no_args_is_help=True)


def eval_benchmark(
    ctx: typer.Context,
    *,
    variants: VariantArgs,
    prompts: PromptArgs,
    models: StudyModelArgs,
    judge: JudgeArgs,
    execution: EngineArgs,
    output: StudyOutputArgs,
    estimate: DryRunArgs,
) -> None:
    """Compare presets, or values of any setting, on a benchmark. The same command resumes a study that was stopped."""
    from ..evaluation.judges.registry import judge_of
    from ..evaluation.runner import plan_study
    from ..evaluation.study import StudyFiles, compare
    from .evaluate_progress import progress_bars
    from .evaluate_report import show_estimate, show_study

    bench = judge.benchmark(str(ctx.info_name))
    compared = variants.variants("original,best-of-n,paper,default" if bench.name == "shapes" else "original,default")
    file = models.config_of()
    asked = prompts.prompts(bench)
    if estimate.dry_run:
        show_estimate(plan_study(compared, asked, chat=file.chats, image=file.image), estimate.checks)
        return
    wanted = judge.judge if judge.judge is not None else file.judge
    with progress_bars() as progress:
        result = compare(
            compared,
            asked,
            chat=file.chats,
            image=file.image,
            judge=None if wanted is None else judge_of(wanted, concurrency=max(8, execution.concurrency)),
            base=output.base,
            files=StudyFiles(output.out, output.runs, variants.study_name(bench.name), output.store),
            execution=execution.execution(progress),
        )
    show_study(result, paper=output.against is not None, json_file=output.json_file)
    if not any(record.image for record in result.records.values()):
        raise typer.Exit(1)  # a table of zeros: the exit status tells scripts


def eval_score(
    folder: Annotated[Path, path_argument(help="Folder of the study.")],
    concurrency: Annotated[int, typer.Option(min=1, help="Questions to the judge at the same time.")] = 8,
    config: ConfigFile = None,
    *,
    judge: JudgeArgs,
    table: TableArgs,
) -> None:
    """Judge the images of a study, by its judge or by another one; questions with a recorded answer are not asked again."""
    from ..config import load_config
    from ..evaluation.judges.registry import judge_of
    from ..evaluation.run_records import read_definition
    from ..evaluation.study import score_study
    from .evaluate_progress import progress_bars

    bench = judge.benchmark(read_definition(folder).benchmark)
    wanted = judge.judge or load_config(config).judge or ("perception" if "perception" in bench.judges else None)
    if wanted is None:
        raise SettingError(
            "name a judge: --judge http://HOST/v1#MODEL, openai:MODEL or rapidocr, or [judge] in the file of --config"
        )
    with progress_bars() as progress:
        scorer = judge_of(wanted, concurrency=concurrency)
        score_study(folder, scorer, benchmark=bench, store=table.store, concurrency=concurrency, progress=progress)
    _show_folder(folder, table)


def _show_folder(folder: Path, table: TableArgs) -> None:
    """Print the tables of a study, and write its files."""
    from ..evaluation.study import load_study
    from .evaluate_report import show_study

    show_study(load_study(folder, table.base, store=table.store), paper=table.against is not None, json_file=table.json_file)


def eval_table(folder: Annotated[Path, path_argument(help="Folder of the study.")], *, table: TableArgs) -> None:
    """Show the tables of a study and write its files again, without calling a model."""
    _show_folder(folder, table)


def eval_export(
    folder: Annotated[Path, path_argument(help="Folder of the study.")],
    to: Annotated[Path, path_option(help="Parent of a new folder for each variant.")] = Path("export"),
    layout: Annotated[
        str | None, typer.Option(help="Benchmark whose official scorer is to read it; the study's own by default.")
    ] = None,
    variant: Annotated[list[str] | None, typer.Option(help="Only this variant; may be repeated.")] = None,
    image_store: Images = None,
) -> None:
    """Export the images of a study in the layout of the benchmark's official scorer."""
    from ..evaluation.official_scorers import export_images

    store = image_store_at(image_store)
    for name, (place, notes) in export_images(folder, to, layout=layout, variants=variant, store=store).items():
        Console().print(f"{escape(name)}: {escape(str(place))}", highlight=False, soft_wrap=True)
        for line in notes:
            Console().print(f"  {escape(line)}", highlight=False, soft_wrap=True)


def eval_import(
    folder: Annotated[Path, path_argument(help="Folder of the study.")],
    file: Annotated[Path, path_argument(help="The result file of the official scorer.")],
    variant: Annotated[
        str | None, typer.Option(help="The variant whose images it scored; not needed if there is only one.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Of a study with --seeds: the number in the name of the exported folder.")
    ] = None,
    *,
    table: TableArgs,
) -> None:
    """Import the result file of an official scorer into a study."""
    from ..evaluation.official_scorers import import_results

    taken = import_results(folder, file, variant, seed=seed)
    Console().print(f"{taken} images or prompts have official numbers now.", highlight=False)
    _show_folder(folder, table)


for name, entry in REGISTRY.items():
    eval_app.command(name, help=f"{entry.about} {eval_benchmark.__doc__}", short_help=entry.about)(command(eval_benchmark))
for name, function in (
    *(("score", eval_score), ("table", eval_table)),
    *(("export", eval_export), ("import", eval_import)),
):
    eval_app.command(name)(command(function))
