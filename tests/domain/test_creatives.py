"""A creative's content: what counts as content, what its hash depends on, which attributes are read from it."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from adctl.domain.creatives import (
    Creative,
    canonical_json,
    content_hash,
    creative_attributes,
    creative_of_text,
    creative_text,
)
from adctl.domain.ids import CampaignId, CreativeId

COACH = Creative(
    creative_id=CreativeId("238"),
    campaign_id=CampaignId("77"),
    headline="Ready for 30 days of training?",
    body="Book your free trial session.",
    call_to_action="BOOK_NOW",
    format="image",
    link_host="Studio.example",
    image_hash="aBc1",
)


def test_the_same_content_under_other_ids_has_the_same_hash() -> None:
    again = replace(COACH, creative_id=CreativeId("999"), campaign_id=None)

    assert content_hash(again) == content_hash(COACH)


@pytest.mark.parametrize(
    "change",
    [
        {"headline": "Ready?"},
        {"body": None},
        {"description": "New"},
        {"call_to_action": "SIGN_UP"},
        {"format": "video"},
        {"link_host": "x.example"},
        {"image_hash": "aBc2"},
        {"video_id": "1"},
        {"placement": "story"},
    ],
)
def test_every_content_field_changes_the_hash(change: dict[str, str | None]) -> None:
    # mypy cannot see through the keyword dictionary of a parametrised replace.
    changed = Creative(**{**_fields(COACH), **change})  # type: ignore[arg-type]

    assert content_hash(changed) != content_hash(COACH)


def test_the_content_hash_is_the_same_on_every_platform() -> None:
    assert content_hash(COACH).hex() == "94e75e2642ee1cd3ffa7405412717d30"
    assert len(content_hash(COACH)) == 16


def test_canonical_json_holds_what_is_present_and_nothing_else() -> None:
    content = json.loads(canonical_json(Creative(creative_id=CreativeId("1"), headline="Grüße 🔥", body="")))

    assert content == {"headline": "Grüße 🔥", "body": ""}


def test_an_empty_text_is_not_an_absent_one() -> None:
    empty, absent = (Creative(creative_id=CreativeId("1"), body=body) for body in ("", None))

    assert content_hash(empty) != content_hash(absent)


@pytest.mark.parametrize("text", ["a\0b", "\ud800 alone", "שלום עולם", "x" * 50_000])
def test_hostile_text_has_a_hash(text: str) -> None:
    assert len(content_hash(creative_of_text(text))) == 16


def test_the_text_is_its_present_parts_in_order() -> None:
    assert creative_text(COACH) == "Ready for 30 days of training?\nBook your free trial session."
    assert creative_text(Creative(creative_id=CreativeId("1"))) == ""


def test_attributes_are_the_given_ones_and_the_hook_of_the_headline() -> None:
    assert creative_attributes(COACH) == {
        "call_to_action": "book_now",
        "format": "image",
        "link_host": "studio.example",
        "image_hash": "aBc1",
        "asks": "question",
        "counts": "number",
        "headline_length": "medium",
    }


def test_absent_attributes_are_absent() -> None:
    assert creative_attributes(Creative(creative_id=CreativeId("1"), format=" ", headline="")) == {}


def test_the_hook_is_read_from_the_body_when_there_is_no_headline() -> None:
    assert creative_attributes(creative_of_text("هل أنت مستعد؟")) == {"asks": "question"}


@pytest.mark.parametrize(("length", "name"), [(25, "short"), (26, "medium"), (60, "medium"), (61, "long")])
def test_headline_lengths_fall_into_three_classes(length: int, name: str) -> None:
    creative = Creative(creative_id=CreativeId("1"), headline="x" * length)

    assert creative_attributes(creative)["headline_length"] == name


def _fields(creative: Creative) -> dict[str, object]:
    return {name: getattr(creative, name) for name in Creative.__dataclass_fields__}
