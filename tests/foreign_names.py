"""Finds in our source what belongs to other packages and is none of their documented API."""

from __future__ import annotations

import ast
import pkgutil
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from inspect import isclass
from pathlib import Path

import django_sessionkit

PACKAGE = "django_sessionkit"

#: A name, and the module of ours that has it, without the name of the package.
Use = tuple[str, str]

#: What Python puts into classes: those of enums, abstract ones and protocols.
PYTHONS = re.compile(r"_\w+_|_abc_impl|_is_protocol|_is_runtime_protocol")

#: Objects whose attributes are told apart: ``_meta.pk`` is another thing than ``_meta.parents``.
HOLDERS = ("_meta", "_state")


@dataclass(frozen=True)
class Source:
    """A module of ours."""

    module: str
    tree: ast.Module
    text: str


@cache
def sources() -> dict[str, Source]:
    """Return our modules; not the migrations, which Django writes."""
    found = {}
    root = Path(django_sessionkit.__file__).parent
    for path in root.rglob("*.py"):
        parts = path.relative_to(root).with_suffix("").parts
        module = ".".join(part for part in parts if part != "__init__")
        if parts[0] != "migrations":
            text = path.read_text()
            found[module] = Source(module, ast.parse(text), text)
    return found


@cache
def private_names() -> set[Use]:
    """Return each private name that is used of an object or a class of somebody else.

    On ``self``, ``cls`` and ``super()`` such a name is ours if some module of ours defines it; on
    everything else it is taken for another package's.
    """
    own = {name for source in sources().values() for name in _defined(source.tree)}
    return {
        (source.module, name)
        for source in sources().values()
        for name, is_on_us in _used(source.tree)
        if not (is_on_us and name in own)
    }


@cache
def overridden_names() -> set[Use]:
    """Return each private name of another package's class that a class of ours defines anew."""
    found = set()
    for info in pkgutil.walk_packages(django_sessionkit.__path__, f"{PACKAGE}."):
        if ".migrations" in info.name:
            continue
        module = import_module(info.name)
        for cls in filter(isclass, vars(module).values()):
            if cls.__module__ == info.name:
                theirs = {name for base in cls.__mro__ if _is_foreign(base) for name in vars(base)}
                names = {name for name in vars(cls) if _is_private(name)} & theirs
                found |= {
                    (info.name.removeprefix(f"{PACKAGE}."), name)
                    for name in names
                    if not PYTHONS.fullmatch(name)
                }
    return found


def imported_names(prefixes: tuple[str, ...]) -> set[Use]:
    """Return each name that is imported from these modules of other packages."""
    return {
        (source.module, alias.name)
        for source in sources().values()
        for node in _walk(source.tree)
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
        if f"{node.module}.".startswith(tuple(f"{prefix}." for prefix in prefixes))
        or _is_private(alias.name)
        or "._" in node.module
    }


def _is_foreign(cls: type) -> bool:
    return not cls.__module__.startswith(PACKAGE)


def _is_private(name: str) -> bool:
    return re.fullmatch(r"_[A-Za-z]\w*", name) is not None


def _walk(tree: ast.AST) -> Iterator[ast.AST]:
    """Walk as ast.walk() does, past what is for the type checker alone, and docstrings."""
    yield tree
    for child in ast.iter_child_nodes(tree):
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            children = child.orelse
        else:
            children = [child]  # type: ignore[list-item]
        for one in children:
            yield from _walk(one)


def _defined(tree: ast.Module) -> Iterator[str]:
    """Yield the private names that the module defines, in its classes and functions too."""
    for node in _walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield name
            case ast.ClassDef(name=name):
                yield name
            case ast.Name(id=name, ctx=ast.Store()):
                yield name
            case ast.Attribute(attr=name, ctx=ast.Store(), value=value) if _is_us(value):
                yield name


def _used(tree: ast.Module) -> Iterator[tuple[str, bool]]:
    """Yield each private name that the module uses, and whether on an object of its own."""
    holders = dict(_aliases(tree))
    formatted = [node for node in _walk(tree) if isinstance(node, ast.JoinedStr)]
    parts = {id(part) for node in formatted for part in node.values}
    for node in _walk(tree):
        match node:
            case ast.Attribute(attr=attr, value=ast.Attribute(attr=holder)) if holder in HOLDERS:
                yield f"{holder}.{attr}", False
            case ast.Attribute(attr=attr, value=ast.Name(id=name)) if name in holders:
                yield f"{holders[name]}.{attr}", False
            case ast.Attribute(attr=attr, value=value) if _is_private(attr) and attr not in HOLDERS:
                yield attr, _is_us(value)
            case ast.Constant(value=str(text)) if _is_private(text) and id(node) not in parts:
                yield text, True
            case ast.keyword(arg=str(name)) if _is_private(name):
                yield name, False


def _aliases(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Yield each variable that is another name of a holder, and which holder that is."""
    for node in _walk(tree):
        if not isinstance(node, ast.Assign | ast.AnnAssign) or node.value is None:
            continue
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        for target in targets:
            pairs = [(target, node.value)]
            if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                pairs = list(zip(target.elts, node.value.elts, strict=True))
            for one, value in pairs:
                match one, value:
                    case ast.Name(id=name), ast.Attribute(attr=holder) if holder in HOLDERS:
                        yield name, holder


def _is_us(value: ast.expr) -> bool:
    """Whether it is ``self``, ``cls``, ``super()`` or ``type(self)(…)``."""
    text = ast.unparse(value)
    return text in ("self", "cls", "super()") or text.startswith("type(self)(")
