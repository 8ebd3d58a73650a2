"""The properties the simulated portal defines for deals and contacts, with their types."""

from __future__ import annotations

from typing import Any

_DEALS = {
    "amount": "number",
    "closedate": "datetime",
    "createdate": "datetime",
    "deal_currency_code": "enumeration",
    "dealname": "string",
    "dealstage": "enumeration",
    "hs_deal_stage_probability": "number",
    "hs_is_closed": "bool",
    "hs_is_closed_won": "bool",
    "hs_lastmodifieddate": "datetime",
    "hs_merged_object_ids": "enumeration",
    "hs_object_id": "number",
    "hubspot_owner_id": "enumeration",
    "pipeline": "enumeration",
}
_CONTACTS = {
    "createdate": "datetime",
    "email": "string",
    "firstname": "string",
    "hs_analytics_first_timestamp": "datetime",
    "hs_analytics_first_url": "string",
    "hs_analytics_source": "enumeration",
    "hs_analytics_source_data_1": "string",
    "hs_analytics_source_data_2": "string",
    "hs_facebook_click_id": "string",
    "hs_merged_object_ids": "enumeration",
    "hs_object_id": "number",
    "lastmodifieddate": "datetime",
    "lastname": "string",
    "lifecyclestage": "enumeration",
}
_TYPES = {"deals": _DEALS, "contacts": _CONTACTS}

# What a reply holds when no property was asked for, and what it holds besides the asked ones.
DEFAULTS = {
    "deals": (
        "amount",
        "closedate",
        "createdate",
        "dealname",
        "dealstage",
        "hs_lastmodifieddate",
        "hs_object_id",
        "pipeline",
    ),
    "contacts": ("createdate", "email", "firstname", "hs_object_id", "lastmodifieddate", "lastname"),
}
ALWAYS = {
    "deals": ("createdate", "hs_lastmodifieddate", "hs_object_id"),
    "contacts": ("createdate", "hs_object_id", "lastmodifieddate"),
}


def property_type(kind: str, name: str) -> str | None:
    """The property's type, None when the portal does not define it."""
    return _TYPES[kind].get(name)


def definitions(kind: str) -> list[dict[str, Any]]:
    """All properties of a type as the properties endpoint lists them."""
    fields = {"number": "number", "datetime": "date", "enumeration": "select", "bool": "booleancheckbox"}
    return [
        {
            "name": name,
            "label": name.replace("_", " ").capitalize(),
            "type": kind_of,
            "fieldType": fields.get(kind_of, "text"),
            "groupName": f"{kind[:-1]}information",
            "description": "",
            "options": [],
            "hubspotDefined": True,
            "archived": False,
        }
        for name, kind_of in _TYPES[kind].items()
    ]
