"""Allowances over HTTP and for Prometheus."""

import httpx2

from lmx.workflows.allowances.rules import allowance, set_allowance
from tests.support.hands import Hands


def test_allowances_show_what_is_left(api: httpx2.Client, hands: Hands) -> None:
    set_allowance(hands.conn, allowance("5.00", zone="Europe/Berlin"))
    set_allowance(hands.conn, allowance("2000", unit="calls", account="anthropic/default"))
    found = {one["scope"]: one for one in api.get("/v1/allowances").json()["allowances"]}
    dollars, calls = found["*"], found["anthropic/default"]
    assert (dollars["ceiling"], dollars["left"], dollars["spent"]) == ("5", "5", "0")
    assert (dollars["per"], dollars["zone"]) == ("day", "Europe/Berlin")
    assert (calls["ceiling"], calls["held"]) == (2000, 0)
    lines = api.get("/metrics").text.splitlines()
    assert 'lmx_allowance{scope="*",unit="usd",per="day",state="ceiling"} 5' in lines
    held = 'lmx_allowance{scope="anthropic/default",unit="calls",per="day",state="held"} 0'
    assert held in lines
