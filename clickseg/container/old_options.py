"""Options of ``monai-deploy package`` that have nothing to do here, and why."""

from __future__ import annotations

from clickseg.errors import UsageError

IGNORED = {
    "config": "the application is set by CLICKSEG_* variables",
    "cuda": "the base image brings CUDA, and `cpu` needs none",
    "timeout": "whoever runs the container stops it",
    "add-host": "nothing but the package index is asked",
    "build-image": "nothing is compiled",
    "build-cache": "the builder keeps its own",
    "cmake-args": "nothing is compiled",
    "holoscan-sdk-file": "the lock files say what is installed; --wheels names a folder to install it from",
    "monai-deploy-sdk-file": "the lock files say what is installed; --wheels names a folder to install it from",
    "includes": "--target says what is in the image",
    "input-data": "images hold no data",
    "sdk": "it is always the MONAI Deploy App SDK",
    "sdk-version": "the lock files say which",
    "source": "nothing is fetched but what the lock files name",
    "username": "the image runs as any user",
    "uid": "the image runs as any user: --user when it is run",
    "gid": "the image runs as any user: --user when it is run",
}
"""Names, and the reason that is given."""

_PLATFORMS = ("x86_64", "x64-workstation", "linux/amd64", "amd64")


def check_platform(platform: str | None) -> None:
    """Refuses a platform that there is no image for.

    Raises:
        UsageError: It is not one of the names of x86-64.
    """
    if platform is not None and platform not in _PLATFORMS:
        raise UsageError(f"platform {platform}: expected {' or '.join(_PLATFORMS)}, the only one that is built")
