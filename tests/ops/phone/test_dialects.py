"""What holds for every dialect, whoever speaks it."""

from __future__ import annotations

from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops.phone import speech
from ops.phone.dialect import Dialect, Received, WsMessage
from ops.phone.dialects import known_dialects
from tests.ops.phone.codecs_for_tests import need_encoder

DIALECTS = known_dialects()
#: With the other ways in which they are spoken.
SPOKEN = list(chain.from_iterable([d, *d.variants.values()] for d in DIALECTS.values()))
EVERY_DIALECT = pytest.mark.parametrize(
    "dialect", SPOKEN, ids=lambda dialect: f"{dialect.name}-{dialect.format}"
)


def test_the_folder_is_the_list() -> None:
    assert list(DIALECTS) == ["mesmer", "sunvone", "telnyx", "twilio", "wavix"]


@EVERY_DIALECT
def test_every_call_has_ids_of_its_own(dialect: Dialect) -> None:
    assert dialect.open_call().open() != dialect.open_call().open()


@EVERY_DIALECT
@given(message=st.text() | st.binary())
def test_any_message_becomes_a_value(dialect: Dialect, message: WsMessage) -> None:
    assert isinstance(dialect.open_call().receive(message), Received)


@EVERY_DIALECT
def test_keys_are_said_only_where_the_dialect_has_words_for_them(dialect: Dialect) -> None:
    manners = dialect.open_call()
    manners.open()
    assert bool(manners.dtmf("1")) is dialect.has_dtmf


@EVERY_DIALECT
def test_speech_is_one_message_a_chunk(dialect: Dialect) -> None:
    need_encoder(dialect.format)
    manners = dialect.open_call()
    manners.open()
    chunks = speech.tune(dialect.format, chunk_ms=dialect.chunk_ms, seconds=0.1)
    assert [len(manners.media(chunk)) for chunk in chunks] == [1] * 5


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)
def test_variants_go_by_the_name_of_their_dialect(dialect: Dialect) -> None:
    assert {variant.name for variant in dialect.variants.values()} <= {dialect.name}
    assert all(not variant.variants for variant in dialect.variants.values())
