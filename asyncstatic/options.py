"""The keyword arguments that name settings, as types: an editor completes them, mypy checks them.

Each key has the name of a field of `asyncstatic.settings`, and the type that a caller may write:
a list where the field is a tuple, a size such as "64MiB" where it is a number of bytes. A test
compares both.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Literal, TypeAlias, TypedDict

if TYPE_CHECKING:
    from asyncstatic.settings import Limits

Symlinks = Literal["within_root", "deny", "follow"]
ResolverChoice = Literal["auto", "openat2", "walk"]
TagPolicy = Literal["auto", "content", "off"]
Offload = Literal["off", "x-accel-redirect", "x-sendfile"]

Names: TypeAlias = str | Iterable[str]
Size: TypeAlias = int | str


class LimitOptions(TypedDict, total=False):
    """Keyword arguments of `Limits`."""

    cache_bytes: Size
    cache_file_bytes: Size
    pool_threads: int
    pool_timeout: float
    send_timeout: float


class RootOptions(TypedDict, total=False):
    """Keyword arguments of `Settings`, without `root` and `limits`."""

    index: Names
    not_found: str
    symlinks: Symlinks
    dotfiles: bool
    deny: Names
    hide_forbidden: bool
    max_target: Size
    cache_control: str
    immutable: Names
    media_types: Mapping[str, str]
    precompressed: bool
    etag: TagPolicy
    cors: Names
    resolver: ResolverChoice
    manifest: Names
    offload: Offload
    offload_prefix: str
    unchanging: bool
    previous_root_grace: float


class Options(RootOptions, LimitOptions, total=False):
    """Keyword arguments of `Settings`, without `root`: the limits by themselves, or each by name."""

    limits: Limits
