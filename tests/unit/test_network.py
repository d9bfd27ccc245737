"""The laws of `ip` and `url`: the network, the site, and nothing of who is there."""

from __future__ import annotations

import contextlib
from ipaddress import IPv4Address, IPv6Address, ip_interface, ip_network
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from cdc_masker.methods import Misfit, Unmaskable
from cdc_masker.methods.network import Ip, Url
from tests.unit.building import change, described, envelope_schema, masker, payload, record, rule
from tests.unit.connect_json import misfits
from tests.unit.partially import TEXT, masking, problem, refusal


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("192.0.2.17", "192.0.2.0"),
        ("192.0.2.17/28", "192.0.2.0/24"),
        ("192.0.2.17/32", "192.0.2.0/24"),
        ("10.1.2.3/8", "10.0.0.0/8"),
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("255.255.255.255", "255.255.255.0"),
        ("2001:db8:1:2::3", "2001:db8:1::"),
        ("2001:DB8:1:2::3/64", "2001:db8:1::/48"),
        ("2001:db8::/32", "2001:db8::/32"),
        ("::1", "::"),
        ("::/0", "::/0"),
        ("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "ffff:ffff:ffff::"),
        ("::ffff:192.0.2.17", "::ffff:192.0.2.0"),
        ("::ffff:192.0.2.17/128", "::ffff:192.0.2.0/120"),
        ("::ffff:c000:211", "::ffff:192.0.2.0"),
        ("::ffff:192.0.2.17/90", "::/48"),
        ("::192.0.2.17", "::"),
        ("2002:c000:211::1", "2002:c000:200::"),
        ("64:ff9b::192.0.2.17", "64:ff9b::"),
    ],
)
def test_an_address_becomes_its_network(text: str, expected: str) -> None:
    assert masking("ip")(text) == expected


@pytest.mark.parametrize(
    ("text", "params", "expected"),
    [
        ("192.0.2.17", {"ipv4_prefix": 16}, "192.0.0.0"),
        ("192.0.2.17", {"ipv4_prefix": 1, "ipv6_prefix": 48}, "128.0.0.0"),
        ("2001:db8:1:2::3", {"ipv6_prefix": 32}, "2001:db8::"),
        ("2001:db8:1:2::3", {"ipv6_prefix": 33, "ipv4_prefix": 8}, "2001:db8::"),
        ("::ffff:192.0.2.17", {"ipv4_prefix": 8}, "::ffff:192.0.0.0"),
        ("2002:c000:211::1", {"ipv4_prefix": 8}, "2002:c000::"),
        ("2002:c000:211::1", {"ipv6_prefix": 16}, "2002::"),
    ],
)
def test_the_prefixes_are_the_rule_s(text: str, params: dict[str, Any], expected: str) -> None:
    assert masking("ip", **params)(text) == expected


@given(st.ip_addresses(), st.ip_addresses(), st.integers(1, 24), st.integers(1, 48), st.data())
def test_hosts_of_one_network_become_one(
    one: IPv4Address | IPv6Address, other: IPv4Address | IPv6Address, ipv4: int, ipv6: int, data: st.DataObject
) -> None:
    bits = one.max_prefixlen
    length = data.draw(st.none() | st.integers(0, bits))
    within = bits - (ipv4 if bits == 32 else 96 + ipv4 if one in _MAPPED else ipv6)
    neighbour = type(one)(int(one) >> within << within | int(other) % (1 << within))
    end = "" if length is None else f"/{length}"
    assume((one in _MAPPED) == (neighbour in _MAPPED))
    mask = masking("ip", TEXT, ipv4_prefix=ipv4, ipv6_prefix=ipv6)
    masked = mask(f"{one}{end}")
    assert masked == mask(f"{neighbour}{end}")
    assert masked == mask(masked)
    after = ip_interface(masked)
    assert after.version == one.version
    assert one in after.network or length is None
    assert ("/" in masked) == (length is not None)
    assert length is None or after.network.prefixlen <= length


_MAPPED = ip_network("::ffff:0:0/96")


@given(st.ip_addresses(v=4), st.integers(0, (1 << 8) - 1))
def test_an_ipv4_address_shows_no_more_as_an_ipv6_one(address: IPv4Address, last: int) -> None:
    """Mapped, in 6to4, in NAT64 and as it is: the last byte makes no difference."""
    mask, number = masking("ip"), int(address)
    other = IPv4Address(number >> 8 << 8 | last)
    for form in ("{}", "::ffff:{}", "::{}", "64:ff9b::{}"):
        assert mask(form.format(address)) == mask(form.format(other))
    in_6to4 = [IPv6Address((0x2002 << 112) | int(one) << 80 | 1) for one in (address, other)]
    assert mask(str(in_6to4[0])) == mask(str(in_6to4[1]))


@pytest.mark.parametrize(
    "value",
    [
        *("", "x", "192.0.2", "192.0.2.256", "192.0.2.017", "0xC0000211", "3221225985", "192.0.2.17:80", "[::1]"),
        *(" 192.0.2.17", "192.0.2.17\n", "192.0.2.17/", "192.0.2.17/33", "192.0.2.17/-1", "192.0.2.17/٢٤", "::1/129"),
        *("192.0.2.17/255.255.255.0", "192.0.2.17/24/8", "192.0.2.17, 192.0.2.18", "fe80::1%eth0", ":::", "1:2:3", "::1/1000"),
        *("\u0661\u0669\u0662.0.2.17", "192\u30020\u30022\u300217", "08:00:2b:01:02:03"),
    ],
)
def test_what_is_no_address_is_not_taken(value: str) -> None:
    assert refusal(masking("ip"), value) is Misfit.FORMAT


@pytest.mark.parametrize(
    ("text", "site", "path"),
    [
        ("https://example.com/a/b?q=anna#top", "https://example.com", "/a/b"),
        ("https://example.com", "https://example.com", ""),
        ("https://example.com?q=anna", "https://example.com", ""),
        ("https://example.com#anna/x?y", "https://example.com", ""),
        ("HTTPS://Example.COM:8443/A", "https://example.com:8443", "/A"),
        ("https://anna:secret@example.com/", "https://example.com", "/"),
        ("https://anna:p@ss@example.com/", "https://example.com", "/"),
        ("https://example.com:/x", "https://example.com", "/x"),
        ("ftp://192.0.2.17/x", "ftp://192.0.2.17", "/x"),
        ("http://[2001:DB8::0:1]:8080/x", "http://[2001:db8::1]:8080", "/x"),
        ("postgresql://app:secret@db_1:5432/shop", "postgresql://db_1:5432", "/shop"),
        ("https://bücher.example/größe", "https://bücher.example", "/größe"),
        ("https://B\u0075\u0308cher.example/x", "https://b\u00fccher.example", "/x"),
        ("https://xn--bcher-kva.example/%C3%BC", "https://xn--bcher-kva.example", "/%C3%BC"),
        ("https://example.com/a;jsessionid=8A1/b;v=1?x", "https://example.com", "/a/b"),
        ("https://example.com/?next=https://anna@other.example/", "https://example.com", "/"),
        ("https://example.com/@anna", "https://example.com", "/@anna"),
        ("https://example.com//x/../y", "https://example.com", "//x/../y"),
    ],
)
def test_a_url_becomes_its_site_and_its_path_if_the_rule_keeps_it(text: str, site: str, path: str) -> None:
    assert masking("url")(text) == site
    assert masking("url", path="keep")(text) == site + path


@pytest.mark.parametrize(
    "value",
    [
        *("", "example.com", "example.com/x", "//example.com/x", "/x", "https:example.com", "https:/example.com", "https://"),
        *("https:///x", "file:///home/anna", "https://anna@/x", "https://:80/", "mailto:anna@example.com", "tel:+491234567"),
        *("data:text/plain,anna", "javascript:alert(1)", "jdbc:postgresql://db/shop", "1http://example.com", "://example.com"),
        *("https://example.com\\@anna.example/", "https://anna\\@example.com/", "https://example.com/a\\b"),
        *("https://exam ple.com/", " https://example.com/", "https://example.com \n", "https://example.com:80a/"),
        *(
            "https://example.com:123456/",
            "https://ex%61mple.com/",
            "https://-a.example/",
            "https://a..example/",
            "https://a-./",
        ),
        *("https://[::1/", "https://::1]/", "https://[example.com]/", "https://[::1%25eth0]/", "https://[1:2]/", "https://[]/"),
        *("https://[::1]x/", "https://exa\u200bmple.com/", "https://example\u3002com/", "https://\u202emoc.elpmaxe/"),
        *("https://exa\u2028mple.com/", f"https://{'a' * 64}.example/", f"https://{'a.' * 130}example/", "https://a:b:c/"),
        *(
            "https://" + "\u00e9." * 130 + "example/",
            "https://\u00e9-.example/",
            "https://\u00e9..example/",
            "see https://example.com/",
        ),
    ],
)
def test_what_is_no_url_or_can_be_read_in_two_ways_is_not_taken(value: str) -> None:
    for path in ("drop", "keep"):
        assert refusal(masking("url", path=path), value) is Misfit.FORMAT


@pytest.mark.parametrize("path", ["/a b", "/a\tb", "/a\nb", "/a\x00b", "/a\x85b", "/a\u2028b", "/a\u00a0b"])
def test_a_path_that_no_url_has_is_dropped_and_not_kept(path: str) -> None:
    assert masking("url")(f"https://example.com{path}") == "https://example.com"
    assert refusal(masking("url", path="keep"), f"https://example.com{path}") is Misfit.FORMAT


@given(st.text(), st.text(), st.text(st.characters(exclude_characters="/?#\\")), st.booleans())
def test_who_asks_and_what_for_makes_no_difference(query: str, fragment: str, user: str, keeps: bool) -> None:
    mask = masking("url", path="keep" if keeps else "drop")
    expected = mask("https://example.com/x")
    assert mask(f"https://{user}@example.com/x?{query}#{fragment}") == expected


@given(st.text(max_size=20), st.text(max_size=20))
def test_whatever_stands_in_a_url_its_masked_form_is_its_own(authority: str, path: str) -> None:
    mask = masking("url", path="keep")
    with contextlib.suppress(Unmaskable):
        masked = mask(f"https://{authority}/{path}")
        assert mask(masked) == masked
        assert not set("?#@\\ ") & set(masked.partition("//")[2].partition("/")[0])


@given(st.ip_addresses(), st.none() | st.integers(0, 32), *[st.integers(1, 24)] * 2, *[st.integers(1, 48)] * 2)
def test_shorter_prefixes_tell_no_more_than_longer_ones(
    address: IPv4Address | IPv6Address, length: int | None, ipv4: int, shorter4: int, ipv6: int, shorter6: int
) -> None:
    """What they show follows from what the longer ones show."""
    more, less = Ip(ipv4_prefix=ipv4, ipv6_prefix=ipv6), Ip(ipv4_prefix=min(ipv4, shorter4), ipv6_prefix=min(ipv6, shorter6))
    assert less.no_weaker_than(more)
    assert more.no_weaker_than(less) == (more == less)
    text = str(address) if length is None else f"{address}/{length}"
    assert less.masking()(more.masking()(text)) == less.masking()(text)


def test_a_site_tells_no_more_than_a_path() -> None:
    assert Url().no_weaker_than(Url(path="keep"))
    assert not Url(path="keep").no_weaker_than(Url())


@pytest.mark.parametrize("method", ["ip", "url"])
@pytest.mark.parametrize("value", [1, 1.5, True, ["192.0.2.17"], {"url": "https://example.com"}])
def test_only_texts_are_taken(method: str, value: Any) -> None:
    assert refusal(masking(method), value) is Misfit.TYPE


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("ip", {"ipv4_prefix": 25}),
        ("ip", {"ipv4_prefix": 0}),
        ("ip", {"ipv6_prefix": 49}),
        ("ip", {"ipv6_prefix": "48"}),
        ("ip", {"prefix": 8}),
        ("url", {"path": "some"}),
        ("url", {"path": True}),
        ("url", {"query": "keep"}),
    ],
)
def test_parameters_beyond_the_limits_are_refused_by_name(method: str, params: dict[str, Any]) -> None:
    message = problem(rule("c", method, **params))
    assert "rule crm.people.c" in message
    assert f"params of method {method}" in message


@pytest.mark.parametrize("method", ["ip", "url"])
@pytest.mark.parametrize("type_name", ["bigint", "enum", "uuid", "jsonb", "bytea", "text[]"])
def test_a_column_of_another_type_is_refused(method: str, type_name: str) -> None:
    assert f"method {method} can't be used on a column of this type" in problem(rule("c", method, type=type_name))


def test_in_whole_records() -> None:
    row = {"ip": "192.0.2.17", "site": "https://anna@example.com/x?y", "none": None, "odd": "secret-4711"}
    expected = {"ip": "192.0.2.0", "site": "https://example.com", "none": None, "odd": None}
    rules = [rule("ip", "ip"), rule("site", "url"), rule("none", "ip"), rule("odd", "url")]
    assert payload(masker(*rules).mask(record(change(after=row))).value)["after"] == expected
    schema = envelope_schema({name: {"type": "string", "optional": True} for name in row})
    masked = masker(*rules).mask(record(described(schema, change(after=row))))
    assert misfits(masked.value) == []
    assert payload(masked.value)["after"] == expected
