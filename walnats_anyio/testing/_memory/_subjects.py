"""Subjects: which are valid, which match, which overlap."""

from __future__ import annotations

import re


def is_valid(subject: str) -> bool:
    """Whether it can be subscribed to; wildcards are fine where they may stand."""
    if not subject or any(char in subject for char in " \t\r\n\f\x00"):
        return False
    tokens = subject.split(".")
    return "" not in tokens and ">" not in tokens[:-1]


def is_literal(subject: str) -> bool:
    """Whether it has no wildcards."""
    return not {"*", ">"} & set(subject.split("."))


def matches(pattern: str, subject: str) -> bool:
    """Whether a literal subject falls under a pattern."""
    if pattern in (subject, ">"):
        return True
    wanted, tokens = pattern.split("."), subject.split(".")
    for at, token in enumerate(wanted):
        if token == ">":
            return len(tokens) > at
        if at >= len(tokens) or token not in ("*", tokens[at]):
            return False
    return len(wanted) == len(tokens)


def expression(pattern: str) -> str:
    """A regular expression for the literal subjects that fall under a pattern."""
    tokens = {"*": "[^.]*", ">": ".*"}
    return r"\.".join(tokens.get(token) or re.escape(token) for token in pattern.split("."))


def overlap(one: str, other: str) -> bool:
    """Whether there is a subject that falls under both patterns."""
    ours, theirs = one.split("."), other.split(".")
    for mine, its in zip(ours, theirs, strict=False):
        if ">" in (mine, its):
            return True
        if "*" not in (mine, its) and mine != its:
            return False
    if len(ours) == len(theirs):
        return True
    # `a.>` needs one token more than `a`.
    longer, shorter = (ours, theirs) if len(ours) > len(theirs) else (theirs, ours)
    return shorter[-1] == ">" and len(longer) >= len(shorter)


def is_subset(narrow: str, wide: str) -> bool:
    """Whether all that falls under `narrow` falls under `wide` as well."""
    inner, outer = narrow.split("."), wide.split(".")
    for at, token in enumerate(outer):
        if at >= len(inner):
            return False
        if token == ">":
            return True
        if inner[at] == ">" or (token != "*" and token != inner[at]):
            return False
    return len(inner) == len(outer)
