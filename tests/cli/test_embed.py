"""`lmx embed`: lines in, lines of JSON out."""

import json
import threading

from lmx.workflows.views import get_input
from tests.support.command import Lmx, count_tasks
from tests.support.eventually import eventually
from tests.support.hands import Hands


def test_prints_a_line_for_each_text_in_order(lmx: Lmx, hands: Hands, model: str) -> None:
    def work() -> None:
        for _ in range(2):
            [lease] = eventually(lambda: hands.claim("gpu"), "texts to embed")
            texts = get_input(lmx.database, lease.task_id)["texts"]
            hands.finish(lease, {"embeddings": [[float(len(text))] for text in texts]})

    worker = threading.Thread(target=work)
    worker.start()
    lines = "".join(f"{'x' * (n % 5 + 1)}\n" for n in range(70))
    result = lmx("embed", "--pooling", "cls", "--timeout", "30", stdin=f"\n{lines}".encode())
    worker.join()
    assert result.code == 0, result.err
    rows = [json.loads(line) for line in result.out.splitlines()]
    assert [row["text"] for row in rows] == lines.split()
    assert all(row["embedding"] == [len(row["text"])] for row in rows)


def test_refuses_an_empty_input(lmx: Lmx, hands: Hands, model: str) -> None:
    result = lmx("embed", stdin=b"\n \n")
    assert (result.code, count_tasks(hands)) == (2, 0)
    assert "no text to embed" in result.err
