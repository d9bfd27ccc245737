"""What a network address shows besides who: the network of an IP address, the site of a URL.

URLs are read by RFC 3986, strictly: what browsers repair (backslashes, encoded letters in a host's name) can't be masked, as
two readers would disagree on which part of it the host is.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Annotated, ClassVar, Literal, Self

import msgspec

from cdc_masker.methods.base import Disclosure, Misfit, Unmaskable
from cdc_masker.methods.texts import TextMethod

__all__ = ["Ip", "Url", "host_name"]

_PREFIX_LENGTH = re.compile("[0-9]{1,3}")
_MAPPED = 0xFFFF  # ::ffff:0:0/96 holds IPv4 addresses
_MAPPED_BITS, _6TO4_BITS = 96, 16  # before the IPv4 address


class Ip(TextMethod, frozen=True):
    """The network of an IP address: its first `ipv4_prefix` (at most 24) or `ipv6_prefix` (at most 48) bits, the others zero.

    Takes what `inet` and `cidr` columns hold: a prefix length stays where it is shorter, else it becomes that of the network.
    """

    name: ClassVar[str] = "ip"
    discloses: ClassVar[frozenset[Disclosure]] = frozenset((Disclosure.NULLS, Disclosure.PART))
    may_return_input: ClassVar[bool] = True
    ipv4_prefix: Annotated[int, msgspec.Meta(ge=1, le=24)] = 24
    ipv6_prefix: Annotated[int, msgspec.Meta(ge=1, le=48)] = 48

    def shows_no_more_than(self, other: Self) -> bool:
        return self.ipv4_prefix <= other.ipv4_prefix and self.ipv6_prefix <= other.ipv6_prefix

    def masking(self) -> Callable[[str], str]:
        ipv4_prefix, ipv6_prefix = self.ipv4_prefix, self.ipv6_prefix

        def prefix(address: IPv4Address | IPv6Address, length: int) -> int:
            if isinstance(address, IPv4Address):
                return min(ipv4_prefix, length)
            if address.ipv4_mapped is not None and length >= _MAPPED_BITS:
                return min(_MAPPED_BITS + ipv4_prefix, length)
            in_6to4 = _6TO4_BITS + ipv4_prefix if address.sixtofour is not None else length
            return min(ipv6_prefix, in_6to4, length)

        def masked(text: str) -> str:
            host, slash, length = text.partition("/")
            try:
                address = ip_address(host)
            except ValueError:
                raise Unmaskable(Misfit.FORMAT) from None
            bits = address.max_prefixlen
            if "%" in host or (slash and (not _PREFIX_LENGTH.fullmatch(length) or int(length) > bits)):
                raise Unmaskable(Misfit.FORMAT)
            kept = prefix(address, int(length) if slash else bits)
            network = int(address) >> (bits - kept) << (bits - kept)
            return f"{_written(network, bits)}/{kept}" if slash else _written(network, bits)

        return masked


def _written(address: int, bits: int) -> str:
    """As PostgreSQL and RFC 5952 write it."""
    if bits == 32:
        return str(IPv4Address(address))
    return f"::ffff:{IPv4Address(address & 0xFFFFFFFF)}" if address >> 32 == _MAPPED else str(IPv6Address(address))


_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?#\\]*)(/[^?#\\]*)?(?:[?#].*)?", re.DOTALL)
_AUTHORITY = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^:\[\]]+))(?::([0-9]{0,5}))?")
_UNSHOWABLE = re.compile(r"[\x00-\x20\x7f-\xa0\s]")


class Url(TextMethod, frozen=True):
    """Scheme, host and port of a URL, and with `path="keep"` its path, but no user name, parameter, query or fragment."""

    name: ClassVar[str] = "url"
    discloses: ClassVar[frozenset[Disclosure]] = frozenset((Disclosure.NULLS, Disclosure.PART))
    may_return_input: ClassVar[bool] = True
    path: Literal["drop", "keep"] = "drop"

    def shows_no_more_than(self, other: Self) -> bool:
        return self.path in ("drop", other.path)

    def masking(self) -> Callable[[str], str]:
        keeps_path = self.path == "keep"

        def masked(text: str) -> str:
            found = _URL.fullmatch(text)
            if not found:
                raise Unmaskable(Misfit.FORMAT)
            scheme, authority, path = found.groups(default="")
            shown = f"{scheme.lower()}://{_site(authority.rpartition('@')[2])}"
            if not keeps_path:
                return shown
            if _UNSHOWABLE.search(path):
                raise Unmaskable(Misfit.FORMAT)
            return shown + re.sub(";[^/]*", "", path)  # a session's number, more often than not

        return masked


def _site(authority: str) -> str:
    """Host and port. Raises `Unmaskable` where there are none."""
    found = _AUTHORITY.fullmatch(authority)
    if not found:
        raise Unmaskable(Misfit.FORMAT)
    literal, name, port = found.groups()
    end = f":{port}" if port else ""
    if name:
        return host_name(name) + end
    try:
        return f"[{IPv6Address(literal)}]{end}"
    except ValueError:
        raise Unmaskable(Misfit.FORMAT) from None


_ASCII_NAME = re.compile(r"(?=.{1,253}\Z)[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)*")
_LONGEST = 253
_LETTERS = "LMN"  # first letters of the categories of letters, combining marks and numbers


def host_name(text: str) -> str:
    """A host's or a domain's name in small letters, normalised to NFC. Raises `Unmaskable` where it is none."""
    name = text.lower()
    if name.isascii():
        fits = _ASCII_NAME.fullmatch(name) is not None
    else:
        name = unicodedata.normalize("NFC", name)
        fits = len(name) <= _LONGEST and all(map(_is_label, name.split(".")))
    if not fits:
        raise Unmaskable(Misfit.FORMAT)
    return name


def _is_label(label: str) -> bool:
    return (
        label != ""
        and "-" not in (label[0], label[-1])
        and all(character in "-_" or unicodedata.category(character)[0] in _LETTERS for character in label)
    )
