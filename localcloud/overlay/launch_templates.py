"""Launch templates: what a version says, what it inherits, and a template's tags."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from moto.core.responses import ActionResult
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models.launch_templates import LaunchTemplate, LaunchTemplateVersion
from moto.ec2.responses.launch_templates import LaunchTemplates
from moto.ec2.utils import parse_user_data

from localcloud.overlay.pages import page

PAGE = 200  # the most of DescribeLaunchTemplates and DescribeLaunchTemplateVersions, and what they give by default


def install() -> None:
    """Change moto's launch templates."""
    _install_versions()
    _install_tags()
    response: Any = LaunchTemplates
    response.describe_launch_templates = _paged(response.describe_launch_templates, "LaunchTemplates")
    response.describe_launch_template_versions = _paged(
        response.describe_launch_template_versions, "LaunchTemplateVersions"
    )


def _install_versions() -> None:
    create_version, respond = LaunchTemplate.create_version, LaunchTemplates.create_launch_template_version

    @functools.wraps(create_version)
    def create_clean_version(self: LaunchTemplate, data: dict[str, Any], description: str) -> LaunchTemplateVersion:
        # The template's own tags are not for what is launched from it; and only the first version's user data is
        # decoded by moto.
        specs = [spec for spec in data.get("TagSpecifications") or [] if spec["ResourceType"] != "launch-template"]
        data = {key: value for key, value in data.items() if key != "TagSpecifications"}
        if specs:
            data["TagSpecifications"] = specs
        if isinstance(data.get("UserData"), str):
            data["UserData"] = parse_user_data(data["UserData"])
        return create_version(self, data, description)

    @functools.wraps(respond)
    def respond_with_source(self: LaunchTemplates) -> ActionResult:
        """A version made of another has all that it does not name."""
        source, get = self._get_param("SourceVersion"), self._get_param
        if source:
            backend, name = self.ec2_backend, get("LaunchTemplateName")
            template = (
                backend.get_launch_template_by_name(name)
                if name
                else backend.get_launch_template(get("LaunchTemplateId"))
            )
            data = {**template.get_version(source).data, **get("LaunchTemplateData", {})}
            self._get_param = lambda name, *rest, **named: (  # type: ignore[method-assign]
                data if name == "LaunchTemplateData" else get(name, *rest, **named)
            )
        return respond(self)

    LaunchTemplate.create_version = create_clean_version  # type: ignore[method-assign]
    LaunchTemplates.create_launch_template_version = respond_with_source  # type: ignore[method-assign]


def _install_tags() -> None:
    def keep_no_copy(_self: LaunchTemplate, _tags: Any) -> None:
        """moto notes down the first tags."""

    LaunchTemplate.tags = property(lambda self: self.get_tags(), keep_no_copy)  # type: ignore[assignment]


def _paged(respond: Callable[[LaunchTemplates], ActionResult], key: str) -> Callable[[LaunchTemplates], ActionResult]:
    """moto answers with fifteen, and doesn't say that there are more."""

    @functools.wraps(respond)
    def respond_with_page(self: LaunchTemplates) -> ActionResult:
        size, get = self._get_int_param("MaxResults", PAGE), self._get_int_param

        def get_without_limit(name: str, *default: Any) -> Any:
            return 10**9 if name == "MaxResults" else get(name, *default)

        self._get_int_param = get_without_limit  # type: ignore[method-assign,assignment]
        found: list[Any] = respond(self).result[key]  # type: ignore[index]
        items, token = page(found, self._get_param("NextToken"), size, EC2ClientError)
        return ActionResult({key: items, "NextToken": token})

    return respond_with_page
