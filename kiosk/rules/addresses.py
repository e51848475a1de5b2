"""Addresses of machines, as connections, headers and settings name them. Pure."""

from __future__ import annotations

import ipaddress

HERE = "localhost"


def address_of(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return an address without its zone, and the IPv4 address that an IPv6 one stands for; None for what is none.

    >>> address_of("192.0.2.7"), address_of("::ffff:192.0.2.7"), address_of("fe80::1%eth0"), address_of("odd")
    (IPv4Address('192.0.2.7'), IPv4Address('192.0.2.7'), IPv6Address('fe80::1'), None)
    """
    try:
        parsed = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return mapped or parsed


def is_loopback(text: str) -> bool:
    """Say whether an address, or a name, is this machine's own.

    >>> is_loopback("127.0.0.1"), is_loopback("::1"), is_loopback("localhost"), is_loopback("192.0.2.7")
    (True, True, True, False)
    """
    address = address_of(text)
    return text == HERE or (address is not None and address.is_loopback)


def is_host(text: str) -> bool:
    """Say whether a text can be the name or address of a machine: what cannot is no fault of the network's.

    >>> is_host("broker.example"), is_host("fe80::1%eth0"), is_host("büro.example"), is_host("a..b"), is_host("a b")
    (True, True, True, False, False)
    """
    try:
        text.encode("idna")
    except UnicodeError:
        return False
    return bool(text) and text.isprintable() and not any(sign.isspace() or sign in "/@" for sign in text)
