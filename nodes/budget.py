"""The cost of a run in money, and whether another round fits into its budgets: pure functions of usage and prices."""

from __future__ import annotations

from typing import NamedTuple

from ..context import RunContext
from ..errors import SettingError
from ..events import Budget, BudgetName
from ..memory.state import Result, RoleUsage, Usage
from ..models.options import ModelOptions

TOKENS_PER_PRICE = 1_000_000


class Money(NamedTuple):
    """An amount of money."""

    amount: float
    """In the currency of the prices."""
    unpriced: tuple[str, ...] = ()
    """Roles whose cost is not, or not fully, in the amount, because a price is unknown."""

    def __str__(self) -> str:
        """Return the amount for people."""
        return f"{self.amount:.4f}" + (f" (without the price of: {', '.join(self.unpriced)})" if self.unpriced else "")


def cost_of(usage: Usage, models: ModelOptions) -> Money | None:
    """Return the cost of usage by the prices of the models; None if no price is known."""
    if not models.priced:
        return None
    costs = {role: _role_cost(used, role, models) for role, used in usage.roles.items()}
    return Money(sum(c.amount for c in costs.values()), tuple(role for role, c in costs.items() if c.unpriced))


def _role_cost(used: RoleUsage, role: str, models: ModelOptions) -> Money:
    chat = models.roles.get(role, models.chat)
    items = [
        (used.input_tokens / TOKENS_PER_PRICE, chat.price_input),
        (used.output_tokens / TOKENS_PER_PRICE, chat.price_output),
        (used.images, models.image.price),
    ]
    uncounted = bool(used.calls) and not _total_tokens(used) and chat.price_input != 0  # the server reported no tokens
    unknown = uncounted or any(amount and price is None for amount, price in items)
    return Money(sum(amount * (price or 0.0) for amount, price in items), (role,) if unknown else ())


def require_prices(context: RunContext, models: ModelOptions) -> None:
    """Refuse a budget of money if no model has a price.

    Raises:
        SettingError: `max_cost` is set, and no model has a price.
    """
    if context.max_cost is not None and not models.priced:
        raise SettingError(
            "setting max_cost: no model has a price; put price_input and price_output (for a million tokens) into [chat], "
            "or price (for an image) into [image] of the file of --config"
        )


def exceeded_budget(context: RunContext, used: Usage, round: Usage, models: ModelOptions) -> str | None:
    """Return the budget that another round would exceed if it uses as much as the last one; None if it fits into all.

    Args:
        context: the settings of the run.
        used: usage of the run.
        round: usage of its last round.
        models: prices.
    """
    total, last = used.total, round.total
    total_cost, last_cost = (money.amount if money else 0.0 for money in (cost_of(used, models), cost_of(round, models)))
    budgets = [
        ("max_calls", "chat calls", context.max_calls, total.calls, last.calls),
        ("max_tokens", "tokens", context.max_tokens, _total_tokens(total), _total_tokens(last)),
        ("max_seconds", "seconds of the models", context.max_seconds, total.seconds, last.seconds),
        ("max_cost", "in money", context.max_cost, total_cost, last_cost),
    ]
    for name, unit, limit, spent, expected in budgets:
        if limit is not None and spent + expected > limit:
            used_up = f"{_format(spent)} of {name} {_format(limit)} are used"
            return f"another round would take about {_format(expected)} {unit}: {used_up}"
    return None


def budgets_used(result: Result, context: RunContext, models: ModelOptions) -> tuple[Budget, ...]:
    """Return what a run had used at a decision, and the limits of its settings."""
    used, spent = result.usage.total, cost_of(result.usage, models)
    rows: list[tuple[BudgetName, float, float | None]] = [
        ("rounds", result.round, context.max_rounds),
        ("images", used.images, context.max_images),
        ("calls", used.calls, context.max_calls),
        ("tokens", _total_tokens(used), context.max_tokens),
        ("seconds", used.seconds, context.max_seconds),
    ]
    if spent:
        rows.append(("cost", spent.amount, context.max_cost))
    return tuple(Budget(name=name, used=amount, limit=limit) for name, amount, limit in rows)


def _total_tokens(used: RoleUsage) -> int:
    return used.input_tokens + used.output_tokens


def _format(amount: float) -> str:
    return str(amount) if isinstance(amount, int) else f"{amount:.4g}"
