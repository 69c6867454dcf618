"""Checks of the cloud: whether its files can be used, and which accounts have a key."""

from collections.abc import Iterator

from lmx.api.doctor.check import Check
from lmx.workflows.config import Settings
from lmx.workflows.errors import LmxError
from lmx.workflows.providers.catalog import load_catalog
from lmx.workflows.providers.keys import find_key
from lmx.workflows.providers.pricing import load_prices
from lmx.workflows.routing.rules import load_rules


def check_providers(settings: Settings) -> Iterator[Check]:
    """Whether providers.toml, prices.toml, routes.toml and keys.toml can be used, and for whom."""
    try:
        load_prices(settings.home)
        load_rules(settings.home)
        catalog = load_catalog(settings.home)
        catalog.check()
        keyed = [one for one in catalog.accounts if find_key(one, settings.home) is not None]
    except LmxError as error:
        advice = error.hint or "mend it: no worker of a provider can start with it"
        yield Check("providers", "fail", error.message, advice)
        return
    if keyed:
        names = ", ".join(account.full_name for account in keyed)
        yield Check("providers", "ok", f"there are keys for {names}")
    else:
        text = "no account has a key: no model in the cloud can be called"
        yield Check("providers", "warn", text, "set ANTHROPIC_API_KEY or GEMINI_API_KEY")
    for account in catalog.accounts:
        if account not in keyed and account.name != "default":
            text = f"there is no key for the account {account.full_name}"
            yield Check("providers", "warn", text, f"set {account.key_env}")
