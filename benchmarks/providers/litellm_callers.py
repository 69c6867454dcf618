"""Callers of LiteLLM's Router; runs in LiteLLM's own environment and needs nothing of lmx.

python litellm_callers.py SETTINGS.json; settings: url, key, models [{model, rpm}], callers,
seconds, max_tokens, prompt, checks (whether limits are enforced before a call), budget (dollars or
null), prices {model: [input, output]} in dollars per token. Prints JSON: answered, and refusals.
"""

import asyncio
import json
import os
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # no look at the network for prices

import litellm
from litellm import Router

#: How long a caller pauses after its call was refused for good, retries included.
_PAUSE_S = 1.0


def make_router(asked: dict[str, Any]) -> Router:
    """A router as LiteLLM's documentation sets one up to respect the limits of its deployments."""
    models = [
        {
            "model_name": one["model"],
            "litellm_params": {
                "model": f"openai/{one['model']}",
                "api_base": f"{asked['url']}/v1",
                "api_key": asked["key"],
                "rpm": one["rpm"],
                "input_cost_per_token": asked["prices"][one["model"]][0],
                "output_cost_per_token": asked["prices"][one["model"]][1],
            },
        }
        for one in asked["models"]
    ]
    options: dict[str, Any] = {"routing_strategy": "usage-based-routing-v2"}
    if asked["checks"]:
        options["optional_pre_call_checks"] = ["enforce_model_rate_limits"]
    if asked["budget"] is not None:
        budget = {"budget_limit": asked["budget"], "time_period": "1d"}
        options = {"provider_budget_config": {"openai": budget}}
    return Router(model_list=models, enable_pre_call_checks=True, num_retries=2, **options)


async def call_on(router: Router, asked: dict[str, Any], model: str, told: Counter[str]) -> None:
    """One caller: asks again and again until the time is over, or until its budget is."""
    end = time.monotonic() + asked["seconds"]
    while time.monotonic() < end:
        try:
            await router.acompletion(
                model=model,
                messages=[{"role": "user", "content": asked["prompt"]}],
                max_tokens=asked["max_tokens"],
            )
            told["answered"] += 1
        except Exception as error:
            told[type(error).__name__] += 1
            if asked["budget"] is not None and "budget" in str(error).lower():
                return
            await asyncio.sleep(_PAUSE_S)


async def run(asked: dict[str, Any]) -> Counter[str]:
    """All callers at once, spread over the models."""
    router, told = make_router(asked), Counter[str]()
    models = [one["model"] for one in asked["models"]]
    await asyncio.gather(
        *(
            call_on(router, asked, models[number % len(models)], told)
            for number in range(asked["callers"])
        )
    )
    await asyncio.sleep(1.0)  # its counters of money are written behind
    return told


if __name__ == "__main__":
    litellm.suppress_debug_info = True
    settings = json.loads(Path(sys.argv[1]).read_text())
    print(json.dumps({**asyncio.run(run(settings)), "version": litellm._version.version}))
