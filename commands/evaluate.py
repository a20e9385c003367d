"""The commands `gems eval`: run a benchmark, and score, show, export or import a study."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from ..errors import SettingError
from ..evaluation.benchmarks.registry import REGISTRY
from ..terminal import Console
from .evaluate_options import (
    Base,
    Concurrency,
    Data,
    ExactYes,
    JsonFile,
    JudgeSpec,
    Limit,
    Out,
    Paper,
    Runs,
    Seed,
    Seeds,
    Settings,
    image_store_at,
    includes_paper,
    print_note,
    split_names,
)
from .options import (
    RUNS,
    Batch,
    Chat,
    ConfigFile,
    Debug,
    Device,
    Dtype,
    Images,
    ImageSpec,
    Offload,
    path_argument,
    path_option,
    set_debug,
)

eval_app = typer.Typer(help="Measure presets and settings on benchmarks.", no_args_is_help=True)


def eval_benchmark(
    ctx: typer.Context,
    presets: Annotated[
        str | None,
        typer.Option(
            help="Presets to compare, separated by commas; default: original,default (shapes: original,best-of-n,paper,default)."
        ),
    ] = None,
    variant: Annotated[
        list[str] | None,
        typer.Option(help="Your own gems.evaluation.Variant beside the presets: mine=my_module:variant; may be repeated."),
    ] = None,
    sweep: Annotated[
        list[str] | None, typer.Option(help="setting=values: rounds=1..8, candidates=1,2,4; repeated: all combinations.")
    ] = None,
    ablate: Annotated[
        list[str] | None, typer.Option(help="Setting to compare with all its values: recall, skills, verify, fuse, ...")
    ] = None,
    set_: Settings = None,
    limit: Limit = None,
    shard: Annotated[str | None, typer.Option(help="Only a part of the prompts, such as 3/8; others run the rest.")] = None,
    data: Data = None,
    accept_licence: Annotated[
        list[str] | None, typer.Option("--accept-licence", help="Licence of the data that you accept, such as CC-BY-NC-4.0.")
    ] = None,
    images_per_prompt: Annotated[
        int | None, typer.Option(min=1, help="Images of each prompt; those of the official protocol by default.")
    ] = None,
    seed: Seed = 0,
    seeds: Seeds = 1,
    concurrency: Concurrency = 1,
    chat: Chat = None,
    image: ImageSpec = None,
    config: ConfigFile = None,
    call: Annotated[
        list[str] | None, typer.Option("--call", help="Option of the image model's call, such as num_inference_steps=9.")
    ] = None,
    device: Device = None,
    dtype: Dtype = None,
    offload: Offload = None,
    batch: Batch = None,
    judge: JudgeSpec = None,
    exact_yes: ExactYes = False,
    base: Base = None,
    against: Paper = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only estimate the runs, images and chat calls.")] = False,
    checks: Annotated[int, typer.Option(min=1, help="With --dry-run: assumed number of checks of a prompt.")] = 8,
    engine: Annotated[str, typer.Option(help="local: threads of this process. ray: the workers of a Ray cluster.")] = "local",
    address: Annotated[
        str | None, typer.Option(help="ray: the cluster's address, or auto; one on this machine by default.")
    ] = None,
    painters: Annotated[int, typer.Option(min=1, help="ray: image models at the same time, each in an actor of its own.")] = 1,
    gpus: Annotated[float, typer.Option(min=0, help="ray: GPUs of each of them, such as 1 or 0.5; 0 where they need none.")] = 0,
    out: Out = None,
    runs: Runs = RUNS,
    image_store: Images = None,
    json_file: JsonFile = None,
    debug: Debug = False,
) -> None:
    """Compare presets, or values of any setting, on a benchmark. The same command resumes a study that was stopped."""
    set_debug(debug)
    from ..config import apply_options, load_config
    from ..evaluation import variants
    from ..evaluation.benchmarks.registry import find_benchmark
    from ..evaluation.downloads import fetch
    from ..evaluation.judges.registry import judge_of
    from ..evaluation.prompts import Prompts
    from ..evaluation.runner import StudyExecution, plan_study
    from ..evaluation.shards import Shard
    from ..evaluation.study import StudyFiles, compare
    from .evaluate_progress import progress_bars
    from .evaluate_report import show_estimate, show_study

    bench = find_benchmark(str(ctx.info_name))
    if exact_yes:
        bench = bench.exact()
    paper = includes_paper(against)
    axes = [variants.parse_axis(text) for text in (*(sweep or ()), *(ablate or ()))]
    fixed = variants.parse_changes(set_ or ())
    own = [variants.load_variant(text) for text in variant or ()]
    usual = "original,best-of-n,paper,default" if bench.name == "shapes" else "original,default"
    named = split_names(presets if presets is not None else "default" if axes or own else usual)
    compared = variants.make_variants([*named, *own], axes, fixed)
    file = apply_options(load_config(config), chat, image, call, device=device, dtype=dtype, offload=offload, batch=batch)
    wanted = judge if judge is not None else file.judge
    swept = [f"sweep-{a.name}" for a in axes[: len(sweep or ())]] + [f"ablate-{a.name}" for a in axes[len(sweep or ()) :]]
    files = fetch(bench, data, accept=accept_licence or (), say=print_note)
    prompts = Prompts(bench, files, limit, images_per_prompt, seed, seeds)
    if dry_run:
        show_estimate(plan_study(compared, prompts, chat=file.chats, image=file.image), checks)
        return
    with progress_bars() as progress:
        result = compare(
            compared,
            prompts,
            chat=file.chats,
            image=file.image,
            judge=None if wanted is None else judge_of(wanted, concurrency=max(8, concurrency)),
            base=base,
            files=StudyFiles(out, runs, "-".join([bench.name, *swept]), image_store_at(image_store)),
            execution=StudyExecution(
                _make_engine(engine, address, painters, gpus, concurrency), concurrency, Shard.read(shard), progress
            ),
        )
    show_study(result, paper=paper, json_file=json_file)
    if not any(record.image for record in result.records.values()):
        raise typer.Exit(1)  # a table of zeros: the exit status tells scripts


def _make_engine(engine: str, address: str | None, painters: int, gpus: float, concurrency: int) -> Any:
    if engine == "local":
        if address is not None:
            raise SettingError("--address is of a Ray cluster: add --engine ray")
        return None
    if engine != "ray":
        raise SettingError(f"--engine {engine}: choose local or ray")
    from ..evaluation.ray_engine import ray_engine

    return ray_engine(address=address, painters=painters, gpus=gpus, concurrency=concurrency)


def eval_score(
    folder: Annotated[Path, path_argument(help="Folder of the study.")],
    judge: JudgeSpec = None,
    exact_yes: ExactYes = False,
    config: ConfigFile = None,
    concurrency: Annotated[int, typer.Option(min=1, help="Questions to the judge at the same time.")] = 8,
    base: Base = None,
    against: Paper = None,
    image_store: Images = None,
    json_file: JsonFile = None,
    debug: Debug = False,
) -> None:
    """Judge the images of a study, by its judge or by another one; questions with a recorded answer are not asked again."""
    set_debug(debug)
    from ..config import load_config
    from ..evaluation.benchmarks.registry import find_benchmark
    from ..evaluation.judges.registry import judge_of
    from ..evaluation.run_records import read_definition
    from ..evaluation.study import load_study, score_study
    from .evaluate_progress import progress_bars
    from .evaluate_report import show_study

    paper = includes_paper(against)
    bench = find_benchmark(read_definition(folder).benchmark)
    if exact_yes:
        bench = bench.exact()
    local = "perception" if "perception" in bench.judges else None
    wanted = judge or load_config(config).judge or local
    if wanted is None:
        raise SettingError(
            "name a judge: --judge http://HOST/v1#MODEL, openai:MODEL or rapidocr, or [judge] in the file of --config"
        )
    store = image_store_at(image_store)
    with progress_bars() as progress:
        scorer = judge_of(wanted, concurrency=concurrency)
        score_study(folder, scorer, benchmark=bench, store=store, concurrency=concurrency, progress=progress)
    show_study(load_study(folder, base, store=store), paper=paper, json_file=json_file)


def eval_table(
    folder: Annotated[Path, path_argument(help="Folder of the study.")],
    base: Base = None,
    against: Paper = None,
    image_store: Images = None,
    json_file: JsonFile = None,
    debug: Debug = False,
) -> None:
    """Show the tables of a study and write its files again, without calling a model."""
    set_debug(debug)
    from ..evaluation.study import load_study
    from .evaluate_report import show_study

    store = image_store_at(image_store)
    show_study(load_study(folder, base, store=store), paper=includes_paper(against), json_file=json_file)


def eval_export(
    folder: Annotated[Path, path_argument(help="Folder of the study.")],
    to: Annotated[Path, path_option(help="Parent of a new folder for each variant.")] = Path("export"),
    layout: Annotated[
        str | None, typer.Option(help="Benchmark whose official scorer is to read it; the study's own by default.")
    ] = None,
    variant: Annotated[list[str] | None, typer.Option(help="Only this variant; may be repeated.")] = None,
    image_store: Images = None,
    debug: Debug = False,
) -> None:
    """Export the images of a study in the layout of the benchmark's official scorer."""
    set_debug(debug)
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
    base: Base = None,
    against: Paper = None,
    image_store: Images = None,
    json_file: JsonFile = None,
    debug: Debug = False,
) -> None:
    """Import the result file of an official scorer into a study."""
    set_debug(debug)
    from ..evaluation.official_scorers import import_results
    from ..evaluation.study import load_study
    from .evaluate_report import show_study

    paper = includes_paper(against)
    taken = import_results(folder, file, variant, seed=seed)
    Console().print(f"{taken} images or prompts have official numbers now.", highlight=False)
    store = image_store_at(image_store)
    show_study(load_study(folder, base, store=store), paper=paper, json_file=json_file)


for name, entry in REGISTRY.items():
    eval_app.command(name, help=f"{entry.about} {eval_benchmark.__doc__}", short_help=entry.about)(eval_benchmark)
eval_app.command("score")(eval_score)
eval_app.command("table")(eval_table)
eval_app.command("export")(eval_export)
eval_app.command("import")(eval_import)
