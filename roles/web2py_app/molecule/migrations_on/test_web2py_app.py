"""The project's application, which changes the schema itself."""

import json


def get(host, path):
    return json.loads(host.check_output("curl --silent --fail http://127.0.0.1%s", path))


def test_table_is_made_by_the_first_request_that_needs_it(host):
    written = get(host, "/date_time")
    assert get(host, "/latest_date_time") == written
