"""The changes of a module: mutmut's, and those that take out a check.

Changes that no test of behaviour should notice are left out: of annotations, of the text of an
error, of each string, and of code that only the type checker reads.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import libcst as cst
from libcst.metadata import MetadataWrapper, WhitespaceInclusivePositionProvider
from mutmut.mutation import mutators

from tests.mutation.rooms import SOURCES


@dataclass(frozen=True)
class Mutant:
    """A module with a change.

    Attributes:
        module: The module, relative to the package: ``formats/page.py``.
        lines: The first and last changed line, from 1.
        before: The text of these lines, in one line.
        after: Their new text.
        code: The whole changed module.
        inside: Whether the change is in the body of a function, which can be replaced.
        nth: Its number, from 0, among changes of the module with the same text.
    """

    module: str
    lines: tuple[int, int]
    before: str
    after: str
    code: str
    inside: bool
    nth: int

    @property
    def place(self) -> tuple[str, str, str, int]:
        """What identifies it when the lines around it move."""
        return (self.module, self.before, self.after, self.nth)


def mutants(module: str) -> Iterator[Mutant]:
    """Make every change to one module, in the order of its lines."""
    wrapper = MetadataWrapper(cst.parse_module((SOURCES / module).read_text(encoding="utf-8")))
    tree = wrapper.module
    places = wrapper.resolve(WhitespaceInclusivePositionProvider)
    lines = tree.code.splitlines(keepends=True)
    alike: Counter[tuple[str, str]] = Counter()
    for node, inside in _walk(tree, inside=False):
        for old, new in _changes(node):
            start, end = places[old].start, places[old].end
            head, tail = lines[start.line - 1][: start.column], lines[end.line - 1][end.column :]
            text = head + tree.code_for_node(new) + tail
            before = lines[start.line - 1 : end.line]
            if text != "".join(before):
                # What follows stays in its lines: nothing else differs.
                fewer = "\n" * (len(before) - text.count("\n"))
                code = "".join([*lines[: start.line - 1], text, fewer, *lines[end.line :]])
                reached = (start.line, end.line)
                words = _one_line(before), _one_line([text])
                yield Mutant(module, reached, *words, code, inside, alike[words])
                alike[words] += 1


def _one_line(lines: list[str]) -> str:
    return " ".join("".join(lines).split())


def _walk(node: cst.CSTNode, *, inside: bool) -> Iterator[tuple[cst.CSTNode, bool]]:
    """Each node that may be changed, and whether it is in the body of a function."""
    if isinstance(node, cst.Annotation | cst.Raise | cst.Import | cst.ImportFrom | cst.Decorator):
        return
    if isinstance(node, cst.If) and _names_type_checking(node.test):
        return
    yield node, inside
    for child in node.children:
        within = inside or (isinstance(node, cst.FunctionDef | cst.Lambda) and child is node.body)
        yield from _walk(child, inside=within)


def _names_type_checking(test: cst.BaseExpression) -> bool:
    return isinstance(test, cst.Name) and test.value == "TYPE_CHECKING"


# --------------------------------------------------------------------- the changes


_Pair = tuple[cst.CSTNode, cst.CSTNode]
_Change = Callable[[Any], Iterable[_Pair]]


def _changes(node: cst.CSTNode) -> Iterator[_Pair]:
    for kind, change in _CHANGES:
        if isinstance(node, kind):
            yield from change(node)


def _condition_is_fixed(node: cst.If) -> Iterator[_Pair]:
    """Take out a check, or make a conditional step unconditional."""
    yield node.test, cst.Name("False")
    last = node.body.body[-1]
    refuses = isinstance(last, cst.SimpleStatementLine) and isinstance(last.body[0], cst.Raise)
    if not refuses:  # any test notices a check that refuses everything
        yield node.test, cst.Name("True")


def _loop_never_runs(node: cst.While) -> Iterator[_Pair]:
    yield node.test, cst.Name("False")


def _filter_takes_all(node: cst.CompIf) -> Iterator[_Pair]:
    yield node.test, cst.Name("True")


def _one_condition_less(node: cst.BooleanOperation) -> Iterator[_Pair]:
    for side in (node.left, node.right):  # in the brackets that were around both
        yield node, side.with_changes(lpar=[*node.lpar, *side.lpar], rpar=[*side.rpar, *node.rpar])


def _call_is_left_out(node: cst.Expr) -> Iterator[_Pair]:
    if isinstance(node.value, cst.Call | cst.Await):
        yield node, cst.Pass()


def _one_error_less(node: cst.ExceptHandler) -> Iterator[_Pair]:
    if isinstance(node.type, cst.Tuple):
        kept = node.type.elements
        for index in range(len(kept)):
            rest = [each.with_changes(comma=cst.Comma()) for each in kept]
            yield node.type, node.type.with_changes(elements=rest[:index] + rest[index + 1 :])
    elif node.type is not None:
        nothing = cst.Tuple([], lpar=[cst.LeftParen()], rpar=[cst.RightParen()])
        yield node.type, nothing


def _by_mutmut(change: Callable[[Any], Iterable[cst.CSTNode]]) -> _Change:
    def pairs(node: cst.CSTNode) -> Iterator[_Pair]:
        return ((node, new) for new in change(node))

    return pairs


_FROM_MUTMUT = (
    mutators.operator_number,
    mutators.operator_name,
    mutators.operator_augmented_assignment,
    mutators.operator_remove_unary_ops,
    mutators.operator_symmetric_string_methods_swap,
    mutators.operator_unsymmetrical_string_methods_swap,
    mutators.operator_keywords,
    mutators.operator_if_exp,
)

# `<` for `<=`, `+` for `-`. The sides of `and` and `or` are left out one by one instead.
_SWAPPED = (cst.BinaryOperation, cst.ComparisonTarget, cst.AugAssign)

_CHANGES: tuple[tuple[type[cst.CSTNode], _Change], ...] = (
    *(
        (kind, _by_mutmut(change))
        for kind, change in mutators.mutation_operators
        if change in _FROM_MUTMUT
    ),
    *((kind, _by_mutmut(mutators.operator_swap_op)) for kind in _SWAPPED),
    (cst.If, _condition_is_fixed),
    (cst.While, _loop_never_runs),
    (cst.CompIf, _filter_takes_all),
    (cst.BooleanOperation, _one_condition_less),
    (cst.Expr, _call_is_left_out),
    (cst.ExceptHandler, _one_error_less),
)
