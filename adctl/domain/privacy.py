"""Personal data as keyed hashes: what may be compared, and never be read again."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from adctl.errors import ConfigurationError

FEWEST_COMPONENTS = 3
_SHORTEST_KEY = 32
_EMAIL = re.compile(r"[^@\s<>,;]{1,64}@[^@\s<>,;]{1,190}")
# The first that fits: browsers claim to be each other, the particular before the general.
_BROWSERS = (
    ("facebook", re.compile(r"FBAN|FBAV|FB_IAB")),
    ("instagram", re.compile(r"Instagram")),
    ("edge", re.compile(r"Edg(?:e|A|iOS)?/")),
    ("opera", re.compile(r"OPR/|Opera")),
    ("samsung", re.compile(r"SamsungBrowser/")),
    ("firefox", re.compile(r"Firefox/|FxiOS/")),
    ("chrome", re.compile(r"Chrome/|CriOS/")),
    ("safari", re.compile(r"Safari/|AppleWebKit/")),
)
_SYSTEMS = (
    ("ios", re.compile(r"iPhone|iPad|iPod")),
    ("android", re.compile(r"Android")),
    ("windows", re.compile(r"Windows")),
    ("macos", re.compile(r"Mac OS X|Macintosh")),
    ("linux", re.compile(r"Linux|X11|CrOS")),
)


@dataclass(frozen=True, slots=True)
class PrivacyKey:
    """One secret of HMAC-SHA256. `key_id` names it in the database and says nothing about it."""

    secret: bytes = field(repr=False)

    @property
    def key_id(self) -> str:
        return hmac.digest(self.secret, b"adctl key id", "sha256")[:8].hex()

    def hashed(self, kind: str, value: str) -> bytes:
        """32 bytes; the same value of another kind has another hash."""
        return hmac.digest(self.secret, f"{kind}\0{value}".encode("utf-8", "surrogatepass"), hashlib.sha256)


@dataclass(frozen=True, slots=True, kw_only=True)
class PrivacyKeys:
    """`current` makes every new hash; rows of `previous` are still found until they expire."""

    current: PrivacyKey
    previous: PrivacyKey | None = None

    def all(self) -> tuple[PrivacyKey, ...]:
        return (self.current, self.previous) if self.previous else (self.current,)


def privacy_keys(current: str, previous: str | None) -> PrivacyKeys:
    """Raises ConfigurationError for a key that can be guessed."""
    for name, text in (("privacy_key", current), ("privacy_key_previous", previous)):
        if text is not None and len(text) < _SHORTEST_KEY:
            fix = "make one with: openssl rand -hex 32"
            raise ConfigurationError(f"{name}: shorter than {_SHORTEST_KEY} characters", fix=fix)
    return PrivacyKeys(
        current=PrivacyKey(current.encode()), previous=PrivacyKey(previous.encode()) if previous else None
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchKeys:
    """Hashes under one key; None where there was nothing to hash, and None never matches."""

    key_id: str
    fingerprint: bytes | None = None
    ip_prefix: bytes | None = None
    agent_family: bytes | None = None

    @property
    def empty(self) -> bool:
        return self.fingerprint is None and self.ip_prefix is None and self.agent_family is None


def match_keys(key: PrivacyKey, *, ip: str, user_agent: str, device: Mapping[str, str]) -> MatchKeys:
    """The hashes of what a click or a conversion was seen with. Raises ValueError for an address that is none."""
    prefix, family = ip_prefix(ip), agent_family(user_agent)
    components = {name: " ".join(text.split()).lower() for name, text in device.items()}
    present = sorted((name, text) for name, text in components.items() if text)
    fingerprint = "\n".join(f"{name}={text}" for name, text in present) if len(present) >= FEWEST_COMPONENTS else None
    return MatchKeys(
        key_id=key.key_id,
        fingerprint=key.hashed("device", fingerprint) if fingerprint else None,
        ip_prefix=key.hashed("ip", prefix) if prefix else None,
        agent_family=key.hashed("agent", family) if family else None,
    )


def ip_prefix(text: str) -> str | None:
    """The /24 or /48 network of a public address; None for an empty text and for an address that many share by design
    (private, loopback): a proxy's own address would match everybody. Raises ValueError when it is no address.
    """
    if not text:
        return None
    try:
        address: IPv4Address | IPv6Address = ip_address(text)
    except ValueError:
        # Not quoted: a message must not carry the address.
        raise ValueError("not an IP address") from None
    if isinstance(address, IPv6Address):
        address = address.ipv4_mapped or address
    if not address.is_global:
        return None
    length = 24 if address.version == 4 else 48
    return str(ip_network(f"{address}/{length}", strict=False))


def agent_family(text: str) -> str | None:
    """Browser and system such as `chrome/android`, without versions; None when either is not known."""
    browser = next((name for name, pattern in _BROWSERS if pattern.search(text)), None)
    system = next((name for name, pattern in _SYSTEMS if pattern.search(text)), None)
    return f"{browser}/{system}" if browser and system else None


def email_normal(text: str) -> str | None:
    """The address as it is hashed, None for a text that is no single address."""
    normal = text.strip().lower()
    return normal if _EMAIL.fullmatch(normal) else None


def email_hash(key: PrivacyKey, text: str) -> bytes | None:
    normal = email_normal(text)
    return key.hashed("email", normal) if normal else None
