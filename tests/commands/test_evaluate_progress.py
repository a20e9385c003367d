"""What is shown while a study runs: what each variant took, in names as they are."""

from rich.progress import Progress, TextColumn

from gems.commands import evaluate_progress
from gems.commands.evaluate_progress import _StudyDisplay

from ..evaluation.colours import record


def test_each_variant_has_its_own_sums_and_names_are_no_markup(monkeypatch, capsys):
    monkeypatch.setattr(evaluate_progress, "LINE_INTERVAL", -1.0)
    name = "negative_prompt=[red]a[/]"
    with Progress(TextColumn("{task.description}"), TextColumn("{task.fields[summary]}"), disable=True) as bars:
        watch = _StudyDisplay(bars)
        for variant in (name, "loop"):
            watch.start(variant, 2, 0)
        watch.done(record(variant=name, images=1, calls=2, cost=0.5))
        watch.done(record(variant="loop", images=3, calls=7, cost=1.0))
        watch.done(record(variant="loop", image=None, calls=1))
        summaries = [task.fields["summary"] for task in bars.tasks]
    assert summaries == ["1 images, 2 calls, cost 0.50", "3 images, 8 calls, cost 1.00, [red]1 failed[/]"]
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith(f"{name} 1/2, loop 2/2; 4 images, 10 calls, cost 1.50, 1 failed")
