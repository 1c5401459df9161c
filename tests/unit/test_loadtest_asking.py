"""What a request is on the wire, what a visitor keeps, and when who comes is due."""

import itertools

import pytest

from loadtest.asking import Request, Visit, from_json, to_json
from loadtest.open_loop import Phase, quoted, schedule


def test_a_path_is_a_get():
    request = Request("/a?b=c")
    assert request.encode("host:81", "/prefix", {}, {}) == (
        b"GET /prefix/a?b=c HTTP/1.1\r\nHost: host:81\r\nUser-Agent: loadtest\r\nAccept: */*\r\n\r\n"
    )
    assert request.name == "/a?b=c"


def test_a_form_with_what_was_kept_cookies_and_headers():
    request = Request(
        "/user/{id}", "POST", {"user-agent": "Mozilla", "X-Id": "{id}"}, form={"name": "Jürgen & {id}", "key": "{key}"}
    )
    head, body = request.encode("host", "", {"id": "7/8", "key": "a+b"}, {"session": "s", "b": "c"}).split(b"\r\n\r\n")
    assert body == b"name=J%C3%BCrgen+%26+7%2F8&key=a%2Bb"
    assert head.decode().split("\r\n") == [
        "POST /user/7%2F8 HTTP/1.1",
        "Host: host",
        "Accept: */*",
        "Cookie: session=s; b=c",
        "Content-Type: application/x-www-form-urlencoded",
        f"Content-Length: {len(body)}",
        "user-agent: Mozilla",
        "X-Id: 7/8",
    ]
    assert request.name == "POST /user/{id}"


def test_a_body_counts_in_bytes_and_its_braces_stay():
    request = Request("/", "PUT", body='{"ü": {visit}, "other": "{no}"}')
    head, body = request.encode("host", "", {"visit": "3"}, {}).split(b"\r\n\r\n")
    assert body.decode() == '{"ü": 3, "other": "{no}"}'
    assert f"Content-Length: {len(body)}".encode() in head
    assert b"Content-Length: 0" in Request("/", "POST").encode("host", "", {}, {})


def test_what_a_visitor_keeps():
    visit = Visit(5)
    visit.take("session=abc=; Path=/; HttpOnly")
    visit.take("old=1")
    visit.take("old=; Max-Age=0; Path=/")
    assert (visit.values, visit.cookies) == ({"visit": "5"}, {"session": "abc="})
    request = Request("/", keep={"key": 'name="key" value="([^"]*)"'})
    assert request.kept('<input name="key" value="it" />') == {"key": "it"}
    with pytest.raises(LookupError, match="key"):
        request.kept("<p>another page</p>")


def test_right_statuses():
    assert [status for status in (200, 204, 303, 404, 500) if Request("/").is_right(status)] == [200, 204]
    assert [status for status in (200, 303, 404) if Request("/", expect=(303,)).is_right(status)] == [303]


def test_requests_come_through_json():
    asked = (Request("/"), Request("/x", "POST", form={"a": "b"}, expect=(303,), think=0.5, keep={"a": "(b)"}))
    assert from_json(to_json(asked)) == asked


def test_a_constant_rate_is_even():
    due = list(schedule([Phase(100, 100, 2), Phase(10, 10, 1)], "constant"))
    assert [round(moment, 6) for moment in due] == [n / 100 for n in range(200)] + [2 + n / 10 for n in range(10)]
    assert len(list(schedule([Phase(1000, 1000, 600)], "constant"))) == 600_000


@pytest.mark.parametrize(("begin", "end"), [(10, 30), (30, 10)])
def test_a_ramp_grows_or_falls_evenly(begin, end):
    due = list(schedule([Phase(begin, end, 10)], "constant"))
    assert len(due) == 200
    # The rate in the middle of each second.
    counts = [sum(second <= moment < second + 1 for moment in due) for second in range(10)]
    wanted = [begin + (end - begin) * (second + 0.5) / 10 for second in range(10)]
    assert all(abs(count - rate) <= 1 for count, rate in zip(counts, wanted, strict=True))


def test_arrivals_by_chance_have_the_rate_and_are_the_same_each_time():
    due = list(schedule([Phase(100, 100, 100)], "poisson"))
    assert due == list(schedule([Phase(100, 100, 100)], "poisson"))
    assert due == sorted(due)
    assert abs(len(due) - 10_000) < 400  # four standard deviations
    gaps = sorted(b - a for a, b in itertools.pairwise(due))
    # Exponential: half of the gaps are shorter than ln 2 of their mean.
    assert abs(gaps[len(gaps) // 2] * 100 - 0.693) < 0.05


@pytest.mark.parametrize(("name", "value"), [("/a", "/a"), ("/a,b", '"/a,b"'), ('/"', '"/"""')])
def test_names_in_a_csv_file(name, value):
    assert quoted(name) == value
