"""Where state and cache live on this machine, and that they are the user's alone.

The rule: what protects against rollback, and keys, are *data*; what can be fetched
again is *cache*. Whoever else could write there could add a root of trust, or a wheel to those
that were built here. So whatever the umask, all folders below are made with mode 0700 and all files
with mode 0600, and a folder that somebody else may write to is not used.

A cache may also come from another machine, as in CI. What is run from it, and cannot be checked
against what was signed, counts only with a mark that the user's own secret has made (``Seal``);
the secret lies with the state.
"""

from securepip.dirs.explain import (
    explained,
    full_folders,
    no_temporary_folder,
    user_path,
    way_out,
)
from securepip.dirs.folders import (
    cache_dir,
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
    "cache_dir",
    "check_private",
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
