"""Runs GGUF models for many agents on one device without ever running it out of memory.

Every byte is reserved in a ledger, from an exact estimate, before it is allocated. What does not
fit waits its turn; what can never fit is refused at once. See docs/engine.md.
"""

from lmx.engine._compat import check_llama_cpp
from lmx.engine.answers import Delta, ToolCall
from lmx.engine.chat_formats import ChatFeatures, chat_features
from lmx.engine.devices import DeviceInfo, device_info
from lmx.engine.embedding import EmbeddingRequest, Embeddings
from lmx.engine.engine import Engine
from lmx.engine.errors import (
    Cancelled,
    DeadlineExceeded,
    EngineError,
    InvalidRequest,
    ModelFileError,
    NeverFits,
    NoRoom,
    OutOfMemory,
    PromptTooLong,
)
from lmx.engine.estimates import Estimate, estimate, measure
from lmx.engine.files import ModelInfo, file_sha256, inspect_model, quantize
from lmx.engine.forms import check_request
from lmx.engine.planning import (
    Fit,
    Job,
    Projection,
    Resident,
    StreamNeeds,
    Wanted,
    fits_cap,
    least_streamed,
    plan,
    stream_needs,
)
from lmx.engine.prompts import tokenize
from lmx.engine.request import Request, Result, TokenLogprob
from lmx.engine.sampling import Sampling
from lmx.engine.views import LedgerEntry, Snapshot

check_llama_cpp()

__all__ = [
    "Cancelled",
    "ChatFeatures",
    "DeadlineExceeded",
    "Delta",
    "DeviceInfo",
    "EmbeddingRequest",
    "Embeddings",
    "Engine",
    "EngineError",
    "Estimate",
    "Fit",
    "InvalidRequest",
    "Job",
    "LedgerEntry",
    "ModelFileError",
    "ModelInfo",
    "NeverFits",
    "NoRoom",
    "OutOfMemory",
    "Projection",
    "PromptTooLong",
    "Request",
    "Resident",
    "Result",
    "Sampling",
    "Snapshot",
    "StreamNeeds",
    "TokenLogprob",
    "ToolCall",
    "Wanted",
    "chat_features",
    "check_request",
    "device_info",
    "estimate",
    "file_sha256",
    "fits_cap",
    "inspect_model",
    "least_streamed",
    "measure",
    "plan",
    "quantize",
    "stream_needs",
    "tokenize",
]
