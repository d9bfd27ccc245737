"""What one would write by hand to mask an event in Python: five columns, with orjson, and everything else as it is."""

from __future__ import annotations

import hmac

import orjson

__all__ = ["masked"]

_STATE = hmac.new(bytes(32), digestmod="sha256")


def masked(value: bytes) -> bytes:
    event = orjson.loads(value)
    for image in (event["before"], event["after"]):
        if image is not None:
            image["email"] = _token(image["email"])
            image["ssn"] = _token(image["ssn"])
            image["full_name"] = None
            image["phone"] = "***"
            card = image["card_number"]
            image["card_number"] = card[:6] + "*" * (len(card) - 10) + card[-4:]
    return orjson.dumps(event)


def _token(text: str) -> str:
    state = _STATE.copy()
    state.update(text.encode())
    return state.hexdigest()[:32]
