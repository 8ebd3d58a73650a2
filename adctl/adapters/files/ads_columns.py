"""The columns of ads exports: Ads Manager's English titles and those of plain database-like tables."""

from __future__ import annotations

from adctl.domain.columns import ColumnMapping, Field
from adctl.errors import InputRejectedError

# For a field that the file may have under another title.
COLUMN_FIX = 'export it, or name your title for it in adctl.toml: [accounts.NAME.columns.{}] {} = "TITLE"'
ID_FIX = "in Ads Manager: Columns → Customize columns → {}, on the Ads tab, then export again"
FIELDS = (
    Field(name="ad_id", aliases=("Ad ID",), required=True, fix=ID_FIX.format("Ad ID")),
    Field(
        name="ad_set_id",
        aliases=("Ad set ID", "Adset ID", "fb_campaign_id"),
        required=True,
        fix=ID_FIX.format("Ad set ID"),
    ),
    Field(
        name="campaign_id",
        aliases=("Campaign ID", "xyz_campaign_id"),
        required=True,
        fix=ID_FIX.format("Campaign ID"),
    ),
    Field(name="ad_name", aliases=("Ad name",)),
    Field(name="ad_set_name", aliases=("Ad set name", "Adset name")),
    Field(name="campaign_name", aliases=("Campaign name",)),
    Field(name="date", aliases=("Day", "Date")),
    Field(name="starts", aliases=("Reporting starts", "date_start")),
    Field(name="ends", aliases=("Reporting ends", "date_stop")),
    Field(name="impressions", aliases=("Impressions",), required=True, fix=COLUMN_FIX.format("ads", "impressions")),
    Field(name="clicks", aliases=("Clicks (all)", "Clicks")),
    Field(name="link_clicks", aliases=("Link clicks", "inline_link_clicks")),
    Field(
        name="spend",
        aliases=("Amount spent", "Spend", "Spent"),
        required=True,
        money=True,
        fix=COLUMN_FIX.format("ads", "spend"),
    ),
    Field(name="leads", aliases=("Leads", "On-Facebook leads", "Website leads", "Total_Conversion")),
    Field(name="purchases", aliases=("Purchases", "Website purchases", "Approved_Conversion")),
    Field(
        name="purchase_value",
        aliases=("Purchases conversion value", "Website purchases conversion value", "Purchase value"),
        money=True,
    ),
    Field(name="results", aliases=("Results",)),
    Field(name="result_kind", aliases=("Result indicator", "Result type")),
    Field(name="currency", aliases=("Currency", "Account currency")),
    Field(name="windows", aliases=("Attribution setting",)),
)
BREAKDOWNS = frozenset(
    {
        "age",
        "gender",
        "interest",
        "country",
        "region",
        "city",
        "dma region",
        "platform",
        "placement",
        "platform position",
        "publisher platform",
        "device platform",
        "impression device",
        "conversion device",
        "product id",
        "time of day (ad account time zone)",
        "time of day (viewer's time zone)",
    }
)


def require_figures(mapping: ColumnMapping, source: str) -> None:
    """Raises InputRejectedError when the file has no clicks at all, or only one end of its periods."""
    found = mapping.columns
    if "clicks" not in found and "link_clicks" not in found:
        what = "no column for clicks; known names: Clicks (all), Clicks, Link clicks"
        raise InputRejectedError(
            what, source=source, line=1, column="Clicks (all)", fix=COLUMN_FIX.format("ads", "clicks")
        )
    if ("starts" in found) != ("ends" in found) and "date" not in found:
        absent = "Reporting ends" if "starts" in found else "Reporting starts"
        fix = "export both ends, or a column Day"
        raise InputRejectedError("a period needs its other end", source=source, line=1, column=absent, fix=fix)
