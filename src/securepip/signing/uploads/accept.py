"""Checks that an uploaded file has the project, version, kind and bytes that its form says.

Rule: the file's own name and metadata are published, as with `repo add`. If the form says something
else, the upload is refused.
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
        UploadRefusedError: The token is not for its project, the file is not what the form says, or
            `repo add` would not publish it.
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
    """Check that a token allows uploads for ``project``.

    Raises:
        UploadRefusedError: It does not.
    """
    if not token.allows(project):
        raise UploadRefusedError(
            HTTPStatus.FORBIDDEN,
            f"the token {token.id} is not for the project {project}"
            if token.revoked is None
            else f"the token {token.id} was revoked",
        )


def _check_fields(form: Form) -> NormalizedName:
    """Check that the form fits the name and bytes of its file; the project that it names."""
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
    parsed = parse_distribution(filename, project)
    if parsed is None or parsed.version != version:
        raise bad(f"{filename} is not of {project} {version}, as the upload says")
    if _KINDS.get(fields.get("filetype", "")) is not parsed.kind:
        raise bad(f"{filename} is a {parsed.kind.value}: the field filetype says something else")
    _check_digests(form)
    return project


def _check_digests(form: Form) -> None:
    """Check the received bytes against the digests in the form, of which there must be one."""
    expected = {name: form.fields[name].lower() for name in DIGESTS if form.fields.get(name)}
    if not expected:
        raise bad("the upload tells no digest of its file: sha256_digest, for example")
    for name, digest in expected.items():
        if digest != form.digests[name]:
            raise bad(
                f"the {name} of the upload is not that of the bytes that came: "
                "the file changed on its way, so try again"
            )
