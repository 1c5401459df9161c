"""The API's state survives `kill -9` at any moment; what can't be kept is said."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import private_machine
import pytest
from botocore.exceptions import ClientError
from running_cloud import PROJECT_ROOT, Cloud, docker
from terraform_stack import TerraformStack

HERE = Path(__file__).parent
ACKNOWLEDGED = 6  # times that a change is followed by a kill


@pytest.fixture(scope="module")
def other_machine_is_possible() -> None:
    reason = private_machine.why_not()
    if reason:
        pytest.skip(reason)


def test_killed_engine_and_reboot(cloud: Cloud, other_machine_is_possible: None, tmp_path: Path) -> None:
    """The stages are applied while the API is killed; then the engine is killed, then the machine rebooted."""
    stack = TerraformStack(cloud, tmp_path / "stack")
    stack.directory.mkdir()
    stages = (HERE / "stacks/stages.tf").read_text().replace("TERRAFORM_DIRECTORY", str(PROJECT_ROOT / "terraform"))
    stack.write(stages)
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", str(key)], check=True)
    stack.set_variables({"cidr": "10.99.0.0/16", "public_key": key.with_suffix(".pub").read_text().strip()})
    stack.init()  # here, because there is no way out of the private machine
    done = private_machine.run_tests(HERE / "state_on_a_private_machine.py", tmp_path, port=cloud.port, timeout=1800)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"


@pytest.mark.essential
def test_acknowledged_change_is_never_lost(cloud: Cloud) -> None:
    """The process is killed the moment that the answer is there."""
    ssm, ec2 = cloud.client("ssm"), cloud.client("ec2")
    vpc_id = cloud.vpc_id

    def change_parameter(value: str) -> None:
        ssm.put_parameter(Name="/state/number", Value=value, Type="String", Overwrite=True)

    def parameter() -> str:
        return str(ssm.get_parameter(Name="/state/number")["Parameter"]["Value"])

    def change_tag(value: str) -> None:
        ec2.create_tags(Resources=[vpc_id], Tags=[{"Key": "number", "Value": value}])

    def tag() -> str:
        tags = ec2.describe_vpcs(VpcIds=[vpc_id])["Vpcs"][0]["Tags"]
        return next(str(tag["Value"]) for tag in tags if tag["Key"] == "number")

    for number in range(ACKNOWLEDGED):
        change, look = ((change_parameter, parameter), (change_tag, tag))[number % 2]
        change(str(number))
        cloud.kill()
        cloud.up()
        assert look() == str(number)
    ssm.delete_parameter(Name="/state/number")


def test_new_ids_are_not_those_of_before(cloud: Cloud) -> None:
    """After a restart the process draws other random ids, and addresses go on where they were."""
    groups = [
        cloud.client("ec2").create_security_group(GroupName=f"ids-{n}", Description="ids")["GroupId"] for n in "ab"
    ]
    cloud.kill()
    cloud.up()
    groups += [
        cloud.client("ec2").create_security_group(GroupName=f"ids-{n}", Description="ids")["GroupId"] for n in "cd"
    ]
    assert len(set(groups)) == 4
    for group in groups:
        cloud.client("ec2").delete_security_group(GroupId=group)


def test_two_at_once_start_one(cloud: Cloud) -> None:
    cloud.kill()
    both = [start(cloud) for _ in range(2)]
    outputs = [process.communicate()[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    running = subprocess.run(["pgrep", "-f", "localcloud serve"], capture_output=True, text=True, check=True).stdout
    ours = [pid for pid in running.split() if f"LOCALCLOUD_PORT={cloud.port}" in environment(pid)]
    assert ours == [(cloud.home / "pid").read_text().split()[0]]


def test_damaged_state_is_not_started_over(cloud: Cloud) -> None:
    """What it was is for the user to say; nothing is removed or made meanwhile."""
    vpc_id = cloud.vpc_id
    instance_id = cloud.run_instance()
    cloud.kill()
    before = there_is(cloud)
    state = cloud.home / "state.pickle"
    content = state.read_bytes()
    state.write_bytes(content[: len(content) // 2])
    try:
        failed = start(cloud)
        output, _nothing = failed.communicate()
        assert failed.returncode == 1
        assert f"{state} is damaged" in output
        assert "python -m localcloud down" in output
        assert there_is(cloud) == before
    finally:
        state.write_bytes(content)
        cloud.up()
    assert cloud.client("ec2").describe_vpcs(VpcIds=[vpc_id])["Vpcs"]
    cloud.terminate(instance_id)


def there_is(cloud: Cloud) -> set[str]:
    """Ids of the cloud's containers and networks."""
    ours = ("--quiet", "--filter", f"label=localcloud.port={cloud.port}")
    return {*docker("ps", "--all", *ours).split(), *docker("network", "ls", *ours).split()}


def start(cloud: Cloud) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "localcloud", "up"],
        cwd=PROJECT_ROOT,
        env=cloud.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def environment(pid: str) -> list[str]:
    try:
        return Path(f"/proc/{pid}/environ").read_text().split("\0")
    except OSError:
        return []


def test_service_whose_state_is_not_kept_says_so(cloud: Cloud) -> None:
    sqs = cloud.client("sqs")
    sqs.create_queue(QueueName="lost")
    sqs.create_queue(QueueName="lost-too")
    warnings = [line for line in cloud.log.splitlines() if "sqs: its state is not kept" in line]
    assert len(warnings) == 1
    cloud.kill()
    cloud.up()
    with pytest.raises(ClientError, match="NonExistentQueue"):
        sqs.get_queue_url(QueueName="lost")
