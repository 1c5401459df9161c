"""The parameters of PostgreSQL on RDS: which there are, what values they take, and which wait for a reboot.

`postgres17_parameters.csv` is what PostgreSQL says of itself, with its contrib modules loaded:
`SELECT name, context, vartype, min_val, max_val, array_to_string(enumvals, '|') AS choices FROM pg_settings
WHERE context <> 'internal' ORDER BY 1`.
"""

from __future__ import annotations

import csv
import functools
from dataclasses import dataclass
from pathlib import Path

from moto.rds.exceptions import InvalidParameterCombination, InvalidParameterValue

TABLE = Path(__file__).with_name("postgres17_parameters.csv")
BOOLEANS = ("0", "1", "on", "off", "true", "false", "yes", "no")
# RDS's own; those that are read only when the server starts are true.
RDS_PARAMETERS = {
    "rds.accepted_password_auth_method": False,
    "rds.adaptive_autovacuum": False,
    "rds.custom_dns_resolution": True,
    "rds.extensions": False,
    "rds.force_admin_logging_level": False,
    "rds.force_autovacuum_logging_level": False,
    "rds.force_ssl": False,
    "rds.log_retention_period": False,
    "rds.logical_replication": True,
    "rds.rds_superuser_reserved_connections": True,
    "rds.restrict_password_commands": True,
}
# Settings of extensions that RDS offers and this machine's PostgreSQL does not have.
EXTENSIONS = ("cron.", "orafce.", "pgaudit.", "pglogical.", "plprofiler.", "plrust.", "postgis.")
# AWS's business: where the server's files are, where it listens, how it is secured.
FIXED = frozenset(
    {
        "allow_alter_system",
        "allow_system_table_mods",
        "config_file",
        "data_directory",
        "dynamic_library_path",
        "external_pid_file",
        "hba_file",
        "ident_file",
        "listen_addresses",
        "local_preload_libraries",
        "log_directory",
        "port",
        "ssl",
        "ssl_ca_file",
        "ssl_cert_file",
        "ssl_crl_dir",
        "ssl_crl_file",
        "ssl_key_file",
        "unix_socket_directories",
        "unix_socket_group",
        "unix_socket_permissions",
    }
)


@dataclass(frozen=True)
class Parameter:
    """A parameter of the family postgres17."""

    name: str
    static: bool
    data_type: str  # integer, float, boolean, string or list, as RDS says
    minimum: str = ""
    maximum: str = ""
    choices: tuple[str, ...] = ()

    @property
    def allowed(self) -> str:
        """The allowed values, as RDS writes them; empty when any are."""
        if self.choices:
            return ",".join(self.choices)
        return f"{self.minimum}-{self.maximum}" if self.minimum else ""

    def allows(self, value: str) -> bool:
        if "{" in value:  # a formula, such as {DBInstanceClassMemory/9531392}
            return True
        if self.choices:
            return value.lower() in self.choices
        if not self.minimum:
            return True
        try:
            number = int(value) if self.data_type == "integer" else float(value)
        except ValueError:
            return False
        return float(self.minimum) <= number <= float(self.maximum)


@functools.cache
def table() -> dict[str, Parameter]:
    """All parameters: name -> parameter."""
    types = {"bool": "boolean", "enum": "list", "integer": "integer", "real": "float", "string": "string"}
    parameters = {name: Parameter(name, static, "string") for name, static in RDS_PARAMETERS.items()}
    with TABLE.open(newline="") as file:
        for row in csv.DictReader(file):
            choices = BOOLEANS if row["vartype"] == "bool" else tuple(filter(None, row["choices"].split("|")))
            name = row["name"].lower()  # RDS writes timezone where PostgreSQL writes TimeZone
            parameters[name] = Parameter(
                name,
                row["context"] == "postmaster",
                types[row["vartype"]],
                row["min_val"],
                row["max_val"],
                choices,
            )
    return parameters


def is_static(name: str) -> bool:
    """Whether a parameter is read only when the server starts; RDS applies it with the next reboot."""
    parameter = table().get(name)
    return parameter is not None and parameter.static


def validated(name: str, value: str | None, apply_method: str | None) -> Parameter:
    """The parameter that is to be set. Raises RDS's errors for what it would refuse."""
    parameter = table().get(name)
    if parameter is None and name.startswith(EXTENSIONS):
        parameter = Parameter(name, static=False, data_type="string")
    if parameter is None:
        raise InvalidParameterValue(f"Could not find parameter with name: {name}")
    if name in FIXED:
        raise InvalidParameterValue(f"The parameter {name} cannot be modified.")
    if value and not parameter.allows(value):
        raise InvalidParameterValue(
            f"Invalid parameter value: {value} for: {name} allowed values are: {parameter.allowed}"
        )
    if parameter.static and apply_method == "immediate":
        raise InvalidParameterCombination("cannot use immediate apply method for static parameter")
    return parameter
