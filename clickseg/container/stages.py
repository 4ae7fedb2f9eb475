"""The stages of a Dockerfile that a target needs: the classic builder builds every one before the target."""

from __future__ import annotations

import re
from dataclasses import dataclass

from clickseg.errors import UsageError

_FROM = re.compile(r"^FROM\s+(?P<base>\S+)\s+AS\s+(?P<name>\S+)\s*$", re.MULTILINE | re.IGNORECASE)
_COPIED_FROM = re.compile(r"--from=(\S+)")


@dataclass(frozen=True, slots=True)
class _Stage:
    name: str
    text: str
    needs: frozenset[str]


def stages_for(dockerfile: str, target: str) -> str:
    """Returns a Dockerfile with the stages that a target is made of, and no other.

    Args:
        dockerfile: A Dockerfile in which each stage has a name.
        target: The name of a stage.

    Raises:
        UsageError: There is no such stage.
    """
    found = list(_FROM.finditer(dockerfile))
    ends = [*(each.start() for each in found[1:]), len(dockerfile)]
    stages = {each["name"]: _stage(each, dockerfile[each.start() : end]) for each, end in zip(found, ends, strict=True)}
    if target not in stages:
        raise UsageError(f"no target {target}: expected one of {', '.join(stages)}")
    needed = _closure(stages, target)
    return dockerfile[: found[0].start()] + "".join(stage.text for name, stage in stages.items() if name in needed)


def _stage(start: re.Match[str], text: str) -> _Stage:
    return _Stage(start["name"], text, frozenset([start["base"], *_COPIED_FROM.findall(text)]))


def _closure(stages: dict[str, _Stage], target: str) -> set[str]:
    needed, left = set(), [target]
    while left:
        name = left.pop()
        needed.add(name)
        left += [each for each in stages[name].needs if each in stages and each not in needed]
    return needed
