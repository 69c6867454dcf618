"""One cloud call from its lease to the operations that record its end."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from lmx.workers.cloud import outcome
from lmx.workers.cloud.answer import Answer, Question
from lmx.workers.cloud.errors import Failure, ProviderError
from lmx.workers.cloud.intake import Place
from lmx.workers.cloud.provider import Provider
from lmx.workers.running import Execution
from lmx.workflows.operations import Operation
from lmx.workflows.providers.pricing import Prices

log = logging.getLogger("lmx.cloud")


@dataclass(slots=True)
class Calls:
    """Makes calls with the providers of each account. `place` says where a claimed call goes."""

    providers: Mapping[str, Provider]
    prices: Prices
    place: Callable[[int], Place]

    async def __call__(self, execution: Execution) -> list[Operation]:
        """Make the call; what the provider refuses becomes part of the outcome."""
        lease = execution.task.lease
        place = self.place(lease.task_id)
        try:
            if place.never is not None:
                raise ProviderError(Failure.TOO_LONG, place.never)
            answer = await self._ask(execution, place)
        except ProviderError as error:
            log.info("task %s: %s: %s", lease.task_id, error.failure.value, error)
            return outcome.failed(lease, error)
        return outcome.answered(lease, answer, self._cost(place, answer))

    async def _ask(self, execution: Execution, place: Place) -> Answer:
        task = execution.task
        question = Question.read({**task.lease.input, "model": place.model})

        def progress(tokens: int) -> None:
            task.report(phase="answering", tokens=tokens, model=place.model)

        task.report(phase="asked", model=place.model)
        return await self.providers[_account_of(place)].ask(question, progress)

    def _cost(self, place: Place, answer: Answer) -> int:
        price = self.prices.find(place.model, answer.tokens.prompt, datetime.now(UTC))
        return price.cost(answer.tokens)


def _account_of(place: Place) -> str:
    """`work` of `anthropic/work/haiku`."""
    return place.pool.split("/", 2)[1]
