"""What every mapping of a batch file has in common."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

UNSET: Any = None  # a field that may be left out, but where null is no value


class Part(BaseModel):
    """A mapping whose keys are all known, and whose values are not converted."""

    model_config = ConfigDict(extra="forbid", strict=True)
