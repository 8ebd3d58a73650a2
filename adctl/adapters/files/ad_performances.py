"""The bulk shape `{"ad_performances": {ad_id: value}}`: what each ad is worth by the CRM, absolute."""

from __future__ import annotations

import re
from dataclasses import replace

from adctl.adapters.files.opened_files import Limits, Source, open_rewindable
from adctl.adapters.files.physical_lines import BadTextError, read_text
from adctl.adapters.files.strict_json import JsonNumber, Located, parse_json
from adctl.domain.cells import LOST_DIGITS_FIX
from adctl.domain.ids import AdId, has_lost_digits, is_meta_id
from adctl.domain.money import offset
from adctl.domain.numerals import NumeralStyle, minor_units
from adctl.errors import InputRejectedError

_KEY = "ad_performances"
_SHAPE_FIX = f'write {{"{_KEY}": {{"AD_ID": 1234.50}}}}'
_ID_FIX = "the digits that Ads Manager shows, such as 120203654979135294"
_PLAIN = re.compile(r"-?\d+(\.\d+)?", re.ASCII)
_AS_IN_JSON = NumeralStyle(decimal=".")
# A JSON text stands in memory as a whole; a million ads fit in this.
_MOST_BYTES = 64 << 20
_LIMITS = Limits()


def read_ad_performances(source: Source, currency: str, limits: Limits = _LIMITS) -> tuple[tuple[AdId, int], ...]:
    """(ad id, value in minor units) in the file's order; values are totals so far, not additions, and never negative.

    A value is a JSON number or a text with one, in major units without exponent. Raises InputRejectedError with the
    line and, as column, the ad id; UsageError when the file cannot be opened.
    """
    offset(currency)
    bounds = replace(limits, file_bytes=min(limits.file_bytes, _MOST_BYTES))
    with open_rewindable(source, bounds) as (name, stream):
        try:
            text = read_text(stream, name=name, limits=bounds)
        except BadTextError as error:
            column = f"character {len(error.before) + 1}"
            raise InputRejectedError(error.what, source=name, line=error.line, column=column, fix=error.fix) from None
    performances = _performances(parse_json(text, source=name, deepest=limits.depth), name)
    return tuple((_ad_id(ad, at, name), _value(ad, at, currency, name)) for ad, at in performances.items())


def _performances(found: Located, source: str) -> dict[str, Located]:
    top = found.value
    if not isinstance(top, dict) or _KEY not in top:
        what = f"not an object with the key {_KEY!r}"
        raise InputRejectedError(what, source=source, line=found.line, column=_KEY, fix=_SHAPE_FIX)
    for key, at in top.items():
        if key != _KEY:
            fix = f"remove it, {_KEY} stands alone"
            raise InputRejectedError("unknown key", source=source, line=at.line, column=key, fix=fix)
    inner = top[_KEY]
    if not isinstance(inner.value, dict) or not inner.value:
        what = "no ads in it" if inner.value == {} else "not an object of ad ids and values"
        raise InputRejectedError(what, source=source, line=inner.line, column=_KEY, fix=_SHAPE_FIX)
    return inner.value


def _ad_id(ad: str, at: Located, source: str) -> AdId:
    if not is_meta_id(ad):
        lost = has_lost_digits(ad)
        what, fix = ("has lost digits of the id", LOST_DIGITS_FIX) if lost else ("is not an id of Meta", _ID_FIX)
        raise InputRejectedError(f"{ad!r} {what}", source=source, line=at.line, column=ad, fix=fix)
    return AdId(ad)


def _value(ad: str, at: Located, currency: str, source: str) -> int:
    try:
        if not isinstance(at.value, JsonNumber | str):
            raise ValueError("the value is not a number")
        if not _PLAIN.fullmatch(at.value):
            raise ValueError(f"{str(at.value)!r} is not a plain decimal number")
        value = minor_units(at.value, _AS_IN_JSON, currency)
    except ValueError as error:
        raise _bad_value(str(error), ad, at, currency, source) from None
    if value < 0:
        raise _bad_value(f"{at.value!r} is negative", ad, at, currency, source)
    return value


def _bad_value(what: str, ad: str, at: Located, currency: str, source: str) -> InputRejectedError:
    amount = "1234" if offset(currency) == 1 else "1234.50"
    fix = f"the ad's total value in {currency} from 0 on, such as {amount}"
    return InputRejectedError(what, source=source, line=at.line, column=ad, fix=fix)
