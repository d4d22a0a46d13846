"""Who is asking: the address, the user agent and the device of a request."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_network
from typing import Any, Final

from django.utils.translation import gettext as _

from django_sessionkit.conf import conf

try:
    import ua_parser
except ImportError:  # the extra "devices" is optional
    HAS_UA_PARSER = False
else:
    HAS_UA_PARSER = True

MAX_USER_AGENT: Final = 512  # characters; the width of the column
MAX_LABEL: Final = 80  # characters; one line of a table
CACHED_DEVICES: Final = 1000  # user agents; at most 1.3 MB
MAX_ENTRY: Final = 255  # characters; an address with port, zone and white space is shorter
CACHED_ENTRIES: Final = 1000  # addresses; at most 0.5 MB

_CONTROL_CHARACTERS: Final = dict.fromkeys([*range(0x20), 0x7F])

# An entry as proxies write it: "192.0.2.1", "192.0.2.1:5678", "2001:db8::1", "fe80::1%eth0",
# "[2001:db8::1]", "[2001:db8::1]:443". Only the outline: ipaddress checks the host.
_ENTRY: Final = re.compile(
    r"""
    (?P<v4> [0-9.]{7,15} ) (?: : [0-9]{1,5} )?
    | (?P<v6> [0-9a-f:.]{2,45} ) (?: % [0-9a-z._~-]{1,32} )?
    | \[ (?P<bracketed> [0-9a-f:.]{2,45} ) (?: % [0-9a-z._~-]{1,32} )? \] (?: : [0-9]{1,5} )?
    """,
    re.VERBOSE | re.IGNORECASE | re.ASCII,
)

# What every browser says of itself, so that it tells no device from another.
_NOISE: Final = re.compile(r"Mozilla/5\.0 |AppleWebKit/\S{1,20} |\(KHTML, like Gecko\) ")

# "Chrome Mobile", "Firefox iOS", "Mobile Safari UI/WKWebView": people know the bare name, and the
# system stands behind it anyway.
_BROWSER_VARIANT: Final = re.compile(r"^Mobile (?=Safari)| (?:UI/)?(?:WK)?WebView$| Mobile\b| iOS$")
_SYSTEM_NAMES: Final = {"Mac OS X": "macOS", "Chrome OS": "ChromeOS", "ATV OS X": "Apple TV"}
_APPLE_DEVICE: Final = re.compile(r"iPhone|iPad|iPod")

# An app names itself first ("Example/1.2 (iPhone; …)"); ua-parser, which does not know it, then
# answers with the system's web view.
_APP: Final = re.compile(r"(?!Mozilla/|Opera/)([A-Za-z][\w. -]{0,40})/[0-9]", re.ASCII)
_WEB_VIEWS: Final = frozenset({"", "Android", "Mobile Safari UI/WKWebView"})


@dataclass(frozen=True, slots=True)
class Client:
    """The client of one request, within what the privacy setting allows to keep.

    ``ip_address`` is in canonical form, or None if it is unknown or must not be kept;
    ``user_agent`` is printable ASCII of at most ``MAX_USER_AGENT`` characters, "" if unknown.
    """

    ip_address: str | None
    user_agent: str

    @classmethod
    def from_meta(cls, meta: Mapping[str, Any]) -> Client:
        """Return the client that ``request.META`` tells of; no header makes this raise."""
        return cls(_ip_address(meta), _user_agent(meta))


def device_label(user_agent: str) -> str:
    """Return words by which people know their device: "Firefox on Windows", "Safari on iPhone".

    Without the extra ``devices`` (ua-parser), and for a user agent that it does not know, the
    label is the user agent itself, shortened. It is what the client claims, not a proof, and
    plain text: escape it in HTML. Never longer than ``MAX_LABEL`` characters.
    """
    user_agent = _printable(user_agent)
    if not user_agent:
        return _("Unknown device")
    browser, system = _browser_and_system(user_agent) if HAS_UA_PARSER else ("", "")
    if browser and system:
        return _shorten(_("%(browser)s on %(system)s") % {"browser": browser, "system": system})
    return _shorten(browser or system or _NOISE.sub("", user_agent + " ").strip() or user_agent)


def _ip_address(meta: Mapping[str, Any]) -> str | None:
    """Return the client's address as far as SESSIONKIT_IP_ADDRESS lets it be kept."""
    keep = conf.ip_address
    if keep not in ("full", "truncated") or (address := _parse(_peer(meta))) is None:
        return None  # a value misspelt keeps nothing: the check tells, privacy is not lost
    if keep == "full":
        return str(address)
    prefix = 24 if address.version == 4 else 48
    return str(ip_network(f"{address}/{prefix}", strict=False).network_address)


def _peer(meta: Mapping[str, Any]) -> object:
    """Return, unchecked, the address of whoever spoke to the outermost of the site's proxies.

    Each proxy appends the peer that it saw, so of X-Forwarded-For only as many entries as there
    are proxies are theirs, counted from the right; the client can write anything before them. So
    empty entries count as well: without them a client could move the ones that matter.

    Fewer entries mean that the request did not come through all the proxies (a health check, a
    port open to the world), so that whoever sent it may have written all of them: none is
    believed, not even the leftmost, and REMOTE_ADDR, which nobody can write, is what is left.
    Werkzeug's ProxyFix does the same; django-allauth raises, which no header may do to a session.
    """
    count = conf.trusted_proxy_count
    if count > 0:
        forwarded_for = meta.get("HTTP_X_FORWARDED_FOR")
        if isinstance(forwarded_for, str):
            entries = forwarded_for.rsplit(",", count)
            if len(entries) >= count:
                return entries[-count]
    return meta.get("REMOTE_ADDR")


def _parse(entry: object) -> IPv4Address | IPv6Address | None:
    """Return the address in an entry of X-Forwarded-For or in REMOTE_ADDR; None if there is none.

    A port and an IPv6 zone (which means something on one machine only) are dropped; an
    IPv4-mapped IPv6 address is the IPv4 address that it stands for.
    """
    if not isinstance(entry, str) or len(entry) > MAX_ENTRY:
        return None
    return _parse_text(entry.strip(" \t"))


@lru_cache(CACHED_ENTRIES)
def _parse_text(entry: str) -> IPv4Address | IPv6Address | None:
    """See _parse(). Clients come again, and to parse an address takes as long as a signature."""
    match = _ENTRY.fullmatch(entry)
    if match is None:
        return None
    try:
        if match["v4"]:
            return IPv4Address(match["v4"])
        address = IPv6Address(match["v6"] or match["bracketed"])
    except ValueError:
        return None
    return address.ipv4_mapped or address


def _user_agent(meta: Mapping[str, Any]) -> str:
    value = meta.get("HTTP_USER_AGENT")
    return _printable(value) if isinstance(value, str) else ""


def _printable(user_agent: str) -> str:
    """Return printable ASCII, which fits every column, log and terminal (PostgreSQL: no NUL)."""
    text = user_agent.translate(_CONTROL_CHARACTERS).strip()[:MAX_USER_AGENT].rstrip()
    return text.encode("ascii", "replace").decode("ascii")


def _browser_and_system(user_agent: str) -> tuple[str, str]:
    """Return the names of browser (or app, or bot) and system or device, each "" if unknown."""
    domains = ua_parser.Domain.USER_AGENT | ua_parser.Domain.OS
    result = _resolver()(user_agent, domains)
    browser = result.user_agent.family if result.user_agent else ""
    system = result.os.family if result.os else ""
    if browser in _WEB_VIEWS and (app := _APP.match(user_agent)):
        browser = app[1]
    if system == "iOS" and (device := _APPLE_DEVICE.search(user_agent)):
        system = device[0]  # the domain "device" would tell, for 600 regexes more
    return _BROWSER_VARIANT.sub("", browser), _SYSTEM_NAMES.get(system, system)


@cache
def _resolver() -> ua_parser.Resolver:
    """Return ua-parser's rules in pure Python, built on first use (about 60 ms, 6 MB at most).

    A user agent that is not in the cache costs about 0.5 ms, a hostile one of MAX_USER_AGENT
    characters a few ms: its rules bound their repetitions.
    """
    return ua_parser.CachingResolver(
        ua_parser.BasicResolver(ua_parser.load_lazy_builtins()), ua_parser.Cache(CACHED_DEVICES)
    )


def _shorten(label: str) -> str:
    return label if len(label) <= MAX_LABEL else label[: MAX_LABEL - 1].rstrip() + "…"
