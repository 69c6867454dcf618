"""Who plays in the demo: three models, each with its exact need, on a device of a fitting size."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from lmx.api.demo.cap import choose_cap
from lmx.api.demo.stage import Stage
from lmx.api.demo.variants import Variant, make_variants
from lmx.api.inspection import inspect
from lmx.api.registration import register
from lmx.workflows.config import Settings
from lmx.workflows.database import migrate
from lmx.workflows.database.connect import resolve_database
from lmx.workflows.models import Need
from lmx.workflows.money import parse_usd

N_CTX: Final = 1024
#: Dollars per million tokens, in and out, that the demo's models are said to cost.
PRICES: Final = {
    "smollm2-q4_1": ("0.05", "0.20"),
    "smollm2-q8_0": ("0.10", "0.40"),
    "smollm2-f16": ("0.20", "0.80"),
}
#: Agent -> model. The two that start first fill the device; the third has to wait.
AGENTS: Final = {"coder": "smollm2-q8_0", "reviewer": "smollm2-f16", "writer": "smollm2-q4_1"}


@dataclass(frozen=True)
class Cast:
    """The models with their needs for a context of N_CTX tokens, and the device's cap in bytes."""

    needs: dict[Variant, Need]
    cap: int


def assemble_cast(settings: Settings, say: Callable[[str], None]) -> Cast:
    """Make the model files, measure them, and choose the cap. Errors: as `make_variants`."""
    variants = make_variants(settings.home / "models", say)
    needs = {
        variant: inspect(variant.path, [N_CTX], device=settings.device).needs[N_CTX]
        for variant in variants
    }
    return Cast(needs, choose_cap([need.total for need in needs.values()]))


def register_cast(stage: Stage, cast: Cast) -> None:
    """Register the models in the stage's database, which is started and migrated for it."""
    database = resolve_database(stage.settings)
    migrate.prepare(database)
    with database.connect(application_name="lmx demo") as connection:
        for variant in cast.needs:
            price_in, price_out = PRICES[variant.name]
            register(
                connection,
                variant.path,
                name=variant.name,
                n_ctx=N_CTX,
                prices=(parse_usd(price_in), parse_usd(price_out)),
                device=stage.settings.device,
            )
