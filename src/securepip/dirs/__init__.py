"""Where state and cache are on this machine, and the check that they belong to the user alone.

The rule: keys, and what protects against rollback, are *data*; what can be fetched again is
*cache*. Somebody else who can write to these folders could add a root of trust, or replace a wheel
that was built here. So, whatever the umask, folders are made with mode 0700 and files with mode
0600, and a folder that somebody else may write to is not used.

A cache may come from another machine, as in CI. A file in it that securepip runs, and cannot check
against a signature, is used only if it carries a mark made with the user's own secret (``Seal``).
The secret is kept with the state.
"""

from securepip.dirs.explain import (
    chosen_data,
    explained,
    full_folders,
    no_temporary_folder,
    user_path,
    way_out,
)
from securepip.dirs.folders import (
    check_private,
    copy_private,
    data_dir,
    make_folder,
    private_folder,
    replace_file,
    temporary_folder,
    usable_cache,
    write_private,
)
from securepip.dirs.seal import Seal, own_seal

__all__ = [
    "Seal",
    "check_private",
    "chosen_data",
    "copy_private",
    "data_dir",
    "explained",
    "full_folders",
    "make_folder",
    "no_temporary_folder",
    "own_seal",
    "private_folder",
    "replace_file",
    "temporary_folder",
    "usable_cache",
    "user_path",
    "way_out",
    "write_private",
]
