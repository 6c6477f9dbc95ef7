"""Lines, functions and cyclomatic complexity of Python files, and a table of the worst.

`measure` runs on nodes, shipped with `stdlib.yaml`; the rest reads what `farm run --output` wrote:

    python configs/batches/stdlib_stats.py results.jsonl
"""

from __future__ import annotations

import ast
import glob
import json
import os
import sys
import sysconfig
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

WORST = 10
INSTALLED = frozenset({"site-packages", "dist-packages"})

Function = ast.FunctionDef | ast.AsyncFunctionDef
Scope = Function | ast.ClassDef
Branch = (
    ast.If
    | ast.IfExp
    | ast.For
    | ast.AsyncFor
    | ast.While
    | ast.ExceptHandler
    | ast.Assert
    | ast.comprehension
)


def measure(path: str) -> dict[str, Any] | None:
    """Measure one Python file.

    Args:
        path: the file; it is parsed, never imported.

    Returns:
        ``path``, ``lines``, ``functions`` (how many), ``complexity`` (their sum) and ``worst``: up
        to ten of them as ``name``, ``line`` and ``complexity``. A file that this Python cannot
        parse (the tests of the standard library have some on purpose) has ``unparsable`` instead.
        None for a package that was installed beside the standard library.

    Raises:
        OSError: the file cannot be read.
    """
    if not INSTALLED.isdisjoint(Path(path).parts):
        return None
    source = Path(path).read_bytes()
    try:
        tree = parse(source, Path(path).name)
    except (SyntaxError, ValueError, RecursionError) as error:
        return {"path": path, "unparsable": f"{type(error).__name__}: {error}"}
    found: list[dict[str, Any]] = [
        {"name": name, "line": node.lineno, "complexity": complexity(node)}
        for name, node in functions(tree)
    ]
    return {
        "path": path,
        "lines": len(source.splitlines()),
        "functions": len(found),
        "complexity": sum(function["complexity"] for function in found),
        "worst": sorted(found, key=lambda function: -function["complexity"])[:WORST],
    }


def parse(source: bytes, name: str) -> ast.Module:
    """Parse a file's bytes, honouring its encoding line, without a word about its style.

    Args:
        source: the bytes.
        name: what errors call the file.

    Raises:
        SyntaxError, ValueError, RecursionError: this Python cannot parse it.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # odd escapes in other people's files are not news
        return ast.parse(source, name)


def functions(tree: ast.AST, prefix: str = "") -> Iterator[tuple[str, Function]]:
    """Find every function, methods and nested ones too, with its qualified name."""
    pending = [(tree, prefix)]
    while pending:
        node, outer = pending.pop()
        for child in ast.iter_child_nodes(node):
            inner = outer
            if isinstance(child, Scope):
                inner = f"{outer}{child.name}."
            if isinstance(child, Function):
                yield inner[:-1], child
            pending.append((child, inner))


def complexity(function: Function) -> int:
    """Give the cyclomatic complexity of one function: its decisions plus one.

    A compound condition counts once for each of its operands, as in the source: T. J. McCabe, "A
    Complexity Measure", IEEE Transactions on Software Engineering SE-2 (4), 1976, pp. 308-320.
    Lambdas and comprehensions belong to the function they stand in; nested functions and classes
    are flow graphs of their own and are left out.

    Example:
        >>> tree = ast.parse("def f(a, b):\\n    return 1 if a and b else 2")
        >>> complexity(tree.body[0])  # the `if` and the `and`
        3
    """
    total = 1
    pending: list[ast.AST] = list(function.body)
    while pending:
        node = pending.pop()
        if not isinstance(node, Scope):
            total += decisions(node)
            pending.extend(ast.iter_child_nodes(node))
    return total


def decisions(node: ast.AST) -> int:
    """Count the further ways that open at this node alone."""
    match node:
        case ast.BoolOp():
            return len(node.values) - 1
        case ast.comprehension():
            return 1 + len(node.ifs)
        case ast.Match():
            return sum(not catches_all(case) for case in node.cases)
    return int(isinstance(node, Branch))


def catches_all(case: ast.match_case) -> bool:
    """Tell whether a case is the `else` of its match: ``case _:`` or ``case name:``."""
    pattern = case.pattern
    return case.guard is None and isinstance(pattern, ast.MatchAs) and pattern.pattern is None


def worst_functions(files: list[dict[str, Any]], root: str) -> list[tuple[Any, ...]]:
    """Rank functions: rows of complexity, name and ``file:line``, the most complex first."""
    rows = [
        (one["complexity"], one["name"], f"{os.path.relpath(file['path'], root)}:{one['line']}")
        for file in files
        for one in file["worst"]
    ]
    return sorted(rows, key=lambda row: (-row[0], row[2]))[:WORST]


def worst_files(files: list[dict[str, Any]], root: str) -> list[tuple[Any, ...]]:
    """Rank files: rows of summed complexity, functions, lines and file, the most complex first."""
    rows = [
        (file["complexity"], file["functions"], file["lines"], os.path.relpath(file["path"], root))
        for file in files
    ]
    return sorted(rows, key=lambda row: (-row[0], row[3]))[:WORST]


def table(heads: tuple[str, ...], rows: list[tuple[Any, ...]]) -> str:
    """Set rows under heads: numbers to the right, words to the left."""
    cells = [heads, *[tuple(f"{v:,}" if isinstance(v, int) else v for v in row) for row in rows]]
    widths = [max(len(row[column]) for row in cells) for column in range(len(heads))]
    numeric = [isinstance(value, int) for value in rows[0]] if rows else [False] * len(heads)
    return "\n".join(
        "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, numeric, strict=True)
        ).rstrip()
        for row in cells
    )


def report(results: list[dict[str, Any] | None]) -> str:
    """Write the sums and both tables.

    Args:
        results: what `measure` returned, in any order.
    """
    measured = [one for one in results if one is not None]
    files = [one for one in measured if "unparsable" not in one]
    if not files:
        return "No Python file was measured."
    root = os.path.commonpath([str(Path(file["path"]).parent) for file in files])
    sums = {key: sum(file[key] for file in files) for key in ("functions", "lines", "complexity")}
    mean = sums["complexity"] / max(sums["functions"], 1)
    return "\n".join(
        [
            f"{root}: {len(files):,} files, {sums['lines']:,} lines, "
            f"{sums['functions']:,} functions of mean complexity {mean:.1f}",
            f"(apart from {len(measured) - len(files):,} files that cannot be parsed "
            f"and {len(results) - len(measured):,} of installed packages)",
            "\nThe ten most complex functions",
            table(("complexity", "function", "where"), worst_functions(files, root)),
            "\nThe ten most complex files",
            table(("complexity", "functions", "lines", "file"), worst_files(files, root)),
        ]
    )


def pattern() -> str:
    """Give the glob pattern of the running Python's standard library."""
    return str(Path(glob.escape(sysconfig.get_paths()["stdlib"])) / "**" / "*.py")


def main(arguments: list[str]) -> int:
    """Print the tables of a file of results, or with ``--pattern`` what to measure here."""
    if arguments == ["--pattern"]:
        print(pattern())
        return 0
    if len(arguments) != 1:
        print("usage: python stdlib_stats.py RESULTS.jsonl | --pattern", file=sys.stderr)
        return 2
    with Path(arguments[0]).open(encoding="utf-8") as lines:
        outcomes = [json.loads(line) for line in lines]
    print(report([outcome["result"] for outcome in outcomes if outcome.get("error") is None]))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
