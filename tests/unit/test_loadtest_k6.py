"""What is made of k6's output; k6 itself runs in tests/loadtest."""

import json

from loadtest.asking import Request
from loadtest.k6 import Reader, due_times, plan
from loadtest.open_loop import Phase

REQUESTS = [Request("/a"), Request("/b,c", "POST", {"User-Agent": "mine"}, form={"x": "1 2"}, expect=(303,))]


def line(number, begun, **values):
    ended = {"number": number, "begun": begun, "ended": begun + 7, "start": 1000, "took": 5.5, "status": 200}
    return json.dumps(ended | {"bytes": 3, "error": "", "code": 0} | values)


def test_a_request_is_late_by_what_k6_was_late_with_it(capsys):
    reader = Reader(REQUESTS)
    # In the order in which they ended.
    for text in (line(1, 232, status=303), line(0, 131), line(2, 330, status=0, code=1050), "k6 complains"):
        reader.read(text)
    assert list(reader.rows([0.1, 0.2, 0.3], 3)) == [
        "0,/a,0.100000,1.000,6.500,200,3,,yes\n",
        '1,"POST /b,c",0.200000,2.000,7.500,303,3,,yes\n',
        "2,/a,0.300000,0.000,7.000,0,3,timeout,no\n",
    ]
    reader.report()
    started, report = map(json.loads, capsys.readouterr().out.splitlines())
    assert started == {"started_at": 1}
    assert (report["answers"], report["failures"], report["mean_ms"], report["total_failures"]) == (3, 1, 7.0, 1)
    assert reader.other == ["k6 complains"]


def test_what_k6_left_out_is_a_failure_where_it_was_due():
    reader = Reader(REQUESTS[:1])
    for number, begun in enumerate((200, 400, 1400, 1600)):
        reader.read(line(number, begun))
    reader.read('{"dropped": 5}')
    rows = [row.split(",") for row in reader.rows([number / 5 for number in range(1, 12)], 11)]
    assert reader.dropped == 5
    assert [row[7] for row in rows] == ["", "", *["not sent"] * 4, "", "", *["not sent"] * 3]
    assert [row[0] for row in rows] == [str(number) for number in range(11)]


def test_the_plan_is_the_scenario():
    found = plan("http://host:81/", [Phase(2.5, 2.5, 10), Phase(10, 20, 2)], REQUESTS, 4)
    assert [(stage["target"], stage["duration"]) for stage in found["scenario"]["stages"]] == [
        (2500, "0s"),
        (2500, "10s"),
        (10000, "0s"),
        (20000, "2s"),
        (20000, "2s"),
    ]
    assert found["requests"] == [
        {"method": "GET", "url": "http://host:81/a", "headers": {"Accept": "*/*"}, "body": None},
        {
            "method": "POST",
            "url": "http://host:81/b,c",
            "headers": {"Accept": "*/*", "Content-Type": "application/x-www-form-urlencoded", "User-Agent": "mine"},
            "body": "x=1+2",
        },
    ]
    due = due_times([Phase(2.5, 2.5, 10), Phase(10, 20, 2)])
    assert len(due) == 25 + 30
    assert (due[0], due[-1]) == (0.4, 12)
