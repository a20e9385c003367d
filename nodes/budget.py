"""What a run has cost in money, and whether another round fits into its budgets: plain functions of usage and prices."""

from __future__ import annotations

from typing import NamedTuple

from ..context import RunContext
from ..errors import SettingError
from ..memory.state import RoleUsage, Usage
from ..models.options import ModelOptions

TOKENS_PER_PRICE = 1_000_000


class Money(NamedTuple):
    """What something has cost."""

    amount: float
    """In the currency of the prices."""
    unpriced: tuple[str, ...] = ()
    """Roles that used what has no known price, and so are not, or not fully, in the amount."""

    def __str__(self) -> str:
        """Say it to people."""
        return f"{self.amount:.4f}" + (f" (without the price of: {', '.join(self.unpriced)})" if self.unpriced else "")


def cost_of(usage: Usage, models: ModelOptions) -> Money | None:
    """Return what usage has cost by the prices of the models, None where no price is known at all."""
    if not models.priced:
        return None
    costs = {role: _role_cost(used, role, models) for role, used in usage.roles.items()}
    return Money(sum(c.amount for c in costs.values()), tuple(role for role, c in costs.items() if c.unpriced))


def _role_cost(used: RoleUsage, role: str, models: ModelOptions) -> Money:
    chat = models.roles.get(role, models.chat)
    bills = [
        (used.input_tokens / TOKENS_PER_PRICE, chat.price_input),
        (used.output_tokens / TOKENS_PER_PRICE, chat.price_output),
        (used.images, models.image.price),
    ]
    silent = bool(used.calls) and not used.input_tokens + used.output_tokens and chat.price_input != 0  # it counted nothing
    unknown = silent or any(amount and price is None for amount, price in bills)
    return Money(sum(amount * (price or 0.0) for amount, price in bills), (role,) if unknown else ())


def require_prices(context: RunContext, models: ModelOptions) -> None:
    """Refuse a budget of money where no model has a price.

    Raises:
        SettingError: there is one.
    """
    if context.max_cost is not None and not models.priced:
        raise SettingError(
            "setting max_cost: no model has a price; put price_input and price_output (for a million tokens) into [chat], "
            "or price (for an image) into [image] of the file of --config"
        )


def exceeded_budget(context: RunContext, used: Usage, round: Usage, models: ModelOptions) -> str | None:
    """Tell which budget a further round would go past if it takes what the last one took; None where it fits into all.

    Args:
        context: the run's settings.
        used: what the run has used so far.
        round: what of that the last round has used.
        models: what the models cost.
    """
    so_far, took = used.total, round.total
    spent, costs = cost_of(used, models), cost_of(round, models)
    budgets = [
        ("max_calls", "chat calls", context.max_calls, so_far.calls, took.calls),
        ("max_tokens", "tokens", context.max_tokens, _total_tokens(so_far), _total_tokens(took)),
        ("max_seconds", "seconds of the models", context.max_seconds, so_far.seconds, took.seconds),
        ("max_cost", "in money", context.max_cost, spent.amount if spent else 0.0, costs.amount if costs else 0.0),
    ]
    for name, unit, limit, have, more in budgets:
        if limit is not None and have + more > limit:
            return f"a further round would take about {_format(more)} {unit}: {_format(have)} of {name} {_format(limit)} are used"
    return None


def _total_tokens(used: RoleUsage) -> int:
    return used.input_tokens + used.output_tokens


def _format(amount: float) -> str:
    return str(amount) if isinstance(amount, int) else f"{amount:.4g}"
