"""The image that an instance is launched from: it exists, or the request is refused; and it may be named by SSM.

AWS publishes the newest image of each distribution as a public parameter of SSM. Here Debian 13's name the base image.
The others name images that are not here, and a machine that runs something else under their name would work here and
fail there: they are refused.

A copy of an image is as good as the image: moto's has nothing of it but the architecture.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

from moto.core.utils import utcnow
from moto.ec2.exceptions import EC2ClientError, InvalidAMIIdError, MalformedAMIIdError
from moto.ec2.models import ec2_backends
from moto.ec2.models.amis import Ami, AmiBackend
from moto.ec2.models.instances import InstanceBackend, Reservation
from moto.ec2.responses.amis import AmisResponse
from moto.ssm.models import Parameter, ParameterDict

from localcloud.config import DEBIAN_OWNER_ID

# Debian publishes one for each architecture. Machines here have that of this machine, whichever is asked for.
DEBIAN_PARAMETERS = tuple(f"/aws/service/debian/release/13/latest/{name}" for name in ("amd64", "arm64"))
IMAGE_PARAMETERS = (
    "/aws/service/ami-amazon-linux-latest", "/aws/service/ami-macos-latest", "/aws/service/ami-windows-latest",
    "/aws/service/bottlerocket", "/aws/service/canonical", "/aws/service/debian", "/aws/service/ec2-macos",
    "/aws/service/ecs/optimized-ami", "/aws/service/eks/optimized-ami", "/aws/service/freebsd",
    "/aws/service/neuron/dlami", "/aws/service/deeplearning/ami", "/aws/service/marketplace", "/aws/service/redhat",
    "/aws/service/suse",
)  # fmt: skip
BY_PARAMETER = "resolve:ssm:"  # begins an ImageId that is the name of a parameter


def install() -> None:
    """Change how moto's EC2 finds images, and what its SSM publishes."""
    _install_copies()
    _install_launches()
    _install_parameters()


def find_image(backend: Any, image_id: str | None) -> str:
    """Id of the image that `image_id` names, itself or by a parameter. Raises EC2's error when it can't be launched."""
    if not image_id:
        raise EC2ClientError("MissingParameter", "The request must contain the parameter ImageId")
    if image_id.startswith(BY_PARAMETER):
        image_id = _parameter_value(backend, image_id.removeprefix(BY_PARAMETER))
    if not image_id.startswith("ami-"):
        raise MalformedAMIIdError([image_id])
    image = backend.amis.get(image_id)
    if image is None:
        raise InvalidAMIIdError(image_id)
    if image.state != "available":
        raise EC2ClientError("InvalidAMIID.Unavailable", f"The image id '[{image_id}]' is not available")
    return image_id


def _parameter_value(backend: Any, name: str) -> str:
    from moto.ssm.models import ssm_backends

    parameter = ssm_backends[backend.account_id][backend.region_name].get_parameter(name)
    if parameter is None:
        raise EC2ClientError("InvalidParameterValue", f"The SSM parameter {name} of the ImageId is not found.")
    return str(parameter.value)


def _install_copies() -> None:
    copy, respond = AmiBackend.copy_image, AmisResponse.copy_image

    @functools.wraps(copy)
    def copy_pending(self: Any, source_image_id: str, source_region: str, *args: Any, **kwargs: Any) -> Ami:
        """The copy of an image that can be launched; it takes its time, which moto's doesn't."""
        source_backend = ec2_backends[self.account_id][source_region]
        source = source_backend.amis[find_image(source_backend, source_image_id)]
        image: Any = copy(self, source_image_id, source_region, *args, **kwargs)
        image.state, image.copied_from = "pending", source_image_id
        image.root_device_name, image.root_device_type = source.root_device_name, source.root_device_type
        return image  # type: ignore[no-any-return]

    @functools.wraps(respond)
    def respond_with_tags(self: AmisResponse) -> Any:
        tags = self._parse_tag_specification()
        answer: Any = respond(self)
        image = self.ec2_backend.amis[answer.result["ImageId"]]
        image.add_tags(tags.get("image", {}))
        image.ebs_snapshot.add_tags(tags.get("snapshot", {}))
        return answer

    AmiBackend.copy_image = copy_pending  # type: ignore[method-assign]
    AmisResponse.copy_image = respond_with_tags  # type: ignore[method-assign]


def _install_launches() -> None:
    run_instances = InstanceBackend.run_instances

    @functools.wraps(run_instances)
    def run_known_image(self: Any, image_id: str, *args: Any, **kwargs: Any) -> Reservation:
        """moto checks an image that the request names, not one of a launch template, nor one that was deregistered."""
        template = kwargs.get("launch_template")
        if not image_id and template:
            image_id = self._get_template_from_args(template).image_id
        return run_instances(self, find_image(self, image_id), *args, **kwargs)

    InstanceBackend.run_instances = run_known_image  # type: ignore[method-assign]


def _install_parameters() -> None:
    contains, get = ParameterDict.__contains__, ParameterDict.__getitem__
    begin_with = ParameterDict.get_keys_beginning_with

    @functools.wraps(contains)
    def contains_or_refuses(self: ParameterDict, name: Any) -> bool:
        if name in DEBIAN_PARAMETERS:
            return _debian_image(self) is not None
        _refuse_other_images(name)
        return contains(self, name)

    @functools.wraps(get)
    def get_parameter(self: ParameterDict, name: str) -> list[Parameter]:
        return [_published(self, name)] if name in DEBIAN_PARAMETERS else get(self, name)

    @functools.wraps(begin_with)
    def keys_beginning_with(self: ParameterDict, path: str, recursive: bool) -> Iterator[str]:
        published = [name for name in DEBIAN_PARAMETERS if name.startswith(path)]
        if not published:
            _refuse_other_images(path)
        deep = [name for name in published if recursive or "/" not in name.removeprefix(path)]
        yield from deep if _debian_image(self) else []
        yield from begin_with(self, path, recursive)

    parameters: Any = ParameterDict
    parameters.__contains__ = contains_or_refuses
    parameters.__getitem__ = get_parameter
    parameters.get_keys_beginning_with = keys_beginning_with


def _refuse_other_images(name: str) -> None:
    if any(name == prefix or name.startswith(f"{prefix}/") for prefix in IMAGE_PARAMETERS):
        raise NotImplementedError(
            f"the image of {name}. Its machines run Debian 13, whose image is {DEBIAN_PARAMETERS[0]}"
        )


def _debian_image(parameters: ParameterDict) -> Any | None:
    """The newest base image in the region."""
    from moto.ec2.models import ec2_backends

    backend = ec2_backends[parameters.account_id][parameters.region_name]
    images = [image for image in backend.amis.values() if image.owner_id == DEBIAN_OWNER_ID]
    return max(images, key=lambda image: str(image.creation_date), default=None)


def _published(parameters: ParameterDict, name: str) -> Parameter:
    image = _debian_image(parameters)
    return Parameter(  # type: ignore[abstract]
        account_id=parameters.account_id,
        name=name,
        value=image.id if image else "",
        parameter_type="String",
        description=None,
        allowed_pattern=None,
        keyid=None,
        last_modified_date=utcnow(),
        version=1,
        data_type="text",
    )
