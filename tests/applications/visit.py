"""An application in the stack, on three instances, and its visitor."""

from __future__ import annotations

import dataclasses
import itertools
import secrets
from dataclasses import dataclass, field
from pathlib import Path

from application import Application
from private_index import Index
from project_copy import Project
from stack import configure, fleet, healthy_targets, succeeded
from visitor import Visitor
from waiting import wait_until

SIZE = 3


@dataclass
class Visit:
    """`index`: where its own packages are, for a user whose pip asks there. `secrets`: those that the settings name,
    with their values. `visitor`: when he has come.
    """

    application: Application
    project: Project
    source: Path
    index: Index | None = None
    secrets: dict[str, str] = field(default_factory=dict)
    visitor: Visitor | None = None

    def __post_init__(self) -> None:
        if self.index:
            user = {**self.project.credentials, **self.index.environment}
            self.project = dataclasses.replace(self.project, credentials=user)

    @property
    def logs(self) -> list[Path]:
        return self.project.logs

    def configure(self, size: int) -> None:
        own = self.application.settings
        configure(self.project, web2py_app_source=str(self.source), asg_min_size=size, nginx_access_log=True, **own)

    def deploy(self) -> None:
        """From nothing, or in the place of another, whose tables stay. Return when `SIZE` instances are in service."""
        self.configure(SIZE)
        options = self.application.settings.get("web2py_app_secrets", {}).values()
        for name in set(itertools.chain.from_iterable(option.values() for option in options)) - self.secrets.keys():
            self._keep(name, secrets.token_urlsafe())
        if not (self.project.root / ".deploy/local/url").exists():
            succeeded(self.project.playbook("site.yml"))
        else:
            succeeded(self.project.playbook("playbooks/deploy.yml"))
            succeeded(self.project.playbook("playbooks/scale.yml", desired_capacity=SIZE))
        wait_until(lambda: self.in_service(SIZE), 300, what=f"{SIZE} instances are in service")

    def _keep(self, name: str, value: str) -> None:
        """As `make secret` does."""
        file = self.source.parent / f"{name}.secret"
        file.write_text(value)
        succeeded(self.project.playbook("playbooks/secret.yml", secret=name, file=file))
        self.secrets[name] = value

    def in_service(self, size: int) -> bool:
        return len(fleet(self.project)) == size and healthy_targets(self.project) == set(fleet(self.project))
