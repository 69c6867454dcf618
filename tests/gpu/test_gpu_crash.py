"""A GPU worker that dies, as it does where the library aborts, dies alone."""

from lmx.workflows.client import Client
from lmx.workflows.database.connect import Database
from lmx.workflows.models import Model
from lmx.workflows.views import get_task
from tests.gpu.conftest import CALL
from tests.support.eventually import eventually
from tests.support.workers import WORKER, Workers

DEVICE = {"LMX_DEVICE": "cpu", "GGML_NO_BACKTRACE": "1"}
WAIT_S = 120


def test_the_call_of_a_worker_that_dies_while_it_loads_is_taken_up_by_the_next(
    client: Client, small: Model, workers: Workers, database: Database
) -> None:
    task = client.generate(model="small", prompt="Once", **CALL | {"max_tokens": 200})
    first = workers.start("gpu", program=WORKER, **DEVICE)
    eventually(lambda: get_task(database, task).deliveries, "a claim", WAIT_S)
    first.kill()
    assert get_task(database, task).output is None, "nothing was recorded yet"
    workers.start("gpu", program=WORKER, **DEVICE)
    assert client.result(task, WAIT_S)["text"]
    assert get_task(database, task).deliveries == 2
