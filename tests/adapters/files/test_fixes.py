"""Every kind of refusal of a file says what to write instead."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from adctl.adapters.files.ad_performances import read_ad_performances
from adctl.adapters.files.ads_columns import FIELDS as ADS_FIELDS
from adctl.adapters.files.ads_export import read_ads_export
from adctl.adapters.files.creative_file import read_creative
from adctl.adapters.files.crm_export import FIELDS as CRM_FIELDS
from adctl.adapters.files.crm_export import read_crm_export
from adctl.adapters.files.sightings import open_sightings
from adctl.adapters.files.spool_lines import open_spool
from adctl.domain.privacy import privacy_keys
from adctl.domain.rejects import Quarantine
from adctl.domain.saved_plans import read_plan
from adctl.domain.webhooks import deliveries, events_of
from adctl.errors import InputRejectedError

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
AD, SET, CAMPAIGN = "120203654979135294", "120203654979134984", "120203654979134001"


def crm(text: str) -> None:
    read_crm_export(io.BytesIO(text.encode()), currency="USD", as_of=NOW, zone=UTC)


def ads(text: str) -> None:
    read_ads_export(io.BytesIO(text.encode()), currency="JPY", as_of=NOW.date())


def clicks(text: str) -> None:
    keys = privacy_keys("k" * 64, None)
    with open_sightings(io.BytesIO(text.encode()), "clicks", as_of=NOW, zone=UTC, privacy=keys) as reading:
        list(reading.sightings())


def conversions(text: str) -> None:
    with open_sightings(io.BytesIO(text.encode()), "conversions", as_of=NOW, zone=UTC, privacy=None) as reading:
        list(reading.sightings())


def performances(text: str) -> None:
    read_ad_performances(io.BytesIO(text.encode()), "USD")


def creative(text: str) -> None:
    read_creative(io.BytesIO(text.encode()))


def webhooks(text: str) -> None:
    with open_spool(io.BytesIO(text.encode()), longest=1000) as lines:
        for delivery in deliveries(lines, "spool"):
            events_of(delivery, "spool")


def deal(**cells: str) -> str:
    row = {"Record ID": "11", "Deal Stage": "Won", "Amount": "5.00", **cells}
    return ",".join(row) + "\n" + ",".join(f'"{cell}"' for cell in row.values()) + "\n"


def ad(**cells: str) -> str:
    row = {"Ad ID": AD, "Ad set ID": SET, "Campaign ID": CAMPAIGN, "Impressions": "9", "Clicks": "1", "Spend": "500"}
    row |= {name.replace("_", " "): cell for name, cell in cells.items()}
    return ",".join(row) + "\n" + ",".join(f'"{cell}"' for cell in row.values()) + "\n"


def click(**cells: str) -> str:
    row = {"fbclid": "IwAR0aBcDeF", "ad_id": AD, "clicked_at": "2026-10-01 10:00", "consent": "yes", "ip": "", **cells}
    return ",".join(row) + "\n" + ",".join(row.values()) + "\n"


REFUSALS: list[tuple[Callable[[str], None], str, str]] = [
    # What a cell holds.
    (crm, deal(Amount="5 EUR"), "amount: an amount in USD such as 1234.50, or an empty cell"),
    (crm, deal(Amount="1,234"), "amount: an amount in USD such as 1234.50, or an empty cell"),
    (crm, deal(Archived="maybe"), "archived: yes or no, true or false, 1 or 0, or an empty cell"),
    (crm, deal(Created_at="soon"), "created: such as 2026-11-26 or 2026-11-26T14:05:00+00:00"),
    (crm, deal(Created_at="2031-01-01"), "created: such as 2026-11-26 or 2026-11-26T14:05:00+00:00"),
    (crm, deal(**{"Stage entered": "x"}), "the entry to the current stage: such as 2026-11-26 or"),
    (crm, deal(**{"Record ID": ""}), "deal id: the record's own id, such as 9012345678"),
    (crm, deal(**{"Record ID": "a b"}), "deal id: the record's own id, such as 9012345678"),
    (crm, deal(**{"Record ID": "1.2E+17"}), "load the file without opening it in Excel"),
    (crm, deal(**{"Deal Stage": ""}), "name the stage that the deal stands in"),
    (crm, deal(**{"Deal Stage": "=A1"}), "write what it should show"),
    (crm, deal(**{"Deal Stage": "W\u200bon"}), "type the text anew"),
    (crm, deal(**{"Deal Stage": "W\x07on"}), "remove it, or save the file as UTF-8"),
    (crm, deal(Currency="EUR"), "export amounts in USD"),
    (crm, deal(engage_date="2026-10-02", close_date="2026-10-01"), "correct one of both dates"),
    (crm, deal() + '"11","Won","5.00"\n', "keep one row a deal"),
    (ads, ad(Ad_ID="007"), "ad id: the digits that Ads Manager shows, such as 1"),
    (ads, ad(Impressions="1.5"), "impressions: a whole number such as 1234; empty is 0"),
    (ads, ad(Spend="-5"), "spend: an amount in JPY from 0 on, such as 1234; empty is 0"),
    (ads, ad(Spend="$5"), "spend: an amount in JPY from 0 on, such as 1234; empty is 0"),
    (ads, ad(Day=""), "the day: such as 2026-11-26"),
    (ads, ad(Reporting_starts="2026-10-02", Reporting_ends="2026-10-01"), "correct one of both days"),
    (clicks, click(fbclid="undefined"), "click id: what fbclid= in the landing page's address holds"),
    (clicks, click(clicked_at=""), "the time of the click or conversion: such as 2026-11-26 or"),
    (clicks, click(ip="1.2.3"), "ip: such as 203.0.113.7"),
    (conversions, "deal_id,converted_at\n,2026-10-01\n", "give a deal_id or a contact_id"),
    (performances, '{"ad_performances": {"x": 1}}', "the digits that Ads Manager shows"),
    (performances, f'{{"ad_performances": {{"{AD}": -1}}}}', "the ad's total value in USD from 0 on, such as 1234.50"),
    # Rows that contradict each other.
    (ads, ad(Day="08/31/2026") + f"{AD},{SET},{CAMPAIGN},9,1,500,31/08/2026\n", "best as 2026-10-31"),
    (ads, ad(Spend="1,234") + f'{AD},{SET},{CAMPAIGN},9,1,"1,5"\n', "best as 1234.50"),
    (ads, ad() + f"{AD},{SET},{CAMPAIGN},9,1,500\n", "keep one row an ad and period"),
    # Columns.
    (crm, "Record ID,Amount\n1,2\n", '[accounts.NAME.columns.crm] stage = "TITLE"'),
    (
        ads,
        f"Ad ID,Ad set ID,Campaign ID,Impressions,Clicks\n{AD},{SET},{CAMPAIGN},1,1\n",
        "[accounts.NAME.columns.ads]",
    ),
    (crm, "Record ID,Deal Stage,Amount,\n1,2,3,4\n", "name it, or remove the column"),
    (crm, "Record ID,Deal Stage,Amount,amount\n1,2,3,4\n", "rename or remove one of them"),
    (crm, "Record ID,Deal Stage,Amount (EUR)\n1,2,3\n", "export it in USD"),
    # What is no table, no JSON, no text.
    (crm, "", "export at least one row"),
    (crm, "Record ID,Deal Stage,Amount\n", "export at least one row"),
    (crm, deal() + "12,Won\n", "one cell a column, empty ones too; quote a cell that holds a comma"),
    (crm, deal() + '12,W"on,5\n', "quote the whole cell and double each quote"),
    (crm, '[{"deal_id": "11", "stage": "Won", "amount": 5', "export or transfer the file again"),
    (crm, '[{"deal_id": "11", "stage": "Won", "amount": NaN}]', "write a number, or null"),
    (crm, '[{"deal_id": "11", "stage": {"a": 1}, "amount": 1}]', "give one text or number, or null"),
    (crm, "[5]", "one flat object a record"),
    (crm, "{'deal_id': 11}", "correct it to JSON"),
    (performances, '{"ad_performances": 3}', 'write {"ad_performances": {"AD_ID": 1234.50}}'),
    (creative, '{"headline": 3}', "write a text"),
    (creative, '{"slogan": "x"}', "known: headline"),
    (webhooks, "nothing\n", "an array of events as HubSpot posts it"),
    (webhooks, '[{"objectId": 1}]\n', "an array of events as HubSpot posts it"),
]


@pytest.mark.parametrize(
    ("read", "text", "fix"), REFUSALS, ids=[f"{r.__name__}-{n}" for n, (r, _, _) in enumerate(REFUSALS)]
)
def test_a_refusal_says_what_to_write_instead(read: Callable[[str], None], text: str, fix: str) -> None:
    with pytest.raises(InputRejectedError) as caught:
        read(text)
    assert fix in caught.value.fix
    assert caught.value.line is not None


def test_every_required_column_says_how_it_gets_into_the_file() -> None:
    assert all(field.fix for field in (*ADS_FIELDS, *CRM_FIELDS) if field.required)


def test_where_no_row_is_good_an_allowance_names_the_first() -> None:
    file = io.BytesIO(ad(Impressions="x").encode())
    with pytest.raises(InputRejectedError, match="no row is good; the first: 'x' is not a number") as caught:
        read_ads_export(file, currency="USD", as_of=NOW.date(), quarantine=Quarantine(5))
    assert (caught.value.line, caught.value.column) == (2, "Impressions")


def test_a_refusal_comes_back_whole_from_another_process() -> None:
    error = InputRejectedError("not a number", source="ads.csv", line=3, column="spend", fix="write 1234.50")

    again = pickle.loads(pickle.dumps(error))

    assert (str(again), again.line, again.column, again.fix) == (str(error), 3, "spend", "write 1234.50")


def test_a_plan_that_is_none_is_refused_by_its_file_and_with_how_one_is_made() -> None:
    with pytest.raises(InputRejectedError) as caught:
        read_plan("{}", "plan.json")
    told = "plan.json: this is no plan that adctl wrote (make the plan anew: adctl enqueue --dry-run --out FILE)"
    assert str(caught.value) == told
