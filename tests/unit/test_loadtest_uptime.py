"""The uptime model: its properties, and its figures by hand."""

import itertools
import math
from dataclasses import replace

import patient  # noqa: F401
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from loadtest import cli, figures, uptime
from loadtest.errors import LoadtestError
from loadtest.uptime import Inputs

probability = st.floats(0, 1)
sizes = st.integers(0, 12)
seconds = st.floats(0, 600)

inputs = st.builds(
    Inputs,
    launch_to_healthy=seconds,
    detection_dead=seconds,
    detection_hanging=seconds,
    hanging_share=probability,
    instance_failures_per_day=st.floats(0, 2),
    common_cause_share=probability,
    deploys_per_day=st.floats(0, 5),
    lost_per_deploy=st.floats(0, 2),
    database_restarts_per_day=st.floats(0, 1),
    database_restart=seconds,
    load_balancer_lost_per_day=st.floats(0, 10),
    alarm_delay=seconds,
    growth_per_minute=st.floats(0, 1000),
    capacity_per_instance=st.floats(10, 5000),
)
rates = st.floats(1, 3000)
slos = st.floats(90, 99.999)


@given(st.integers(0, 7), st.integers(0, 8), probability)
def test_too_few_up_is_the_sum_over_all_cases(size, needed, down):
    expected = 0.0
    for ups in itertools.product((True, False), repeat=size):
        if sum(ups) < needed:
            expected += math.prod(1 - down if up else down for up in ups)
    assert uptime.too_few_up(size, needed, down) == pytest.approx(expected, abs=1e-12)


@given(sizes, sizes, probability)
def test_more_instances_are_never_worse_and_needing_more_is_never_better(size, needed, down):
    now = uptime.too_few_up(size, needed, down)
    assert -1e-12 <= now <= 1 + 1e-12
    assert uptime.too_few_up(size + 1, needed, down) <= now + 1e-12
    assert uptime.too_few_up(size, needed + 1, down) >= now - 1e-12


@given(sizes, sizes, probability, probability)
def test_instances_that_are_down_more_often_are_never_better(size, needed, one, other):
    low, high = sorted((one, other))
    assert uptime.too_few_up(size, needed, low) <= uptime.too_few_up(size, needed, high) + 1e-9


@given(inputs, slos, rates)
def test_the_answer_is_within_the_budget_and_the_smallest(figures, slo, rate):
    answer = uptime.smallest_group(figures, slo, rate)
    assert answer.needed * figures.capacity_per_instance >= rate * (1 - 1e-6)
    assert (answer.needed - 1) * figures.capacity_per_instance < rate
    if answer.size is None:
        return
    assert answer.losses.total <= answer.budget
    assert answer.size >= answer.needed + answer.warm
    if answer.size > answer.needed + answer.warm:
        assert uptime.losses(figures, answer.size - 1, answer.needed).total > answer.budget


@given(inputs, slos, rates)
def test_where_no_group_suffices_none_does(figures, slo, rate):
    answer = uptime.smallest_group(figures, slo, rate)
    if answer.size is None:
        for more in (0, 1, 5, 50):
            size = answer.needed + answer.warm + more
            assert uptime.losses(figures, size, answer.needed).total > answer.budget


@given(inputs, slos, rates)
def test_a_faster_replacement_never_takes_more_instances(figures, slo, rate):
    slow = uptime.smallest_group(figures, slo, rate)
    fast = uptime.smallest_group(replace(figures, launch_to_healthy=figures.launch_to_healthy / 2), slo, rate)
    if slow.size is not None:
        assert fast.size is not None
        assert fast.size <= slow.size


@given(inputs, rates)
def test_a_stricter_slo_never_takes_fewer_instances(figures, rate):
    loose, strict = (uptime.smallest_group(figures, slo, rate).size for slo in (99.0, 99.99))
    assert strict is None or (loose is not None and loose <= strict)


@given(inputs, rates)
def test_warm_instances_carry_what_is_added_until_new_ones_serve(figures, rate):
    added = figures.growth_per_minute / 60 * (figures.alarm_delay + figures.launch_to_healthy)
    needed = uptime.instances_for(rate, figures.capacity_per_instance)
    warm = uptime.warm_instances(figures, rate)
    assert warm >= 0
    assert (needed + warm) * figures.capacity_per_instance >= (rate + added) * (1 - 1e-6)


def test_figures_by_hand():
    figures = Inputs(
        launch_to_healthy=9,
        detection_dead=5,
        detection_hanging=19,
        hanging_share=0.5,
        instance_failures_per_day=1,
        common_cause_share=0,
        deploys_per_day=1,
        lost_per_deploy=2,
        database_restarts_per_day=0.1,
        database_restart=10,
        load_balancer_lost_per_day=0,
        alarm_delay=20,
        growth_per_minute=60,
        capacity_per_instance=500,
    )
    assert figures.detection == 12
    assert figures.repair == 21
    assert figures.down_probability == pytest.approx(21 / (86400 + 21))
    found = uptime.losses(figures, 2, 2)
    assert found.undetected == 12
    assert found.deploys == 2
    assert found.database == 1
    # One of two down, or both.
    assert found.too_few == pytest.approx(86400 * (1 - (1 - figures.down_probability) ** 2))
    answer = uptime.smallest_group(figures, 99.95, 1000)
    assert (answer.needed, answer.warm, answer.size) == (2, 1, 3)
    assert answer.budget == pytest.approx(43.2)
    # 12 + 2 + 1 s are lost whatever the size: no group promises 99.99 %.
    assert uptime.smallest_group(figures, 99.99, 1000).size is None


def test_the_projects_figures_are_complete_and_say_where_they_are_from():
    figures, content = uptime.read()
    assert set(content) == set(Inputs.__dataclass_fields__)
    assert all(entry["source"].strip() for entry in content.values())
    assert any(entry["measured"] for entry in content.values())
    assert uptime.smallest_group(figures, 99.9, 1000).size is not None


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("launch_to_healthy", {"value": -1}, "launch_to_healthy.value: -1 is not a number from 0"),
        ("hanging_share", {"value": 1.5}, "a share is at most 1"),
        ("capacity_per_instance", {"value": 0}, "capacity_per_instance: above 0"),
        ("detection_dead", {"source": None, "why": 1}, "value, measured and source are needed"),
    ],
)
def test_wrong_figures_are_told_by_name(tmp_path, name, change, words):
    _, content = uptime.read()
    content[name] |= change
    file = tmp_path / "uptime.yml"
    file.write_text(yaml.safe_dump(content))
    with pytest.raises(LoadtestError, match=words):
        uptime.read(file)


def test_the_command_says_the_size_what_is_lost_and_what_is_assumed(capsys):
    assert cli.main(["uptime", "--slo", "99.9", "--rate", "900", "--capacity", "300"]) == 0
    said = capsys.readouterr().out
    assert "86.40 s in which requests may fail" in said
    assert "3 carry 900 requests/s" in said
    assert "Assumed, not measured: " in said
    assert cli.main(["uptime", "--slo", "99.99999"]) == 1
    assert "No group keeps within that" in capsys.readouterr().out
    assert cli.main(["uptime", "--slo", "100"]) == 2


def test_the_documents_table_is_of_these_figures():
    """Mended by `python -m loadtest uptime --table`."""
    here, sources = uptime.read()
    places = {"the local cloud, measured": here, "AWS, assumed": uptime.on_aws(sources)}
    assert figures.read(uptime.PAGE, uptime.COMMAND).strip().splitlines() == list(uptime.table(places, 1000))


def test_what_is_assumed_of_aws_takes_the_place_of_what_was_measured():
    here, sources = uptime.read()
    there = uptime.on_aws(sources)
    assert there.launch_to_healthy > here.launch_to_healthy
    assert there.capacity_per_instance < here.capacity_per_instance
    assert there.growth_per_minute == here.growth_per_minute
