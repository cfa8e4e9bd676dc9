"""Tests of behaviour that are cheap, once more, on a server in memory.

The fixture `url` of this directory leads there. `nox -s memory` runs all that can be.
"""

from __future__ import annotations

import pytest

from tests.actors.settle.test_attempts import test_a_note_for_each_failure_and_no_other
from tests.actors.settle.test_dead_lettering import (
    test_an_event_for_one_actor_only,
    test_poison_goes_there_at_once,
    test_the_last_attempt_died_with_its_worker,
    test_what_a_handler_raises,
)
from tests.actors.settle.test_retries import (
    test_a_function_of_the_attempt_that_failed,
    test_a_rejected_event_never_comes_again,
    test_max_attempts,
    test_retry_with_a_delay,
)
from tests.actors.test_burst import (
    test_a_burst_can_be_repeated,
    test_more_than_there_are_slots,
    test_nothing_is_there,
    test_others_hold_what_is_there,
)
from tests.actors.test_delivery import (
    test_connections_share_the_events,
    test_max_ack_pending_holds_over_connections,
)

pytestmark = pytest.mark.anyio

__all__ = [
    "test_a_burst_can_be_repeated",
    "test_a_function_of_the_attempt_that_failed",
    "test_a_note_for_each_failure_and_no_other",
    "test_a_rejected_event_never_comes_again",
    "test_an_event_for_one_actor_only",
    "test_connections_share_the_events",
    "test_max_ack_pending_holds_over_connections",
    "test_max_attempts",
    "test_more_than_there_are_slots",
    "test_nothing_is_there",
    "test_others_hold_what_is_there",
    "test_poison_goes_there_at_once",
    "test_retry_with_a_delay",
    "test_the_last_attempt_died_with_its_worker",
    "test_what_a_handler_raises",
]
