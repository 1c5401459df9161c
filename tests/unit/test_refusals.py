"""A fault of this project is one that says so: neither a refusal nor a hiccup without a word."""

from __future__ import annotations

import boto3
import pytest
from autoscaling_world import install_overlays
from botocore.config import Config
from botocore.exceptions import ClientError
from moto import mock_aws
from moto.autoscaling.responses import AutoScalingResponse
from programs import AWS


def fault_in(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have an operation fail in code of that module."""
    code = {"__name__": module}
    exec("def fault(_response): raise RuntimeError('it broke')", code)
    monkeypatch.setattr(AutoScalingResponse, "describe_tags", code["fault"])


@pytest.mark.parametrize(
    ("module", "status", "code"),
    [("localcloud.overlay.x", 500, "InternalFailure"), ("moto.autoscaling.x", 400, "InvalidParameterValue")],
)
def test_whose_fault_it_is(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, module: str, status: int, code: str
) -> None:
    for name, value in AWS.items():
        monkeypatch.setenv(name, value)
    install_overlays()
    fault_in(module, monkeypatch)
    with mock_aws(), pytest.raises(ClientError) as failed:
        boto3.client("autoscaling", config=Config(retries={"total_max_attempts": 1})).describe_tags()
    answer = failed.value.response
    assert (answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Code"]) == (status, code)
    assert ("python -m localcloud logs" in answer["Error"]["Message"]) is (status == 500)
    assert "it broke" in caplog.text
