"""Which addresses a caller may make this server connect to: public ones, nothing else."""

from __future__ import annotations

import ipaddress

# Python's is_global leaves these in; each can stand for, or lead to, a private address.
_NOT_PUBLIC_V4 = tuple(map(ipaddress.IPv4Network, ("192.88.99.0/24",)))  # 6to4 relays
_NOT_PUBLIC_V6 = tuple(
    map(
        ipaddress.IPv6Network,
        ("2001::/23", "2002::/16", "3fff::/20"),  # Teredo and kin, 6to4, documentation
    )
)
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")  # leaves out NAT64, site-local and ::a.b.c.d


def is_public(address: str) -> bool:
    """Return whether `address`, an IPv4 or IPv6 literal, is plainly on the public internet.

    An IPv4 address inside an IPv6 one is never public: the kernel or a gateway would connect to
    the inner one.

    Raises:
        ValueError: `address` is no IP literal.
    """
    ip = ipaddress.ip_address(address)
    if not ip.is_global or ip.is_multicast or ip.is_reserved:
        return False
    if isinstance(ip, ipaddress.IPv4Address):
        return not any(ip in network for network in _NOT_PUBLIC_V4)
    return ip in _GLOBAL_UNICAST and not any(ip in network for network in _NOT_PUBLIC_V6)
