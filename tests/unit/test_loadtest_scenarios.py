"""Scenario files: those of the project, a newcomer's five lines, and what is said about wrong ones."""

import io
import json
import re
from dataclasses import replace

import pytest

from loadtest import actions, cli, scenario, target
from loadtest.errors import LoadtestError
from loadtest.scenario import Phase, Step


def test_the_projects_scenarios_are_right():
    assert scenario.names() == ["burst", "chaos", "ladder", "scale", "sustained"]
    found = {name: scenario.load(name) for name in scenario.names()}
    assert [(step.requests, step.concurrency) for step in found["ladder"].steps] == [
        (5000, 20),
        (25000, 100),
        (40000, 200),
        (40000, 200),
        (100000, 1000),
    ]
    assert found["sustained"].phases == (Phase(1000, 600),)
    assert found["burst"].phases == (Phase(3000, 30),)
    assert found["burst"].paths == ("/date_time_only",)
    assert found["scale"].phases[-1].until == "minimum_size"
    assert {action.do for action in found["chaos"].actions} == set(scenario.ACTIONS)


def test_a_newcomers_five_lines(tmp_path):
    file = tmp_path / "mine.yml"
    file.write_text("description: Mine\nrate: 50\nduration: 1m\npaths: [/, '/date_time?x=1']\nslo: {p99_ms: 100}\n")
    mine = scenario.load(str(file))
    assert (mine.name, mine.phases, mine.paths) == ("mine", (Phase(50, 60),), ("/", "/date_time?x=1"))
    assert mine.slo == {"p99_ms": 100}


GOOD = {"description": "One", "rate": 10, "duration": "10s"}
GOOD_AB = {"description": "One", "tool": "ab", "steps": [{"requests": 10, "concurrency": 2}]}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"rat": 5}, "rat is unknown"),
        ({"description": ""}, "description"),
        ({"rate": 0}, "rate: 0 is not a number above 0"),
        ({"rate": True}, "rate: True"),
        ({"rate": float("inf")}, "rate"),
        ({"duration": "10 parsecs"}, "'10 parsecs' is no time, such as 30s"),
        ({"tool": "wrk"}, "'wrk' is none of open_loop, k6, ab"),
        ({"steps": []}, "steps: not with tool: open_loop"),
        ({"phases": [{"rate": 1, "duration": 1}]}, "phases: not together with rate and duration"),
        ({"paths": "/"}, "paths: a list is needed"),
        ({"paths": ["date_time"]}, "paths[0]: 'date_time' is no path"),
        ({"paths": ["http://elsewhere/"]}, "the address is the environment's"),
        ({"paths": ["//elsewhere/"]}, "no path of the application"),
        ({"paths": ["/a b"]}, "no path of the application"),
        ({"actions": [{"at": "1s", "do": "format_disk"}]}, "'format_disk' is none of terminate_instance"),
        ({"actions": [{"do": "hang_instance"}]}, "actions[0].at: missing"),
        ({"actions": [{"at": 60, "do": "hang_instance"}]}, "after the end, 10 s"),
        ({"slo": {"mean": 5}}, "slo: mean is unknown"),
        ({"timeout": "-1s"}, "timeout"),
        ({"rate": {"from": 1}}, "rate: from and to are needed"),
        ({"rate": {"from": 0, "to": 5}}, "rate.from: 0 is not a number above 0"),
        ({"arrivals": "bursty"}, "arrivals: 'bursty' is none of constant, poisson"),
        ({"processes": 0}, "processes: 0 is not a whole number from 1"),
        ({"paths": ["/"], "visit": ["/"]}, "paths and visit: only one of them"),
        ({"requests": []}, "requests: at least one is needed"),
        ({"requests": [{"path": "/", "method": "HEAD"}]}, "requests[0].method: 'HEAD' is none of GET, POST"),
        ({"requests": [{"method": "POST"}]}, "requests[0].path: None is no path"),
        ({"requests": [{"path": "/", "form": {"a": "b"}, "body": "c"}]}, "requests[0]: form and body: only one"),
        ({"requests": [{"path": "/", "form": {"a": ["b"]}}]}, "requests[0].form.a: text is needed"),
        ({"requests": [{"path": "/", "headers": {"a": "b\r\nc: d"}}]}, "is more than a line"),
        ({"requests": [{"path": "/", "think": "1s"}]}, "requests[0]: think is unknown"),
        ({"requests": [{"path": "/", "expect": "ok"}]}, "requests[0].expect: 'ok' is not a whole number"),
        ({"visit": [{"path": "/", "keep": {"key": "key="}}]}, "visit[0].keep.key: a name, and a regular expression"),
        ({"visit": [{"path": "/", "keep": {"key": "(key"}}]}, "visit[0].keep.key: '(key' is no regular expression"),
        ({"visit": ["/", {"path": "/", "form": {"key": "{key}"}}]}, "visit[1]: {key} is kept by no request before"),
    ],
)
def test_a_wrong_scenario_is_told_by_its_key(change, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        scenario.parse("x", GOOD | change)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"steps": []}, "at least one is needed"),
        ({"rate": 5}, "rate: not with tool: ab"),
        ({"steps": [{"requests": 10}]}, "steps[0].concurrency: None is not a whole number"),
        ({"steps": [{"requests": 10, "concurrency": 20}]}, "more clients than requests"),
        ({"steps": [{"requests": 1.5, "concurrency": 1}]}, "steps[0].requests"),
    ],
)
def test_a_wrong_ladder_is_told_by_its_key(change, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        scenario.parse("x", GOOD_AB | change)


@pytest.mark.parametrize("content", [None, [], "text", {1: 2}])
def test_what_is_no_scenario_at_all(content):
    with pytest.raises(ValueError, match="keys and values are needed"):
        scenario.parse("x", content)


def test_until_ends_the_last_phase_only():
    phases = [{"rate": 1, "duration": 1, "until": "minimum_size"}, {"rate": 1, "duration": 1}]
    with pytest.raises(ValueError, match="only the last"):
        scenario.parse("x", {"description": "One", "phases": phases})


def test_errors_name_the_file_and_what_to_type(tmp_path):
    with pytest.raises(LoadtestError) as failure:
        scenario.load("ladders")
    assert "there is no scenario 'ladders'" in str(failure.value)
    assert "ladder, scale" in str(failure.value)
    wrong = tmp_path / "wrong.yml"
    wrong.write_text("description: One\nphases:\n  - {rate: 1, duration: 1s}\n  - rate: 5\n    duration: soon\n")
    with pytest.raises(LoadtestError, match=r"wrong.yml, line 5: phases\[1\].duration: 'soon' is no time"):
        scenario.load(str(wrong))
    wrong.write_text("description: One\nrate: 5\nduration: 1s\nvisit:\n  - /\n  - {path: '/{who}'}\n")
    with pytest.raises(LoadtestError, match=r"wrong.yml, line 6: visit\[1\]: {who} is kept by no request"):
        scenario.load(str(wrong))
    broken = tmp_path / "broken.yml"
    broken.write_text("rate: [1\n")
    with pytest.raises(LoadtestError) as failure:
        scenario.load(str(broken))
    assert "scenario broken.yml: is not YAML" in str(failure.value)
    assert "Type:" in str(failure.value)


@pytest.fixture
def deployed(tmp_path):
    directory = target.deploy_directory("local", tmp_path)
    directory.mkdir(parents=True)
    (directory / "url").write_text("http://Web2py-local.example\n")
    settings = {
        "paths": ["/date_time"],
        "slo": {"mean_ms": 400},
        "goals": {"max_ms": 400},
        "autoscaling_group": "web2py-local",
        "target_group_arn": "arn:aws:elasticloadbalancing:::targetgroup/x",
        "database": "web2py-local",
        "alarm_period": "10",
        "variables": {"AWS_ENDPOINT_URL": "http://127.0.0.1:4566"},
        "scenarios": ["burst"],
        "warning": "",
    }
    (directory / "loadtest.json").write_text(json.dumps(settings))
    return tmp_path


def test_the_target_is_what_is_deployed(deployed):
    found = target.load("local", root=deployed)
    assert (found.url, found.paths, found.alarm_period) == ("http://web2py-local.example", ("/date_time",), 10)
    assert target.load("local", "http://web2py-local.example/", root=deployed) == found


@pytest.mark.parametrize(
    "url", ["http://example.org", "https://web2py-local.example", "http://web2py-local.example:81"]
)
def test_another_address_is_refused(deployed, url):
    with pytest.raises(LoadtestError) as failure:
        target.load("local", url, root=deployed)
    assert "is not the address of `local`" in str(failure.value)
    assert "--outside-environment" in str(failure.value)


def test_another_address_is_taken_when_it_is_asked_for_and_nothing_is_done_to_the_stack(deployed):
    found = target.load("local", "http://example.org/x", outside=True, root=deployed)
    assert (found.url, found.autoscaling_group, found.slo) == ("http://example.org", "", {"mean_ms": 400})
    with pytest.raises(LoadtestError, match="acts on a deployment"):
        actions.check(scenario.load("chaos"), found)


def test_nothing_hangs_on_aws(deployed):
    found = replace(target.load("local", root=deployed), variables={})
    with pytest.raises(LoadtestError, match="only the local cloud"):
        actions.check(scenario.load("chaos"), found)
    actions.check(scenario.load("scale"), found)


def test_without_a_deployment_it_says_what_to_type(tmp_path):
    with pytest.raises(LoadtestError) as failure:
        target.load("local", root=tmp_path)
    assert "make deploy ENV=local" in str(failure.value)
    directory = target.deploy_directory("local", tmp_path)
    directory.mkdir(parents=True)
    (directory / "url").write_text("http://x\n")
    with pytest.raises(LoadtestError) as failure:
        target.load("local", root=tmp_path)
    assert "playbooks/loadtest.yml" in str(failure.value)


def test_steps_are_values():
    assert scenario.parse("x", GOOD_AB).steps == (Step(10, 2),)


@pytest.mark.parametrize("said", ["yes\n", "no\n", ""])
def test_on_aws_a_person_is_asked(monkeypatch, capsys, said):
    monkeypatch.setattr("sys.stdin", io.StringIO(said))
    if said == "yes\n":
        cli.ask("It costs money.\n", "Load it?")
    else:
        with pytest.raises(LoadtestError, match="nobody said yes"):
            cli.ask("It costs money.\n", "Load it?")
    assert "It costs money.\n\nLoad it? Type yes" in capsys.readouterr().err
