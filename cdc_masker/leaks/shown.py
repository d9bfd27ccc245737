"""What the parameters of a rule show of a value on purpose, by method, so that the search counts it as kept.

Read from the descriptions of the methods, not from their code. A method that shows nothing is not here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from decimal import ROUND_FLOOR, ROUND_HALF_EVEN, Context, Decimal
from ipaddress import ip_address, ip_network
from typing import Any

from cdc_masker.leaks.leaves import Number
from cdc_masker.policies import Rule

__all__ = ["shown"]

_Params = Mapping[str, Any]


def shown(rule: Rule, value: Any) -> Any:
    """What stands in the output of that value by the rule's parameters: a constant, parts of a text, or a coarser number.

    None: nothing.
    """
    if rule.method == "fixed":
        return str(rule.params.get("value", ""))
    if rule.method in _OF_NUMBER and isinstance(value, str):
        return _written(_OF_NUMBER[rule.method], rule.params, value)
    if isinstance(value, Number) or not isinstance(value, str):
        return None
    of_text = _OF_TEXT.get(rule.method)
    return None if of_text is None else of_text(rule.params, value)


def _truncated(params: _Params, text: str) -> list[str]:
    return [text[: params.get("length", 0)]]


def _ends(params: _Params, text: str) -> list[str]:
    first, last = params.get("first", 0), params.get("last", 0)
    return [text[:first], text[len(text) - last :]] if first + last < len(text) else []


def _site(params: _Params, text: str) -> list[str]:
    name, at, site = text.rpartition("@")
    if not (name and at):
        return []
    return [(site.rpartition(".")[2] if params.get("keep") == "tld" else at + site).lower()]


def _network(params: _Params, text: str) -> list[str]:
    address, _, length = text.partition("/")
    try:
        parsed = ip_address(address)
        prefix = params.get("ipv4_prefix", 24) if parsed.version == 4 else params.get("ipv6_prefix", 48)
        return [str(ip_network((parsed, min(prefix, int(length or prefix))), strict=False).network_address)]
    except ValueError:
        return []


def _origin(params: _Params, text: str) -> list[str]:
    scheme, there, rest = text.partition("://")
    if not there:
        return []
    authority, slash, path = re.split(r"[?#]", rest, maxsplit=1)[0].partition("/")
    site = f"{scheme}://{authority.rpartition('@')[2]}".lower()
    return [site + re.sub(";[^/]*", "", slash + path) if params.get("path") == "keep" else site]


def _card_ends(params: _Params, text: str) -> list[str]:
    places = [place for place, character in enumerate(text) if character in "0123456789"]
    if not 12 <= len(places) <= 19:
        return []
    first, last = min(params.get("first", 6), len(places) - 9), params.get("last", 4)
    return [text[: places[first]], text[places[-last] :] if last else ""]


def _country(_params: _Params, text: str) -> list[str]:
    found = re.match(r"\s*\+\s*([0-9]{1,3})", text)
    return [f"+{found[1][:digits]}" for digits in (1, 2, 3)] if found else []


def _postcode(params: _Params, text: str) -> list[str]:
    return [re.sub("[ -]", "", text)[: params.get("length", 3)].upper()]


def _all(_params: _Params, text: str) -> list[str]:
    return [text]


_OF_TEXT: dict[str, Callable[[_Params, str], list[str]]] = {
    "truncate": _truncated,
    "partial": _ends,
    "email": _site,
    "ip": _network,
    "url": _origin,
    "card": _card_ends,
    "phone": _country,
    "postcode": _postcode,
    "scrub": _all,
}


_NUMBER = re.compile(r"-?[0-9]{1,1000}(?:\.[0-9]{1,1000})?(?:[eE][-+]?[0-9]{1,3})?")
_EXACT = Context(prec=3_000)


def _written(coarser: Callable[[_Params, Decimal], Decimal], params: _Params, text: str) -> list[str]:
    """The coarser number in each way to write it: with its digits after the point, without zeros, as a float."""
    if not _NUMBER.fullmatch(text):
        return []
    number = coarser(params, Decimal(text))
    return [f"{number:f}", f"{_EXACT.plus(number.normalize(_EXACT)):f}", str(float(number) + 0.0)]  # zero has no sign


def _bucket(params: _Params, number: Decimal) -> Decimal:
    size, offset, *ends = (_exact(params.get(name)) for name in ("size", "offset", "min", "max"))
    least, greatest = ends
    size, offset = size or Decimal(1), offset or Decimal(0)
    number = number if least is None else max(number, least)
    number = number if greatest is None else min(number, greatest)
    # Whole buckets, by a division whose remainder is never below zero.
    buckets = _EXACT.divide(_EXACT.subtract(number, offset), size).to_integral_value(ROUND_FLOOR)
    return _EXACT.add(_EXACT.multiply(buckets, size), offset)


def _rounded(params: _Params, number: Decimal) -> Decimal:
    step = Decimal(1).scaleb(-params.get("digits", 0))
    return number.quantize(step, ROUND_HALF_EVEN, _EXACT)


def _exact(number: float | None) -> Decimal | None:
    return None if number is None else Decimal(repr(number))


_OF_NUMBER: dict[str, Callable[[_Params, Decimal], Decimal]] = {"bucket": _bucket, "round": _rounded}
