"""A setting's rule stands twice, in roles/preflight and in the Terraform stage that gets it: both say the same.

Each setting gets values at and beside every number of its two rules, or those below; others keep their own value. The
preflight may be stricter only where `STRICTER` says why.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import init_plugin_loader
from ansible.template import Templar, trust_as_template
from programs import TERRAFORM

ROOT = Path(__file__).resolve().parents[2]
STAGES = {
    "network": "playbooks/network.yml",
    "database": "playbooks/database.yml",
    "hosts": "playbooks/hosts.yml",
    "fleet": "playbooks/tasks/fleet.yml",
}
HOST_ROLES = ("web2py", "uwsgi", "nginx", "web2py_app", "migration")
# What a deployment knows that has got so far.
WORLD = {
    "project_root": str(ROOT),
    "environment_name": "aws",
    "builders_ssh_cidr": "{{ ssh_cidr or '203.0.113.7/32' }}",
    "builders_public_key": "ssh-ed25519 AAAA",
    "fleet_ami_id": "ami-0",
    "network_uploads_bucket": False,
    "terraform_stage_outputs": {
        "network": {
            "vpc_id": "vpc-0",
            "public_subnet_ids": ["subnet-0", "subnet-1"],
            "private_subnet_ids": ["subnet-0", "subnet-1"],
            "app_security_group_id": "sg-0",
        },
        "hosts": {"ssh_security_group_id": "sg-0", "key_name": "key-0"},
    },
}
TEXTS = {
    "project_name": ["web2py", "w", "Web2py", "web--2py", "2web", "web_2", "internal-x", "web2py-", "a" * 20, "a" * 33],
    "aws_region": ["eu-central-1", "us-gov-west-1", "us-east", "eu_west_1", "US-EAST-1", ""],
    "vpc_cidr": [
        *(
            "10.0.0.0/16",
            "10.0.0.0/15",
            "10.0.0.0/23",
            "10.0.0.0/24",
            "10.0.0.1/16",
            "10.0.0.0",
            "10.300.0.0/16",
            "::/16",
        ),
        *("172.16.0.0/16", "172.32.0.0/16", "192.168.0.0/16", "100.64.0.0/16", "100.128.0.0/16", "8.8.0.0/16"),
    ],
    "private_subnet_egress": ["none", "s3", "nat", "internet", ""],
    "ssh_cidr": ["", "203.0.113.7/32", "203.0.113.7", "203.0.113.0/24", "0.0.0.0/0", "203.0.113.300/32", "here"],
    "db_engine_version": ["17", "17.4", "15", "16.1", "14", "14.9", "9.6", "18", "seventeen", "17.", ""],
    "db_instance_class": ["db.t4g.micro", "db.m6i.large", "t4g.micro", "db.", "db.micro", "DB.T3.MICRO", ""],
    "db_name": ["app", "App", "my-app", "1app", "", "a" * 63, "a" * 64],
    "db_master_username": ["root", "admin", "rdsadmin", "pg_me", "rds_me", "web2py", "Root", "", "a" * 63, "a" * 64],
    "db_app_username": ["app", "admin", "rdsadmin", "pg_me", "rds_me", "dbadmin", "App", "my-app", "", "a" * 64],
    "instance_type": [
        "m6i.large",
        "t3a.micro",
        "t4g.micro",
        "c7gn.large",
        "a1.large",
        "g5.xlarge",
        "micro",
        "T3.micro",
        "",
    ],
    "load_balancing_algorithm": ["round_robin", "weighted_random", ""],
    "scaling_policy": ["target_tracking", "step", ""],
    "domain_name": ["www.example.com"],
    "certificate_arn": ["arn:aws:acm:us-east-1:123456789012:certificate/1", "certificate"],
    "health_check_path": ["/", "/a?b=c", "health", "", "/with blank", "/" + "a" * 1023, "/" + "a" * 1024],
}
# Refused by the preflight, not by Terraform.
STRICTER = {
    "project_name": "it is a part of the name that Terraform gets",
    "vpc_cidr": "only who owns public addresses may use them, which Terraform leaves to its user",
    "alarm_period": "10 and 30 s are refused on AWS only, and a stage does not know where it is",
    "health_check_interval": "launch_timeout, in which an instance becomes healthy, is no stage's",
}


def load(file: str) -> dict[str, Any]:
    return dict(DataLoader().load_from_file(str(ROOT / file), trusted_as_template=True))


@pytest.fixture(scope="module")
def settings() -> dict[str, Any]:
    """Of AWS, with the preflight's rules among them."""
    files = ("group_vars/all.yml", "inventory/aws/group_vars/all.yml", "roles/preflight/vars/main.yml")
    values = {key: value for file in files for key, value in load(file).items()}
    world = {
        key: trust_as_template(value) if isinstance(value, str) and "{{" in value else value
        for key, value in WORLD.items()
    }
    return {**values, **world}


def variables_of_stages() -> dict[str, dict[str, str]]:
    """The templates of each stage's variables, as the playbooks and the role say them."""

    def found(node: Any) -> Iterator[dict[str, str]]:
        for key, value in node.items() if isinstance(node, dict) else enumerate(node):
            if key == "terraform_stage_variables":
                yield value
            elif isinstance(value, dict | list):
                yield from found(value)

    always = {"name": "{{ name_prefix }}", "region": "{{ aws_region }}", "tags": "{{ resource_tags }}"}
    files = {stage: yaml.safe_load((ROOT / file).read_text()) for stage, file in STAGES.items()}
    return {stage: {**always, **next(found(text))} for stage, text in files.items()}


def validations(stage: str) -> dict[str, str]:
    """What Terraform checks, by variable."""
    text = (ROOT / f"terraform/{stage}/variables.tf").read_text()
    blocks = re.findall(r'^variable "(\w+)" \{\n(.*?)^\}', text, re.DOTALL | re.MULTILINE)
    return {name: " ".join(re.findall(r"^ +condition += (.*)", block, re.MULTILINE)) for name, block in blocks}


def trusted(templates: dict[str, str]) -> dict[str, Any]:
    return {name: trust_as_template(template) for name, template in templates.items()}


def uses_setting(template: str, setting: str, settings: dict[str, Any]) -> bool:
    """Whether a template has a setting in it, or another variable that has."""
    words = re.findall(r"\w+", template)
    return setting in words or any(
        isinstance(settings.get(word), str) and "{{" in settings[word] and setting in re.findall(r"\w+", settings[word])
        for word in words
    )


def candidates(setting: str, texts: list[str], value: Any) -> list[Any]:
    """Values to try: of a number, those at and beside each number that a rule has."""
    if isinstance(value, str):
        return TEXTS[setting]
    numbers = {int(number) for text in texts for number in re.findall(r"(?<![\w.])-?\d+(?![\w.])", text)}
    return sorted({number + step for number in numbers for step in (-1, 0, 1)})


def refused_by_preflight(settings: dict[str, Any], setting: str) -> bool:
    """Whether its type or any rule that speaks of it says no."""
    spec = {setting: settings["__preflight_settings"][setting]}
    if ArgumentSpecValidator(spec).validate({setting: settings[setting]}).error_messages:
        return True
    rules = [rule["holds"] for rule in settings["__preflight_rules"] if uses_setting(rule["holds"], setting, settings)]
    return not all(Templar(DataLoader(), settings).template(rules))


def refused_by_terraform(directory: Path, cases: dict[str, tuple[str, dict[str, Any]]]) -> set[str]:
    """The names of those cases, each a stage and its variables, that the stage's validations refuse."""
    for stage in STAGES:
        (directory / stage).mkdir()
        shutil.copy(ROOT / f"terraform/{stage}/variables.tf", directory / stage)
    refused: set[str] = set()
    # What a rule says of two variables, Terraform checks only when no variable alone is wrong.
    for command in (["init", "-backend=false", "-json"], ["plan", "-json"], ["plan", "-json"]):
        modules = {
            name: {"source": f"./{stage}", **variables}
            for name, (stage, variables) in cases.items()
            if name not in refused
        }
        (directory / "main.tf.json").write_text(json.dumps({"module": modules}))
        done = subprocess.run(
            ["terraform", *command],
            cwd=directory,
            check=False,
            text=True,
            stdout=subprocess.PIPE,
            env={**os.environ, **TERRAFORM},
        )
        lines = map(json.loads, done.stdout.splitlines())
        for diagnostic in [line["diagnostic"] for line in lines if line["type"] == "diagnostic"]:
            # Anything else would be a fault of the test.
            assert diagnostic["summary"] == "Invalid value for variable", diagnostic
            refused.add(diagnostic["snippet"]["context"].removeprefix("module."))
    return refused


def test_preflight_and_terraform_refuse_the_same(settings: dict[str, Any], tmp_path: Path) -> None:
    cases: dict[str, tuple[str, dict[str, Any]]] = {}
    tried: dict[str, tuple[str, Any, bool]] = {}
    for stage, variables in variables_of_stages().items():
        checks = validations(stage)
        usual = Templar(DataLoader(), settings).template(trusted(variables))
        for setting in settings["__preflight_settings"]:
            uses = [
                name
                for name, template in variables.items()
                if checks[name] and uses_setting(template, setting, settings)
            ]
            rules = [checks[name] for name in uses] + [
                rule["holds"]
                for rule in settings["__preflight_rules"]
                if uses_setting(rule["holds"], setting, settings)
            ]
            if not uses or isinstance(settings[setting], bool):
                continue
            for value in candidates(setting, rules, settings[setting]):
                name = f"case{len(cases)}"
                changed = {**settings, setting: value}
                ours = Templar(DataLoader(), changed).template(trusted({use: variables[use] for use in uses}))
                cases[name] = stage, {**usual, **ours}
                tried[name] = setting, value, refused_by_preflight(changed, setting)
    refused = refused_by_terraform(tmp_path, cases)
    assert len(refused) > 100
    assert [tried[name][:2] for name in refused if not tried[name][2]] == [], "found too late"
    stricter = [(setting, value) for name, (setting, value, no) in tried.items() if no and name not in refused]
    assert [case for case in stricter if case[0] not in STRICTER] == [], "or say why in STRICTER"


def test_defaults_are_the_same(settings: dict[str, Any]) -> None:
    """Terraform's are for those who use a stage alone."""
    different = []
    for stage, variables in variables_of_stages().items():
        text = (ROOT / f"terraform/{stage}/variables.tf").read_text()
        defaults = re.findall(r'^variable "(\w+)" \{\n(?:  .*\n|\n)*?  default +=(.*)', text, re.MULTILINE)
        ours = Templar(DataLoader(), settings).template(trusted(variables))
        different += [(stage, name) for name, value in defaults if name in ours and ours[name] != json.loads(value)]
    assert different == []


SERVER = "127.0.0.1:8888"


@pytest.mark.parametrize(
    ("setting", "value", "refused"),
    [
        ("nginx_websocket_locations", {}, False),
        ("nginx_websocket_locations", {"/realtime/": SERVER, "/a/b-c_d.e~f": "10.80.1.2:65535"}, False),
        ("nginx_websocket_locations", {"/": SERVER}, True),
        ("nginx_websocket_locations", {"realtime/": SERVER}, True),
        ("nginx_websocket_locations", {"/a b/": SERVER}, True),
        ("nginx_websocket_locations", {"/a/ { return 200; } location /b/": SERVER}, True),
        ("nginx_websocket_locations", {"/a/;": SERVER}, True),
        ("nginx_websocket_locations", {"/a/\n": SERVER}, True),
        ("nginx_websocket_locations", {"/$uri/": SERVER}, True),
        ("nginx_websocket_locations", {"/a/": "localhost:8888"}, True),
        ("nginx_websocket_locations", {"/a/": "127.0.0.1"}, True),
        ("nginx_websocket_locations", {"/a/": "127.0.0.1:0"}, True),
        ("nginx_websocket_locations", {"/a/": "127.0.0.1:65536"}, True),
        ("nginx_websocket_locations", {"/a/": "127.0.0.1:8888\n"}, True),
        ("nginx_websocket_locations", {"/a/": "127.0.0.1:8888; include /etc/passwd"}, True),
        ("nginx_websocket_locations", {"/a/": 8888}, True),
        ("nginx_websocket_locations", {"/a/": None}, True),
        ("nginx_websocket_locations", ["/a/"], True),
        ("web2py_app_services", {}, False),
        ("web2py_app_services", {"realtime": "-m gluon.contrib.websocket_messaging -p 8888"}, False),
        ("web2py_app_services", {"../realtime": "a.py"}, True),
        ("web2py_app_services", {"realtime": "a.py\nUser=root"}, True),
        ("web2py_app_services", {"realtime": ["a.py"]}, True),
        ("web2py_app_services", {"realtime": ""}, True),
    ],
)
def test_what_no_stage_gets(settings: dict[str, Any], setting: str, value: Any, refused: bool) -> None:
    """It is written into files on the hosts, and nothing but what it is for can be."""
    assert refused_by_preflight({**settings, setting: value}, setting) == refused


def test_what_playbooks_set_is_not_for_users(settings: dict[str, Any]) -> None:
    """Their list has all of it: variables of plays, of files of variables and of facts that are a role's."""
    named = set(settings["__preflight_set_by_playbooks"])
    found: set[str] = set()
    for file in sorted((ROOT / "playbooks").rglob("*.yml")):
        if "group_vars" not in file.parts:
            found |= set(names_set_in(yaml.safe_load(file.read_text())))
    roles = {variable for role in HOST_ROLES for variable in inputs_of(role)}
    assert named == found & roles - {"web2py_app_archive"}  # which the role itself makes, on this machine
    init_plugin_loader()
    (rule,) = [rule["holds"] for rule in settings["__preflight_rules"] if "set_by_user" in rule["holds"]]
    assert Templar(DataLoader(), settings).template(rule)
    for name in named:
        assert not Templar(DataLoader(), {**settings, name: "anything"}).template(rule), name


def inputs_of(role: str) -> Iterator[str]:
    """Variables that a role may be given, of all of its entry points."""
    specs = yaml.safe_load((ROOT / f"roles/{role}/meta/argument_specs.yml").read_text())["argument_specs"]
    for entry in specs.values():
        yield from entry.get("options", {})


def names_set_in(node: Any) -> Iterator[str]:
    """Of a file of variables, or of plays and tasks."""
    if isinstance(node, dict) and not {"hosts", "name", "ansible.builtin.import_playbook"} & node.keys():
        yield from node
    stack = [node]
    while stack:
        node = stack.pop()
        if isinstance(node, dict):
            for part in ("vars", "ansible.builtin.set_fact"):
                yield from node.get(part) or {}
        if isinstance(node, (dict, list)):
            stack += node.values() if isinstance(node, dict) else node


@pytest.mark.parametrize(
    ("setting", "good", "bad"),
    [
        ("nginx_websocket_timeout", [1, 3600, "60"], [0, -1, "1h", "60; include x", 1000000]),
        ("nginx_uwsgi_max_temp_file_size", ["1024m", "2G", 0, "65536"], ["", "much", "1m; x", "1m\n", "-1"]),
    ],
)
def test_what_may_be_left_out(settings: dict[str, Any], setting: str, good: list[Any], bad: list[Any]) -> None:
    (rule,) = [rule["holds"] for rule in settings["__preflight_rules"] if setting in rule["holds"]]
    assert setting not in settings

    def holds(world: dict[str, Any]) -> bool:
        return bool(Templar(DataLoader(), world).template(rule))

    assert holds(settings)
    assert all(holds({**settings, setting: value}) for value in good)
    assert not any(holds({**settings, setting: value}) for value in bad)
