"""Versions of launch templates that can be deleted. moto finds a version by its place in the list of all."""

from __future__ import annotations

import functools
from typing import Any

from moto.core.responses import ActionResult
from moto.ec2.exceptions import EC2ClientError, InvalidLaunchTemplateVersionNotFound
from moto.ec2.models.launch_templates import LaunchTemplate, LaunchTemplateBackend, LaunchTemplateVersion
from moto.ec2.responses.launch_templates import LaunchTemplates

MOST_VERSIONS = 10000  # of one launch template, AWS's quota


def install() -> None:
    """Change moto's launch templates."""
    create, describe = LaunchTemplate.create_version, LaunchTemplateBackend.describe_launch_template_versions

    @functools.wraps(create)
    def create_version(self: Any, data: dict[str, Any], description: str) -> LaunchTemplateVersion:
        """A number is given once, also when its version was deleted."""
        newest = max((version.number for version in self.versions), default=0)
        version = create(self, data, description)
        version.number = max(newest, self.__dict__.get("newest_number", 0)) + 1
        self.newest_number = version.number
        return version

    def get_version(self: Any, number: Any) -> LaunchTemplateVersion:
        """The version of a number, of `$Latest` or `$Default`."""
        names = {"$latest": self.versions[-1].number, "$default": self.default_version_number}
        wanted = str(names.get(str(number).lower(), number))
        for version in self.versions:
            if str(version.number) == wanted:
                return version  # type: ignore[no-any-return]
        raise InvalidLaunchTemplateVersionNotFound(template_id=self.id, version=number)

    def default_version(self: Any) -> LaunchTemplateVersion:
        return get_version(self, "$Default")

    @functools.wraps(describe)
    def describe_by_number(
        self: Any,
        template_name: str,
        template_id: str,
        versions: list[str],
        min_version: int,
        max_version: int,
        max_results: int,
    ) -> Any:
        """A range of numbers, of which some may have been deleted."""
        if not versions and (template_name or template_id) and (min_version or max_version):
            found = describe(self, template_name, template_id, [], 0, 0, MOST_VERSIONS)
            least, most = int(min_version or 1), int(max_version or MOST_VERSIONS)
            return [pair for pair in found if least <= pair[1].number <= most][:max_results]
        return describe(self, template_name, template_id, versions, min_version, max_version, max_results)

    template: Any = LaunchTemplate
    template.create_version = create_version
    template.get_version = get_version
    template.default_version = default_version
    LaunchTemplateBackend.describe_launch_template_versions = describe_by_number  # type: ignore[method-assign]
    LaunchTemplates.delete_launch_template_versions = delete_launch_template_versions  # type: ignore[attr-defined]


def delete_launch_template_versions(self: LaunchTemplates) -> ActionResult:
    """DeleteLaunchTemplateVersions: each version by itself; the default one and those that don't exist are not."""
    name, template_id = self._get_param("LaunchTemplateName"), self._get_param("LaunchTemplateId")
    if bool(name) == bool(template_id):
        raise EC2ClientError(
            "MissingParameter" if not name else "InvalidParameterCombination",
            "The request must contain the parameter launchTemplateId or launchTemplateName, and not both",
        )
    backend = self.ec2_backend
    template = backend.get_launch_template_by_name(name) if name else backend.get_launch_template(template_id)
    self.error_on_dryrun()
    deleted, kept = [], []
    for number in self._get_param("Versions", []):
        item: dict[str, Any] = {"LaunchTemplateId": template.id, "LaunchTemplateName": template.name}
        item["VersionNumber"] = int(number) if str(number).isdigit() else None
        version = next((version for version in template.versions if str(version.number) == str(number)), None)
        if version is None:
            message = f"The specified launch template version {number} does not exist."
            item["ResponseError"] = {"Code": "launchTemplateVersionDoesNotExist", "Message": message}
            kept.append(item)
        elif template.is_default(version):
            message = f"Version {number} is the default version of the launch template and can't be deleted."
            item["ResponseError"] = {"Code": "unexpectedError", "Message": message}
            kept.append(item)
        else:
            template.versions.remove(version)
            deleted.append(item)
    return ActionResult(
        {
            "SuccessfullyDeletedLaunchTemplateVersions": deleted,
            "UnsuccessfullyDeletedLaunchTemplateVersions": kept,
        }
    )
