"""Chat calls and images that runs may use: of the presets side by side, and of one configuration by role."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich import box
from rich.markup import escape
from rich.table import Table

from ..context import PRESET_DESCRIPTIONS, PRESETS, RunContext, preset
from ..graph.costs import Bounds, estimate, image_cost
from ..models.options import ModelOptions
from ..report.text import count_of

NOT_COUNTED = "Not counted: repair turns, further calls for checks without an answer, and retries after failures."
SHORT = {"max_rounds": "rounds", "skip_children": "skip children"}


def preset_estimates(checks: int) -> list[dict[str, Any]]:
    """Return the presets, with their settings, chat calls and images, as JSON data.

    Args:
        checks: number of checks to assume for a request.
    """
    rows = []
    for name, settings in PRESETS.items():
        cost = estimate(preset(name), checks)
        rows.append(
            {
                "preset": name,
                "about": PRESET_DESCRIPTIONS[name],
                "settings": {key: value for key, value in settings.items() if value != RunContext.model_fields[key].default},
                "calls": cost.total._asdict(),
                "images": cost.images._asdict(),
            }
        )
    return rows


def presets_table(checks: int) -> Table:
    """Return the presets, with their settings, chat calls and images, as a table."""
    caption = (
        f"Chat calls and images for {count_of(checks, 'check')}: if the first image is accepted, to the worst case. {NOT_COUNTED}"
    )
    out = Table(caption=caption, caption_justify="left", box=box.SIMPLE, pad_edge=False)
    out.add_column("preset", no_wrap=True)
    out.add_column("method, and settings that differ from the defaults", ratio=1)
    out.add_column("calls", justify="right", no_wrap=True)
    out.add_column("images", justify="right", no_wrap=True)
    for row in preset_estimates(checks):
        settings = ", ".join(f"{SHORT.get(k, k)} {_setting_text(v)}" for k, v in row["settings"].items()) or "no changes"
        about = f"{escape(row['about'])}\n[dim]{escape(settings)}[/]"
        out.add_row(row["preset"], about, _range_text(Bounds(**row["calls"])), _range_text(Bounds(**row["images"])))
    return out


def run_estimate(context: RunContext, models: ModelOptions, checks: int) -> dict[str, Any]:
    """Return the chat calls, images and image cost that a run may use, as JSON data."""
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


def estimate_table(context: RunContext, models: ModelOptions, checks: int) -> Table:
    """Return the chat calls, images and image cost that a run may use, as a table by role."""
    cost = estimate(context, checks)
    out = Table(box=box.SIMPLE)
    out.add_column(f"a request with {count_of(checks, 'check')}")
    out.add_column("first image accepted", justify="right")
    out.add_column("worst case", justify="right")
    for role, bounds in cost.calls.items():
        out.add_row(role, *map(str, bounds), end_section=role == "refiner")
    out.add_row("chat calls", *map(str, cost.total))
    out.add_row("images", *map(str, cost.images))
    if (money := image_cost(cost, models)) is not None:
        out.add_row("cost of images", *(f"{amount:.4g}" for amount in money))
    return out


def estimate_notes(context: RunContext, models: ModelOptions) -> list[str]:
    """Return what the table does not show, one line each."""
    budgets = [name for name in ("max_calls", "max_tokens", "max_seconds", "max_cost") if getattr(context, name) is not None]
    out = [NOT_COUNTED, *([f"The run may stop earlier because of {', '.join(budgets)}."] if budgets else [])]
    chats = [models.chat, *models.roles.values()]
    if any(c.price_input is not None or c.price_output is not None for c in chats):
        out.append("The cost of chat calls depends on their tokens, which are unknown before the run.")
    elif models.image.price is None:
        out.append("No model has a price, so no cost is shown.")
    return [*out, "Nothing was run or written."]


def _range_text(bounds: Bounds) -> str:
    return str(bounds.first) if bounds.first == bounds.worst else f"{bounds.first} to {bounds.worst}"


def _setting_text(value: Any) -> str:
    names: Mapping[Any, str] = {None: "never", True: "on", False: "off"}
    return names.get(value, str(value)) if value is None or isinstance(value, bool) else str(value)
