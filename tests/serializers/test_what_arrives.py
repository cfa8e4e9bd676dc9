"""What arrives equals what was emitted, in value and in type, or it is not emitted at all."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from tests.serializers._messages import ANYTHING, LAW, SCHEMAS, check_law, fitting
from walnats_anyio import Event


@pytest.mark.parametrize("schema", SCHEMAS, ids=str)
def test_what_fits_arrives_as_it_is_or_is_refused(schema: Any) -> None:
    event = Event("x", schema)
    LAW(given(fitting(schema))(lambda message: check_law(event, message)))()


@pytest.mark.parametrize("schema", SCHEMAS, ids=str)
def test_anything_arrives_as_it_is_or_is_refused(schema: Any) -> None:
    event = Event("x", schema)
    LAW(given(ANYTHING)(lambda message: check_law(event, message)))()
