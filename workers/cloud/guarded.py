"""Stands before a provider's module: nothing that leaves it shows the key, or is unexplained."""

import logging
from dataclasses import dataclass

from lmx.workers.cloud.answer import Answer, Question
from lmx.workers.cloud.errors import Failure, ProviderError, by_provider
from lmx.workers.cloud.provider import Progress, Provider
from lmx.workflows.providers.keys import Key

log = logging.getLogger("lmx.cloud")


@dataclass(frozen=True, slots=True)
class Guarded:
    """A provider whose errors are ProviderErrors without the account's key in them."""

    provider: Provider
    key: Key

    async def ask(self, question: Question, progress: Progress) -> Answer:
        """Ask. What an SDK raises that nobody foresaw may have come after the work was done."""
        try:
            return await self.provider.ask(question, progress)
        except ProviderError as error:
            raise error.redacted(self.key.redact) from None
        except Exception as error:
            told = self.key.redact(f"{type(error).__name__}: {error}")
            log.warning("the answer of %s cannot be read: %s", question.model, told)
            raise by_provider(Failure.MALFORMED, told) from None

    async def close(self) -> None:
        """Close all connections."""
        await self.provider.close()
