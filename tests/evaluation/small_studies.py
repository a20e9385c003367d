"""Studies of the tests: the options of `compare`, `plan_study` and `run_study` by name, whatever group they belong to."""

from dataclasses import fields

from gems.evaluation import runner, study
from gems.evaluation.prompts import Prompts
from gems.evaluation.runner import StudyExecution
from gems.evaluation.study import StudyFiles


def _group(kind, options):
    """Take the options that belong to a group, and return the group."""
    return kind(**{field.name: options.pop(field.name) for field in fields(kind) if field.name in options})


def compare(variants, **options):
    """Compare variants, as `gems.evaluation.compare` does."""
    prompts, files, execution = (_group(kind, options) for kind in (Prompts, StudyFiles, StudyExecution))
    return study.compare(variants, prompts, files=files, execution=execution, **options)


def plan(benchmark, variants, **options):
    """Plan a study."""
    return runner.plan_study(variants, _group(Prompts, {**options, "benchmark": benchmark}), **_models(options))


def _models(options):
    return {name: options[name] for name in ("chat", "image") if name in options}


def run_study(planned, folder, **options):
    """Run a planned study."""
    return runner.run_study(planned, folder, _group(StudyExecution, options), **options)
