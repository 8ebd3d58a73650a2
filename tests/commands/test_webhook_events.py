"""sync-hubspot --events: every event of a spool once, deals as the API gives them, nothing on anybody's word."""

from __future__ import annotations

import gzip
import json

from adctl.commands import sync_hubspot
from adctl.domain.report import Report
from tests.builders import Loop, fact, table
from tests.commands.hubspot_reading import deals_of, impatient, only_reads, sync
from tests.domain.test_webhooks import signed


def event(loop: Loop, kind: str, object_id: str, **more: object) -> dict[str, object]:
    """An event of this portal at the world's time."""
    return {
        "eventId": 7,
        "subscriptionId": 3,
        "portalId": int(loop.sandbox.hubspot_portal),
        "occurredAt": round(loop.sandbox.world.now.timestamp() * 1000),
        "subscriptionType": kind,
        "attemptNumber": 0,
        "objectId": int(object_id),
        **more,
    }


def take(loop: Loop, *lines: object, secrets: tuple[str, ...] = (), dry_run: bool = False) -> Report:
    with impatient(loop) as crm:
        spool = [json.dumps(line).encode() + b"\n" for line in lines]
        return sync_hubspot.run_events(
            loop.engine, loop.job().profile, crm, spool, source="spool", secrets=secrets, dry_run=dry_run
        )


def test_every_event_of_a_spool_leads_to_the_deals_state_as_the_api_gives_it(loop: Loop) -> None:
    first, second, third, fourth = loop.sandbox.hubspot.edit_by_person({"add_deals": 4})["ids"]
    sync(loop)
    loop.advance(minutes=1)
    loop.sandbox.hubspot.edit_by_person({"id": first, "properties": {"dealstage": "contractsent"}})
    loop.sandbox.hubspot.edit_by_person({"archive": second})
    loop.sandbox.hubspot.edit_by_person({"merge": third, "into": fourth})

    report = take(
        loop,
        [
            # An event may lie, or be old: what counts is what the API says now.
            event(loop, "deal.propertyChange", first, propertyName="dealstage", propertyValue="closedwon"),
            event(loop, "deal.deletion", second),
        ],
        [
            event(loop, "deal.merge", fourth, primaryObjectId=int(fourth), mergedObjectIds=[int(third)]),
            event(loop, "company.creation", "1"),
            event(loop, "deal.deletion", "404"),
        ],
    )

    stored = {row["deal_id"]: row for row in loop.rows("deals")}
    assert stored[first]["stage"] == "contractsent"
    assert (stored[second]["archived"], stored[second]["merged_into"]) == (True, None)
    assert (stored[third]["archived"], stored[third]["merged_into"]) == (True, fourth)
    assert [fact(report, key) for key in ("events", "others", "gone", "refused")] == [5, 1, 1, 0]
    assert only_reads(loop)
    sync(loop)
    names = ("deal_id", "stage", "archived", "merged_into")
    assert {tuple(row[name] for name in names) for row in loop.rows("deals")} == {
        tuple(row[name] for name in names) for row in stored.values()
    }


def test_an_event_sent_twice_in_a_spool_and_in_the_next_is_handled_once(loop: Loop) -> None:
    (deal,) = loop.sandbox.hubspot.edit_by_person({"add_deals": 1})["ids"]
    sent = event(loop, "deal.creation", deal)
    first = take(loop, [sent, {**sent, "attemptNumber": 1}], [sent])
    asked = len(loop.sandbox.hubspot_log)
    second = take(loop, [{**sent, "attemptNumber": 2}])
    assert (fact(first, "events"), fact(first, "repeated"), fact(first, "deals")) == (3, 2, 1)
    assert (fact(second, "repeated"), fact(second, "written")) == (1, 0)
    assert len(loop.sandbox.hubspot_log) == asked
    assert len(loop.rows("webhook_events")) == 1


def test_a_contacts_event_re_reads_its_deals(synced: Loop) -> None:
    deal_id, deal = next((one, deal) for one, deal in deals_of(synced).items() if deal.links.get("contacts"))
    contact = next(iter(deal.links["contacts"]))
    properties = {"hs_facebook_click_id": "fb.1.1772000000000.clicked"}
    synced.sandbox.hubspot.edit_by_person({"type": "contacts", "id": contact, "properties": properties})
    report = take(synced, [event(synced, "contact.propertyChange", str(contact))])
    assert isinstance(read := fact(report, "deals"), int)
    assert read >= 1
    assert str(deal_id) in {row["deal_id"] for row in synced.rows("deals")}
    assert fact(report, "written") == 1
    stored = synced.value("select click_id from contacts where contact_id = :contact", contact=str(contact))
    assert stored == "fb.1.1772000000000.clicked"


def test_a_forged_request_is_listed_and_stops_nothing(loop: Loop) -> None:
    first, second = loop.sandbox.hubspot.edit_by_person({"add_deals": 2})["ids"]
    forged = signed("guessed", at=loop.sandbox.world.now, body=json.dumps([event(loop, "deal.creation", first)]))
    good = signed("s3cret", at=loop.sandbox.world.now, body=json.dumps([event(loop, "deal.creation", second)]))
    report = take(loop, forged, good, secrets=("new", "s3cret"))
    assert [(row["line"], row["reason"]) for row in table(report, "refused").rows] == [
        (1, "the signature does not fit")
    ]
    assert {row["deal_id"] for row in loop.rows("deals")} == {second}


def test_events_of_another_portal_are_not_ours(loop: Loop) -> None:
    (deal,) = loop.sandbox.hubspot.edit_by_person({"add_deals": 1})["ids"]
    report = take(loop, [event(loop, "deal.creation", deal, portalId=1)])
    assert (fact(report, "other_portals"), fact(report, "deals")) == (1, 0)


def test_a_dry_run_of_a_spool_writes_nothing_and_forgets_nothing(loop: Loop) -> None:
    (deal,) = loop.sandbox.hubspot.edit_by_person({"add_deals": 1})["ids"]
    before = loop.digest()
    report = take(loop, [event(loop, "deal.creation", deal)], dry_run=True)
    assert fact(report, "deals") == 1
    assert loop.digest() == before
    assert fact(take(loop, [event(loop, "deal.creation", deal)]), "repeated") == 0


# --- the command line ------------------------------------------------------------------------------------------------


def test_the_command_takes_a_spool_from_a_file_or_a_pipe_and_the_same_again_changes_nothing(loop: Loop) -> None:
    first, second = loop.sandbox.hubspot.edit_by_person({"add_deals": 2})["ids"]
    bodies = [json.dumps([event(loop, "deal.creation", one)]) for one in (first, second)]
    requests = [
        signed(secret, at=loop.sandbox.world.now, body=body)
        for secret, body in zip(("the-new-secret", "the-old-secret"), bodies, strict=True)
    ]
    spool = "".join(json.dumps(one) + "\n" for one in requests).encode()
    (loop.folder / "spool.jsonl").write_bytes(spool)
    adctl = loop.command_line()
    adctl.environment |= {
        "ADCTL_HUBSPOT_CLIENT_SECRET": "the-new-secret",
        "ADCTL_HUBSPOT_CLIENT_SECRET_PREVIOUS": "the-old-secret",
    }

    done = adctl("sync-hubspot", "--events", "spool.jsonl")
    again = adctl("sync-hubspot", "--events", "-", "--json", stdin=gzip.compress(spool))

    assert done.code == 0, done.err
    assert {row["deal_id"] for row in loop.rows("deals")} == {first, second}
    facts = again.document["facts"]
    assert isinstance(facts, dict)
    assert (again.code, facts["refused"], facts["repeated"], facts["written"]) == (0, 0, 2, 0)


def test_a_forged_request_a_missing_secret_and_a_broken_line_are_told_by_the_exit_code(loop: Loop) -> None:
    (deal,) = loop.sandbox.hubspot.edit_by_person({"add_deals": 1})["ids"]
    good = json.dumps([event(loop, "deal.creation", deal)])
    forged = json.dumps(signed("guessed", at=loop.sandbox.world.now, body=good))
    adctl = loop.command_line()

    unset = adctl("sync-hubspot", "--events", "-", stdin=f"{good}\n{forged}\n".encode())
    broken = adctl("sync-hubspot", "--events", "-", stdin=f'{good}\n{{"half\n'.encode())
    both = adctl("sync-hubspot", "--events", "-", "--full")
    assert (unset.code, broken.code, both.code) == (78, 65, 2)
    assert "ADCTL_HUBSPOT_CLIENT_SECRET" in unset.err
    assert "standard input, line 2: is no JSON" in broken.err
    assert loop.rows("deals") == loop.rows("webhook_events") == []

    partly = adctl(
        "sync-hubspot",
        "--events",
        "-",
        stdin=f"{good}\n{forged}\n".encode(),
        ADCTL_HUBSPOT_CLIENT_SECRET="s3cret-of-this-app",
    )
    assert partly.code == 3, partly.err
    assert "the signature does not fit" in partly.out
    assert {row["deal_id"] for row in loop.rows("deals")} == {deal}
