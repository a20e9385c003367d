"""What the command line tells of costs before a run: the presets side by side, and one configuration by role."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich import box
from rich.markup import escape
from rich.table import Table

from ..context import ABOUT, PRESETS, RunContext, preset
from ..graph.costs import Bounds, estimate, image_cost
from ..models.options import ModelOptions

NOT_COUNTED = "Not counted: repair turns, asking again for checks left without an answer, and calls repeated after failures."
SHORT = {"max_rounds": "rounds", "skip_children": "skip children"}


def presets_told(checks: int) -> list[dict[str, Any]]:
    """Return what each preset is and may take, for programs."""
    told = []
    for name, settings in PRESETS.items():
        cost = estimate(preset(name), checks)
        told.append(
            {
                "preset": name,
                "about": ABOUT[name],
                "settings": {key: value for key, value in settings.items() if value != RunContext.model_fields[key].default},
                "calls": cost.total._asdict(),
                "images": cost.images._asdict(),
            }
        )
    return told


def presets_table(checks: int) -> Table:
    """Return the presets as a table."""
    caption = f"Calls and images if the first image is accepted, and at worst, for {checks} checks. {NOT_COUNTED}"
    out = Table(caption=caption, caption_justify="left", box=box.SIMPLE, pad_edge=False)
    out.add_column("preset", no_wrap=True)
    out.add_column("what it is, and its settings that differ from the defaults", ratio=1)
    out.add_column("calls", justify="right", no_wrap=True)
    out.add_column("images", justify="right", no_wrap=True)
    for one in presets_told(checks):
        settings = ", ".join(f"{SHORT.get(k, k)} {_plain(v)}" for k, v in one["settings"].items()) or "none"
        about = f"{escape(one['about'])}\n[dim]{escape(settings)}[/]"
        out.add_row(one["preset"], about, _range(Bounds(**one["calls"])), _range(Bounds(**one["images"])))
    return out


def run_told(context: RunContext, models: ModelOptions, checks: int) -> dict[str, Any]:
    """Return what a run may take, for programs."""
    cost = estimate(context, checks)
    money = image_cost(cost, models)
    return {
        "checks": checks,
        "calls": {role: bounds._asdict() for role, bounds in cost.calls.items()},
        "total_calls": cost.total._asdict(),
        "images": cost.images._asdict(),
        "image_cost": None if money is None else {"first": money[0], "worst": money[1]},
        "settings": context.model_dump(),
    }


def run_table(context: RunContext, models: ModelOptions, checks: int) -> Table:
    """Return what a run may take as a table by role."""
    cost = estimate(context, checks)
    out = Table(box=box.SIMPLE)
    out.add_column(f"a request with {checks} checks")
    out.add_column("first image accepted", justify="right")
    out.add_column("at worst", justify="right")
    for role, bounds in cost.calls.items():
        out.add_row(role, *map(str, bounds), end_section=role == "refiner")
    out.add_row("chat calls", *map(str, cost.total))
    out.add_row("images", *map(str, cost.images))
    if (money := image_cost(cost, models)) is not None:
        out.add_row("money for images", *(f"{amount:.4g}" for amount in money))
    return out


def remarks(context: RunContext, models: ModelOptions) -> list[str]:
    """Return what the table does not tell, a line each."""
    budgets = [name for name in ("max_calls", "max_tokens", "max_seconds", "max_cost") if getattr(context, name) is not None]
    out = [NOT_COUNTED, *([f"The run may end earlier by {', '.join(budgets)}."] if budgets else [])]
    chats = [models.chat, *models.roles.values()]
    if any(c.price_input is not None or c.price_output is not None for c in chats):
        out.append("What the chat calls cost is not known beforehand, as their tokens are not.")
    elif models.image.price is None:
        out.append("No model has a price, so money is not told.")
    return [*out, "Nothing was asked, drawn or written."]


def _range(bounds: Bounds) -> str:
    return str(bounds.first) if bounds.first == bounds.worst else f"{bounds.first} to {bounds.worst}"


def _plain(value: Any) -> str:
    names: Mapping[Any, str] = {None: "never", True: "on", False: "off"}
    return names.get(value, str(value)) if value is None or isinstance(value, bool) else str(value)
