"""What a change does not name stays as it is, and what it names takes the place of what was there."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

Client = Callable[[str], Any]


def test_role(client: Client) -> None:
    iam = client("iam")
    trust = {"Version": "2012-10-17", "Statement": []}
    iam.create_role(
        RoleName="r", AssumeRolePolicyDocument=json.dumps(trust), Description="before", MaxSessionDuration=7200
    )
    iam.update_role(RoleName="r", MaxSessionDuration=3700)
    role = iam.get_role(RoleName="r")["Role"]
    assert (role["Description"], role["MaxSessionDuration"]) == ("before", 3700)
    iam.update_role(RoleName="r", Description="after")
    role = iam.get_role(RoleName="r")["Role"]
    assert (role["Description"], role["MaxSessionDuration"]) == ("after", 3700)


def test_prefix_list(client: Client) -> None:
    ec2 = client("ec2")
    entries = [{"Cidr": "192.0.2.0/24", "Description": "before"}, {"Cidr": "198.51.100.0/24"}]
    made = ec2.create_managed_prefix_list(PrefixListName="p", Entries=entries, MaxEntries=3, AddressFamily="IPv4")
    of_it = {"PrefixListId": made["PrefixList"]["PrefixListId"]}
    new = [{"Cidr": "192.0.2.0/24", "Description": "after"}]
    changed = ec2.modify_managed_prefix_list(**of_it, CurrentVersion=1, AddEntries=new)["PrefixList"]
    assert (changed["PrefixListName"], changed["Version"]) == ("p", 2)
    found = ec2.get_managed_prefix_list_entries(**of_it)["Entries"]
    assert {entry["Cidr"]: entry.get("Description") for entry in found} == {
        "192.0.2.0/24": "after",
        "198.51.100.0/24": None,
    }


def test_metric_filter(client: Client) -> None:
    logs = client("logs")
    logs.create_log_group(logGroupName="g")
    counted = [{"metricName": "m", "metricNamespace": "n", "metricValue": "1"}]
    for pattern in ("before", "after"):
        logs.put_metric_filter(logGroupName="g", filterName="f", filterPattern=pattern, metricTransformations=counted)
    found = logs.describe_metric_filters(logGroupName="g")["metricFilters"]
    assert [known["filterPattern"] for known in found] == ["after"]


def test_tags_of_dhcp_options(client: Client) -> None:
    made = client("ec2").create_dhcp_options(
        DhcpConfigurations=[{"Key": "domain-name", "Values": ["example.internal"]}],
        TagSpecifications=[{"ResourceType": "dhcp-options", "Tags": [{"Key": "Name", "Value": "n"}]}],
    )["DhcpOptions"]
    assert made["Tags"] == [{"Key": "Name", "Value": "n"}]


def test_event_subscription(client: Client) -> None:
    rds = client("rds")
    topic = client("sns").create_topic(Name="t")["TopicArn"]
    rds.create_event_subscription(
        SubscriptionName="s", SnsTopicArn=topic, SourceType="db-instance", EventCategories=["failure"], Enabled=True
    )
    rds.modify_event_subscription(SubscriptionName="s", Enabled=False)
    (found,) = rds.describe_event_subscriptions(SubscriptionName="s")["EventSubscriptionsList"]
    assert (found["Enabled"], found["EventCategoriesList"]) == (False, ["failure"])
    with pytest.raises(ClientError, match="SubscriptionNotFound"):
        rds.modify_event_subscription(SubscriptionName="other", Enabled=False)


def test_backup_window_that_is_none(client: Client) -> None:
    with pytest.raises(ClientError, match="Invalid backup window format: at night") as refused:
        client("rds").create_db_instance(
            DBInstanceIdentifier="w", Engine="postgres", DBInstanceClass="db.t3.micro", AllocatedStorage=20,
            MasterUsername="master", MasterUserPassword="eight-letters", PreferredBackupWindow="at night",
        )  # fmt: skip
    assert refused.value.response["Error"]["Code"] == "InvalidParameterValue"


def test_option_group_of_the_version_that_runs_here(client: Client) -> None:
    rds = client("rds")
    assert rds.describe_option_groups()["OptionGroupsList"] == []
    group = {"OptionGroupName": "o", "OptionGroupDescription": "d", "EngineName": "postgres"}
    made = rds.create_option_group(**group, MajorEngineVersion="17")["OptionGroup"]
    assert made["MajorEngineVersion"] == "17"
    found = rds.describe_option_groups(EngineName="postgres", MajorEngineVersion="17")["OptionGroupsList"]
    assert [known["OptionGroupName"] for known in found] == ["o"]
    assert rds.describe_option_groups(EngineName="mysql")["OptionGroupsList"] == []
    with pytest.raises(ClientError, match="Cannot find major version 99"):
        rds.create_option_group(**{**group, "OptionGroupName": "other"}, MajorEngineVersion="99")
