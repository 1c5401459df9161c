"""The benchmark of `make benchmark`, shortened: every contender answers at every endpoint, and ours has kept its lead.

Its name puts it before the tests that set the host up as something else.
"""

from collections.abc import Iterator

import pytest
from web_host import HOST

from benchmarks import wrk
from benchmarks.lab import Lab
from benchmarks.measure import ENDPOINTS, PORTS, measure, summarize, table


@pytest.fixture
def contenders(web: Lab) -> Iterator[Lab]:
    wrk.install()
    web.play(HOST.with_name("contenders.yml"))
    yield web
    web.run("systemctl", "stop", "contender-*")


def test_a_request_costs_less_than_half_of_what_it_did(contenders: Lab) -> None:
    # wrk refuses to measure answers that are not good.
    results = summarize(measure(contenders, rounds=1, seconds=3, clients=4))
    assert {endpoint: set(found) for endpoint, found in results.items()} == {
        endpoint: set(PORTS) for endpoint in ENDPOINTS
    }
    for found in results.values():
        assert 2 * found["ours"]["cpu_us"] < found["older"]["cpu_us"], table(results)
