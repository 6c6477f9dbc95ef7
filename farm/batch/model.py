"""The fields of a batch file: their types, their JSON schema, and what is wrong with a value.

What the fields mean together (the space, the call) is checked elsewhere; this is the shape alone.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    StringConstraints,
    WithJsonSchema,
)

from farm.batch import options
from farm.batch.options import OptionsFields
from farm.batch.parts import UNSET, Part


def batch_name(name: str) -> str:
    """A name as it is.

    Raises:
        ValueError: a command line could not tell it from an id or ``last``.
    """
    if name == "last" or name.isdigit() or not name.strip() or not name.isprintable():
        raise ValueError("not a name")
    return name


_COLUMN_SCHEMA: dict[str, Any] = {
    "description": "The values of one name: a list, one value, or a mapping that computes them.",
    "anyOf": [
        {"type": "array", "minItems": 1},
        {"type": ["string", "number", "boolean"]},
        *(
            {
                "type": "object",
                "properties": {kind: body},
                "required": [kind],
                "additionalProperties": False,
            }
            for kind, body in {
                "range": {
                    "type": "array",
                    "items": {"type": "number"},
                    "minItems": 1,
                    "maxItems": 3,
                    "description": "[start, stop, step] as Python's range; floats are allowed.",
                },
                "linspace": {
                    "type": "array",
                    "items": {"type": "number"},
                    "minItems": 3,
                    "maxItems": 3,
                    "description": "[a, b, n]: n numbers at equal distances, both ends included.",
                },
                "logspace": {
                    "type": "array",
                    "items": {"type": "number", "exclusiveMinimum": 0},
                    "minItems": 3,
                    "maxItems": 3,
                    "description": "[a, b, n]: n numbers with equal ratios from a to b themselves.",
                },
                "lines": {"type": "string", "description": "The lines of a file."},
                "glob": {"type": "string", "description": "The files that match a pattern."},
            }.items()
        ),
    ],
}

Column = Annotated[Any, WithJsonSchema(_COLUMN_SCHEMA)]
Columns = Annotated[dict[str, Column], Field(min_length=1)]
Points = list[dict[str, Any]]
Text = Annotated[str, StringConstraints(min_length=1)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=200), AfterValidator(batch_name)]


class ParamsFields(Part):
    """Where the parameters come from: one source, and what is added or taken away."""

    matrix: Columns = Field(
        default=UNSET,
        description="The cartesian product of the names' values, the last name fastest.",
    )
    zip: Columns = Field(
        default=UNSET, description="The names' values read in step; all have the same number."
    )
    list: Points = Field(default=UNSET, description="The points as they are, a mapping each.")
    count: Annotated[int, Field(ge=1, le=2**63 - 1)] = Field(
        default=UNSET, description="So many tasks; each gets its `index`."
    )
    lines: Text = Field(default=UNSET, description="A text file; each task gets a `line`.")
    csv: Text = Field(
        default=UNSET, description="A CSV file; its header gives the names, each row a task."
    )
    jsonl: Text = Field(default=UNSET, description="A file with a JSON object a line.")
    glob: Text = Field(
        default=UNSET, description="A pattern, `**` allowed; each task gets the `path` of a file."
    )
    include: Points | None = Field(default=None, description="Points that are added at the end.")
    exclude: (
        Annotated[
            Points,
            WithJsonSchema({"type": "array", "items": {"type": "object", "minProperties": 1}}),
        ]
        | None
    ) = Field(
        default=None,
        description="Partial points: what agrees with one in all its names is taken away.",
    )


class BatchFields(Part):
    """A batch file of farm: what to run, with which parameters, and how."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        title="farm batch",
        json_schema_extra={"oneOf": [{"required": ["python"]}, {"required": ["command"]}]},
    )

    name: Name = Field(default=UNSET, description="For people; the file's name by default.")
    python: Text = Field(
        default=UNSET,
        description="file.py:name (a file beside this one, shipped with the batch) or "
        "package.module:name; a function, a coroutine function, or a class with run().",
    )
    command: str | list[str] = Field(
        default=UNSET,
        description="A command for the shell, or a list of arguments that runs without one; "
        "{name} stands for a parameter, {name:raw} for one that is not shell-quoted.",
    )
    params: ParamsFields | None = Field(
        default=None, description="The parameter space; without it there is one task."
    )
    options: OptionsFields | None = Field(default=None, description="How the tasks are run.")


WANTED: dict[str, str] = {
    "name": "a text of at most 200 characters that is not a number, not `last`, "
    "and has no control characters",
    "python": "a text such as file.py:function or package.module:function",
    "command": "a text, or a list of texts",
    "params": "a mapping with one source, such as matrix or list",
    "options": "a mapping",
    "matrix": "a mapping of at least one name to its values",
    "zip": "a mapping of at least one name to its values",
    "list": "a list of mappings",
    "count": "a whole number from 1 to 2**63 - 1",
    "lines": "the name of a text file",
    "csv": "the name of a CSV file",
    "jsonl": "the name of a file with a JSON object a line",
    "glob": "a pattern such as images/*.png",
    "include": "a list of mappings",
    "exclude": "a list of mappings",
    **options.WANTED,
}
"""What each field wants, for messages."""


def schema() -> dict[str, Any]:
    """The JSON schema of batch files, for editors."""
    document = BatchFields.model_json_schema()
    _drop_null_defaults(document)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **document}


def _drop_null_defaults(part: Any) -> None:
    """Leave out defaults that are no value one could write."""
    if isinstance(part, dict):
        if part.get("default", ...) is None:
            del part["default"]
        for inner in part.values():
            _drop_null_defaults(inner)
    elif isinstance(part, list):
        for inner in part:
            _drop_null_defaults(inner)
