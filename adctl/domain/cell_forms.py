"""What belongs into a cell, by the kind of value that its field is: the end of every refusal of one."""

from __future__ import annotations

from datetime import date, timedelta
from enum import StrEnum

from adctl.domain.money import offset

# What a field's own name does not say.
_MEANINGS = {
    "entered": "the entry to the current stage",
    "at": "the time of the click or conversion",
    "date": "the day",
    "starts": "the period's first day",
    "ends": "the period's last day",
}


class Form(StrEnum):
    """A kind of value, told as what to write."""

    META_ID = "the digits that Ads Manager shows, such as 120203654979135294"
    CRM_ID = "the record's own id, such as 9012345678; letters, digits, _ : -"
    CLICK_ID = "what fbclid= in the landing page's address holds, 8 characters or more"
    IP = "such as 203.0.113.7 or 2001:db8::7, or an empty cell"
    COUNT = "a whole number such as 1234; empty is 0"
    MONEY = "an amount in {currency} such as {amount}, or an empty cell"
    SPEND = "an amount in {currency} from 0 on, such as {amount}; empty is 0"
    DAY = "such as {day}"
    MOMENT = "such as {day} or {day}T14:05:00+00:00"
    ANSWER = "yes or no, true or false, 1 or 0, or an empty cell"


def form_of(field: str, form: Form, *, currency: str, latest: date) -> str:
    """`spend: an amount in USD from 0 on, such as 1234.50; empty is 0`. An example day is one that is taken."""
    amount, day = "1234" if offset(currency) == 1 else "1234.50", latest - timedelta(days=1)
    meaning = _MEANINGS.get(field, field.replace("_", " "))
    return f"{meaning}: {form.format(currency=currency, amount=amount, day=day)}"
