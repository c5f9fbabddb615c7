"""Whether a file is what its upload says: of which project, version, kind and bytes.

Rule: what is published is what the file says of itself, as with `repo add`. The form decides
nothing; where it says something else, somebody is mistaken, and the upload is refused.
"""

from __future__ import annotations

from datetime import datetime, timezone
from http import HTTPStatus

from packaging.utils import NormalizedName
from packaging.version import InvalidVersion, Version

from securepip.errors import FormatError, RepositoryStateError
from securepip.formats.distribution import Kind, parse_distribution
from securepip.formats.layout import parse_project
from securepip.signing.publish.add import Distribution, read_distribution
from securepip.signing.repository.state.tokens import Token
from securepip.signing.uploads.form import DIGESTS, Form
from securepip.signing.uploads.refusal import UploadRefusedError, bad

_KINDS = {"bdist_wheel": Kind.WHEEL, "sdist": Kind.SDIST}


def accept(form: Form, token: Token) -> Distribution:
    """The distribution of an upload, ready to be published.

    Raises:
        UploadRefusedError: The token is not for its project, or the file is not what the form says,
            or it is none that `repo add` would publish.
    """
    project = _check_fields(form)
    check_allowed(token, project)
    try:
        distribution = read_distribution(form.path, datetime.now(timezone.utc))
    except (FormatError, RepositoryStateError) as error:
        raise bad(str(error).replace(str(form.path), form.path.name)) from None
    if distribution.new.project != project:
        raise bad(f"{form.path.name} is of {distribution.new.project}, not of {project}")
    return distribution


def check_allowed(token: Token, project: NormalizedName) -> None:
    """See to it that a token is good for ``project``.

    Raises:
        UploadRefusedError: It is not.
    """
    if not token.allows(project):
        raise UploadRefusedError(
            HTTPStatus.FORBIDDEN,
            f"the token {token.id} is not for the project {project}"
            if token.revoked is None
            else f"the token {token.id} was revoked",
        )


def _check_fields(form: Form) -> NormalizedName:
    """The project that the form names, once the form fits the name and bytes of its file."""
    fields, filename = form.fields, form.path.name
    if fields.get(":action", "") != "file_upload":
        raise bad("only files are taken here: the field :action has to be file_upload")
    if fields.get("protocol_version", "1") != "1":
        raise bad("only version 1 of the upload protocol is known here")
    try:
        project = parse_project(fields.get("name", ""))
        version = Version(fields.get("version", ""))
    except FormatError as error:
        raise bad(error.what) from None
    except InvalidVersion:
        raise bad(f"not a version: {fields.get('version', '')!r:.80}") from None
    said = parse_distribution(filename, project)
    if said is None or said.version != version:
        raise bad(f"{filename} is not of {project} {version}, as the upload says")
    if _KINDS.get(fields.get("filetype", "")) is not said.kind:
        raise bad(f"{filename} is a {said.kind.value}: the field filetype says something else")
    _check_digests(form)
    return project


def _check_digests(form: Form) -> None:
    """See to it that the bytes that came are those that were sent: one digest has to be told."""
    told = {name: form.fields[name].lower() for name in DIGESTS if form.fields.get(name)}
    if not told:
        raise bad("the upload tells no digest of its file: sha256_digest, for example")
    for name, digest in told.items():
        if digest != form.digests[name]:
            raise bad(
                f"the {name} of the upload is not that of the bytes that came: "
                "the file changed on its way, so try again"
            )
