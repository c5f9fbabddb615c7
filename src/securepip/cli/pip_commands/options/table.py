"""pip's options of ``install``, ``download`` and ``lock``, and who handles each of them, as data.

Rule: what is not in this table is unknown to securepip and refused as pip refuses what it does not
know. Nothing is ignored in silence: an option that changes nothing here says why
(``Handler.NOBODY``), and a value that cannot be honoured is an error that says why.
``docs/reference/options.md`` is written from this table, and a test holds it against the parser of
the pip that is installed.

Names, arity and defaults: pip's documentation, "pip install", "pip download" and "pip lock" (26.3).
"""

from __future__ import annotations

import os

from securepip.cli.pip_commands.options.types import Group, Handler, Option


def _flag(
    names: str,
    dest: str,
    text: str = "",
    default: object = False,
    *,
    handler: Handler = Handler.SECUREPIP,
    why: str = "",
) -> Option:
    return Option(tuple(names.split()), dest, text, "store_true", default, handler=handler, why=why)


_UNTRUSTED_INDEX = (
    "refused where it stands for no trusted repository, is no folder of your own and not pip's "
    "default index, which stands for all that is trusted; in pip's configuration left out"
)
_REQUIREMENT = Option(
    ("-r", "--requirement"), "requirements", "install what the requirements file names",
    "append", (), "file",
)  # fmt: skip
_CONSTRAINT = Option(
    ("-c", "--constraint"), "constraints", "keep to the versions of the constraints file",
    "append", (), "file",
)  # fmt: skip
_BUILD_CONSTRAINT = Option(
    ("--build-constraint",), "build_constraints", "the same for what builds need",
    "append", (), "file",
)  # fmt: skip
_FROM_SCRIPT = Option(
    ("--requirements-from-script",), "requirements_from_scripts",
    "install what the script asks for in its inline metadata (PEP 723)", "append", (), "file",
)  # fmt: skip
_NO_DEPS = _flag("--no-deps --no-dependencies", "ignore_dependencies", "without dependencies")
_ONLY_DEPS = _flag(
    "--only-deps --only-dependencies", "only_dependencies",
    "the dependencies of what is named, and not what is named",
)  # fmt: skip
_EDITABLE = Option(
    ("-e", "--editable"), "editables", "install the local project so that it can be edited",
    "append", (), "path/url",
)  # fmt: skip
_CONFIG_SETTINGS = Option(
    ("-C", "--config-settings"), "config_settings", "KEY=VALUE for the build backend",
    "config_settings", metavar="settings",
)  # fmt: skip
_SRC = Option(
    ("--src", "--source", "--source-dir", "--source-directory"), "src_dir",
    "where projects are checked out", metavar="dir", type="path", handler=Handler.NOBODY,
    why="nothing is checked out: requirements in version control are refused",
)  # fmt: skip
_REQUIRE_HASHES = _flag(
    "--require-hashes", "require_hashes", "every requirement must have a hash, and match it"
)
_NO_REQUIRE_HASHES = _flag(
    "--no-require-hashes", "no_require_hashes",
    "one requirement with a hash does not mean that all need one",
)  # fmt: skip
_PROGRESS_BAR = Option(
    ("--progress-bar",), "progress_bar", "auto, on, off or raw", default="auto",
    metavar="progress_bar", choices=("auto", "on", "off", "raw"),
)  # fmt: skip
_NO_BUILD_ISOLATION = Option(
    ("--no-build-isolation",), "build_isolation",
    "build in the target environment, which has what builds need", "store_false", True,
)  # fmt: skip
_USE_PEP517 = _flag(
    "--use-pep517", "use_pep517", default=True, handler=Handler.NOBODY,
    why="every build goes through the build backend, as in pip",
)  # fmt: skip
_CHECK_BUILD_DEPENDENCIES = _flag(
    "--check-build-dependencies", "check_build_deps",
    "with --no-build-isolation: check that what builds need is there",
)  # fmt: skip
_IGNORE_REQUIRES_PYTHON = _flag(
    "--ignore-requires-python", "ignore_requires_python",
    "releases that say they do not run on this Python, too", None,
)  # fmt: skip
_GROUP = Option(
    ("--group",), "dependency_groups",
    'install a dependency group of a "pyproject.toml" (PEP 735)', "group", (), "[path:]group",
)  # fmt: skip
_NO_CLEAN = _flag("--no-clean", "no_clean", "leave the folders of builds behind, and say where")
_TARGET_PYTHON = (
    Option(
        ("--platform",), "platforms", "choose wheels for this platform", "append",
        metavar="platform",
    ),
    Option(
        ("--python-version",), "python_version",
        "choose releases for this Python: 3, 3.7, 3.7.3 or 37", "python_version",
        metavar="python_version",
    ),
    Option(
        ("--implementation",), "implementation", "choose wheels for it: cp, pp, py, …",
        metavar="implementation",
    ),
    Option(("--abi",), "abis", "choose wheels for this ABI", "append", metavar="abi"),
)  # fmt: skip

_INSTALL = Group(
    "Install Options",
    (
        _REQUIREMENT,
        _CONSTRAINT,
        _BUILD_CONSTRAINT,
        _FROM_SCRIPT,
        _NO_DEPS,
        _ONLY_DEPS,
        _EDITABLE,
        _flag("--dry-run", "dry_run", "only say what would be installed"),
        Option(
            ("-t", "--target"), "target_dir", "install into this folder", metavar="dir",
            handler=Handler.BOTH,
        ),
        *_TARGET_PYTHON,
        _flag(
            "--user", "use_user_site", "install for this user alone", None, handler=Handler.BOTH
        ),
        Option(
            ("--no-user",), "use_user_site", action="store_false", handler=Handler.BOTH
        ),
        Option(
            ("--root",), "root_path", "install as if this folder were /", metavar="dir",
            handler=Handler.PIP,
        ),
        Option(
            ("--prefix",), "prefix_path", "install below this folder", metavar="dir",
            handler=Handler.BOTH,
        ),
        _SRC,
        _flag("-U --upgrade", "upgrade", "newest versions of what is named", None),
        Option(
            ("--upgrade-strategy",), "upgrade_strategy",
            "with -U, dependencies too (eager), or only where needed (only-if-needed)",
            default="only-if-needed", metavar="upgrade_strategy",
            choices=("only-if-needed", "eager"),
        ),
        _flag(
            "--force-reinstall", "force_reinstall", "install again what is there already", None,
            handler=Handler.BOTH,
        ),
        _flag(
            "-I --ignore-installed", "ignore_installed",
            "do not look at what is installed, and install over it", None, handler=Handler.BOTH,
        ),
        _IGNORE_REQUIRES_PYTHON,
        _NO_BUILD_ISOLATION,
        _USE_PEP517,
        _CHECK_BUILD_DEPENDENCIES,
        _flag(
            "--break-system-packages", "override_externally_managed",
            "also where the operating system manages the packages", None, handler=Handler.BOTH,
        ),
        _CONFIG_SETTINGS,
        _flag("--compile", "compile", "compile to byte code (the default)", True),
        Option(("--no-compile",), "compile", "no byte code", "store_false", True),
        Option(
            ("--no-warn-script-location",), "warn_script_location",
            "no warning of scripts outside PATH", "store_false", True, handler=Handler.PIP,
        ),
        Option(
            ("--no-warn-conflicts",), "warn_about_conflicts",
            "no warning of installed packages that now lack something", "store_false", True,
            handler=Handler.PIP,
        ),
        _REQUIRE_HASHES,
        _NO_REQUIRE_HASHES,
        _PROGRESS_BAR,
        Option(
            ("--root-user-action",), "root_user_action", "warn, or ignore, when run as root",
            default="warn", metavar="root_user_action", choices=("warn", "ignore"),
            handler=Handler.PIP,
        ),
        Option(
            ("--report",), "json_report_file",
            "write what was installed, and who signed it, as JSON; - is standard output",
            metavar="file",
        ),
        _GROUP,
        _NO_CLEAN,
    ),
)  # fmt: skip

_DOWNLOAD = Group(
    "Download Options",
    (
        _CONSTRAINT,
        _BUILD_CONSTRAINT,
        _REQUIREMENT,
        _FROM_SCRIPT,
        _NO_DEPS,
        _ONLY_DEPS,
        _SRC,
        _REQUIRE_HASHES,
        _NO_REQUIRE_HASHES,
        _PROGRESS_BAR,
        _NO_BUILD_ISOLATION,
        _USE_PEP517,
        _CHECK_BUILD_DEPENDENCIES,
        _IGNORE_REQUIRES_PYTHON,
        Option(
            ("-d", "--dest", "--destination-dir", "--destination-directory"), "download_dir",
            "the folder that takes the files", default=os.curdir, metavar="dir",
        ),
        *_TARGET_PYTHON,
        _GROUP,
        _NO_CLEAN,
    ),
)  # fmt: skip

_LOCK = Group(
    "Lock Options",
    (
        Option(
            ("-o", "--output"), "output_file",
            "the lock file (default: pylock.toml); - is standard output", default="pylock.toml",
            metavar="path", type="path",
        ),
        _REQUIREMENT,
        _FROM_SCRIPT,
        _CONSTRAINT,
        _BUILD_CONSTRAINT,
        _NO_DEPS,
        _ONLY_DEPS,
        _EDITABLE,
        _SRC,
        _IGNORE_REQUIRES_PYTHON,
        _NO_BUILD_ISOLATION,
        _USE_PEP517,
        _CHECK_BUILD_DEPENDENCIES,
        _CONFIG_SETTINGS,
        _REQUIRE_HASHES,
        _NO_REQUIRE_HASHES,
        _PROGRESS_BAR,
        _GROUP,
        _NO_CLEAN,
    ),
)  # fmt: skip

_SELECTION = Group(
    "Package Selection Options",
    (
        _flag("--pre", "pre", "pre-releases too"),
        Option(
            ("--all-releases",), "release_control",
            "pre-releases of these projects; :all: and :none: as in pip",
            "release_control", (), "release_control",
        ),
        Option(
            ("--only-final",), "release_control", "no pre-releases of these projects",
            "release_control", (), "release_control",
        ),
        Option(
            ("--no-binary",), "format_control", "no wheels of these projects",
            "format_control", (), "format_control",
        ),
        Option(
            ("--only-binary",), "format_control", "only wheels of these projects",
            "format_control", (), "format_control",
        ),
        _flag("--prefer-binary", "prefer_binary", "an older wheel rather than a newer sdist"),
    ),
)  # fmt: skip

_INDEX = Group(
    "Package Index Options",
    (
        Option(
            ("-i", "--index-url", "--pypi-url"), "index_url",
            "an index that stands for a trusted repository", metavar="URL",
            why=_UNTRUSTED_INDEX,
        ),
        Option(
            ("--extra-index-url",), "extra_index_urls", "one more, asked after it",
            "append", (), "URL",
            why=_UNTRUSTED_INDEX,
        ),
        _flag("--no-index", "no_index", "no repository: only what --find-links has"),
        Option(
            ("--refresh-package",), "refresh_package", "ask again for these projects",
            "refresh_package", (), "refresh_package",
            why="for first use; every run asks any other repository for what it has signed last",
        ),
        Option(
            ("-f", "--find-links"), "find_links", "a folder of your own files, not signed",
            "append", (), "url",
            why="an address of another machine in pip's configuration is left out",
        ),
        Option(
            ("--uploaded-prior-to",), "uploaded_prior_to",
            "only files uploaded before this time, or this many days ago (P3D)",
            "uploaded_prior_to", metavar="datetime_or_duration",
        ),
    ),
)  # fmt: skip

_GENERAL = Group(
    "General Options",
    (
        Option(("-h", "--help"), "help", "show this", "help"),
        _flag("--debug", "debug_mode", "show tracebacks"),
        _flag("--isolated", "isolated_mode", "ignore PIP_* variables and the user's configuration"),
        _flag(
            "--require-virtualenv --require-venv", "require_venv",
            "fail where the target is no virtual environment",
        ),
        Option(
            ("--python",), "python", "the interpreter, or environment, to install for",
            metavar="python",
        ),
        Option(("-v", "--verbose"), "verbose", "say more", "count", 0),
        Option(("-q", "--quiet"), "quiet", "say less", "count", 0),
        Option(
            ("--log", "--log-file", "--local-log"), "log", "append all that is said to a file",
            metavar="path", type="path",
        ),
        _flag(
            "--no-input", "no_input", "never ask", handler=Handler.NOBODY,
            why="securepip never asks",
        ),
        Option(
            ("--keyring-provider",), "keyring_provider", "auto, disabled, import or subprocess",
            default="auto", metavar="keyring_provider",
            choices=("auto", "disabled", "import", "subprocess"),
        ),
        Option(
            ("--proxy",), "proxy", "scheme://[user:password@]host:port", metavar="proxy"
        ),
        _flag("--no-proxy-env", "no_proxy_env", "no proxy from environment variables"),
        Option(
            ("--retries",), "retries", "tries of a connection (default: 5)", default=5,
            metavar="retries", type="int",
        ),
        Option(
            ("--timeout", "--default-timeout"), "timeout",
            "how long a connection may be silent (default: 15)", default=15, metavar="sec",
            type="float",
        ),
        Option(
            ("--exists-action",), "exists_action", "what to do where a checkout is already",
            "append", (), "action", choices=("s", "i", "w", "b", "a"), handler=Handler.NOBODY,
            why="nothing is checked out: requirements in version control are refused",
        ),
        Option(
            ("--trusted-host",), "trusted_hosts", "do not check the TLS certificate of this host",
            "append", (), "HOSTNAME",
        ),
        Option(
            ("--cert",), "cert", "certificate authorities, a PEM file", metavar="path", type="path"
        ),
        Option(
            ("--client-cert",), "client_cert", "client certificate and key, a PEM file",
            metavar="path", type="path",
        ),
        Option(
            ("--cache-dir",), "cache_dir", "the folder of what can be fetched again",
            metavar="dir", type="path",
        ),
        Option(("--no-cache-dir",), "cache_dir", "keep no cache", "no_cache_dir"),
        _flag(
            "--disable-pip-version-check", "disable_pip_version_check",
            "do not look for a newer pip", handler=Handler.NOBODY,
            why="securepip never looks for a newer pip",
        ),
        _flag("--no-color", "no_color", "no colour"),
        _flag(
            "--no-python-version-warning", "no_python_version_warning", handler=Handler.NOBODY,
            why="nothing warns of an old Python, as in pip",
        ),
        Option(
            ("--use-feature",), "features_enabled", "switch a new feature of pip's on", "append",
            (), "feature",
            choices=(
                "fast-deps", "inprocess-build-deps", "venv-isolation", "truststore",
                "no-binary-enable-wheel-cache", "build-constraint",
            ),
            handler=Handler.NOBODY,
            why="each is how securepip works anyway",
        ),
        Option(
            ("--use-deprecated",), "deprecated_features_enabled", "switch an old one on", "append",
            (), "feature", choices=("legacy-resolver", "legacy-certs"), handler=Handler.NOBODY,
            why="there is one resolver, which is said; legacy-certs is refused, since for other "
            "certificates there is --cert",
        ),
        Option(
            ("--resume-retries",), "resume_retries", "tries of a broken download (default: 5)",
            default=5, metavar="resume_retries", type="int",
        ),
    ),
)  # fmt: skip

_OWN = Group(
    "Verification Options",
    (
        Option(
            ("--repository",), "repository", "ask only this one of the trusted repositories",
            metavar="name",
        ),
        _flag(
            "--allow-older-releases", "allow_older_releases",
            "of what is named, too, an older release where the newest needs something that no "
            "trusted repository has signed",
        ),
        _flag(
            "--read-only-state", "read_only_state",
            "leave what was seen so far as it is, in an image for example: what is signed from now "
            "on is verified, but not remembered",
        ),
        _flag(
            "--unsafely-disable-package-verification", "unsafe",
            "run plain pip instead, with nothing verified",
        ),
    ),
)  # fmt: skip

GENERAL = _GENERAL.options
"""The options that may also come before the command."""

COMMANDS: dict[str, tuple[Group, ...]] = {
    "install": (_INSTALL, _SELECTION, _INDEX, _OWN, _GENERAL),
    "download": (_DOWNLOAD, _SELECTION, _INDEX, _OWN, _GENERAL),
    "lock": (_LOCK, _SELECTION, _INDEX, _OWN, _GENERAL),
}
