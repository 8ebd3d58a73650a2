"""The text and pictures of simulated ads: phrase templates with real variety and some near-copies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

HOOKS = ("question", "proof", "offer", "pain", "how_to")
CTAS = ("LEARN_MORE", "SIGN_UP", "BOOK_NOW", "GET_QUOTE", "SUBSCRIBE")
URL_TAGS = "utm_source=facebook&utm_campaign={{campaign.id}}&utm_term={{adset.id}}&utm_content={{ad.id}}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Theme:
    """What one campaign sells, in the words its ads are made of."""

    name: str
    page: str
    audience: tuple[str, ...]
    pain: tuple[str, ...]
    outcome: tuple[str, ...]
    offer: tuple[str, ...]
    proof: tuple[str, ...]


THEMES = (
    Theme(
        name="Coaching",
        page="https://www.northgym.example/start",
        audience=("busy parents", "desk workers", "men over 40", "new mothers", "night-shift nurses"),
        pain=("skip every workout", "quit by February", "wake up with a stiff back", "eat dinner at the desk"),
        outcome=(
            "lose 6 kg in 12 weeks",
            "train three times a week",
            "sleep through the night",
            "lift pain-free again",
        ),
        offer=("a free trial week", "a 20-minute strategy call", "the first month half price", "a home training plan"),
        proof=("1,900 members stayed a year", "rated 4.9 by 812 clients", "94 % finish the programme"),
    ),
    Theme(
        name="Invoicing software",
        page="https://www.ledgerly.example/demo",
        audience=("freelance designers", "small agencies", "plumbers and electricians", "café owners", "consultants"),
        pain=("chase late payments", "retype every invoice", "lose receipts in a shoebox", "dread the tax quarter"),
        outcome=(
            "get paid 11 days sooner",
            "close the month in an hour",
            "send quotes from the van",
            "see cash per client",
        ),
        offer=(
            "60 days without a card",
            "a live demo for your team",
            "free migration of old invoices",
            "a tax checklist",
        ),
        proof=("used by 14,000 firms", "saves six hours a week on average", "recommended by 300 accountants"),
    ),
    Theme(
        name="Solar roofs",
        page="https://www.brightroof.example/quote",
        audience=("homeowners in Bavaria", "families with an electric car", "farmers", "owners of old tile roofs"),
        pain=("pay more for power each winter", "wait months for an installer", "fear hidden costs on the roof"),
        outcome=("cut the power bill by 60 %", "charge the car at noon for nothing", "be installed within five weeks"),
        offer=(
            "a quote in two minutes",
            "a free roof check by drone",
            "zero down payment",
            "a fixed price for ten years",
        ),
        proof=("3,200 roofs since 2014", "built by our own fitters", "winner of the regional energy award"),
    ),
    Theme(
        name="Language school",
        page="https://www.parla.example/level-test",
        audience=(
            "nurses moving to Germany",
            "students before an exchange",
            "expats in Berlin",
            "teams with new clients",
        ),
        pain=("freeze when the phone rings", "know the grammar and never speak", "forget words after each course"),
        outcome=("hold your first meeting in German", "pass B2 by summer", "order, argue and joke like a local"),
        offer=("a free level test", "two lessons on us", "a seat in the Saturday group", "a private tutor this week"),
        proof=("8 of 10 pass at the first try", "teachers with ten years in class", "partner of four hospitals"),
    ),
)

_HEADLINES = {
    "question": ("Why do {audience} still {pain}?", "Ready to {outcome}?", "What if you could {outcome}?"),
    "proof": ("{proof_c}: see why", "How {audience} {outcome}", "{proof_c}"),
    "offer": ("Get {offer}", "This week: {offer}", "{offer_c} for {audience}"),
    "pain": ("Tired? You {pain}", "No more: {pain}", "If you {pain}, read this"),
    "how_to": ("How to {outcome}", "3 steps to {outcome}", "The plan to {outcome}"),
}
_BODIES = {
    "question": ("Most {audience} {pain}. It does not have to stay that way: {outcome}, starting with {offer}.",),
    "proof": ("{proof_c}. Our clients {outcome} because we begin where you are. Claim {offer} today.",),
    "offer": ("{offer_c}, no strings attached. Made for {audience} who want to {outcome}. {proof_c}.",),
    "pain": ("You {pain} again and again? So did our clients. Now they {outcome}. Start with {offer}.",),
    "how_to": ("First take {offer}. Then follow a plan built for {audience}. Soon you {outcome}. {proof_c}.",),
}
_TWEAKS = ("{} Today only.", "👉 {}", "{} Spots are limited.", "New: {}")


def write_creative(rng: np.random.Generator, theme: Theme, hook: str, page_id: str, creative_id: str) -> dict[str, Any]:
    """The Graph fields of a new creative: link, video or carousel, its text drawn from the theme."""
    words = _words(rng, theme)
    title = _pick(rng, _HEADLINES[hook]).format(**words)
    body = _pick(rng, _BODIES[hook]).format(**words)
    cta = {"type": _pick(rng, CTAS), "value": {"link": theme.page}}
    media = _digits(rng, 32)
    name = f"{theme.name} {hook} {creative_id[-4:]}"
    shape = float(rng.random())
    if shape < 0.06:
        return _dynamic(creative_id, name, page_id, {"title": title, "body": body, "cta": cta, "media": media})
    if shape < 0.35:
        video = {"message": body, "title": title, "video_id": media[:15], "image_hash": media, "call_to_action": cta}
        return _fields(creative_id, name, {"page_id": page_id, "video_data": video})
    link: dict[str, Any] = {"message": body, "name": title, "link": theme.page, "image_hash": media}
    link["call_to_action"] = cta
    if shape > 0.85:
        link["child_attachments"] = [
            {"name": _pick(rng, theme.proof), "link": theme.page, "image_hash": _digits(rng, 32)} for _ in range(3)
        ]
    return _fields(creative_id, name, {"page_id": page_id, "link_data": link})


def near_copy(rng: np.random.Generator, original: dict[str, Any], creative_id: str) -> dict[str, Any]:
    """A creative that repeats another one but for a few words, as people make them."""
    name, tweak = f"{original['name']} – copy", _pick(rng, _TWEAKS)
    if "asset_feed_spec" in original:
        bodies = [{"text": tweak.format(one["text"])} for one in original["asset_feed_spec"]["bodies"]]
        return original | {
            "id": creative_id,
            "name": name,
            "asset_feed_spec": original["asset_feed_spec"] | {"bodies": bodies},
        }
    story = dict(original["object_story_spec"])
    key = "video_data" if "video_data" in story else "link_data"
    story[key] = story[key] | {"message": tweak.format(story[key]["message"])}
    return _fields(creative_id, name, story)


def _dynamic(creative_id: str, name: str, page_id: str, parts: dict[str, Any]) -> dict[str, Any]:
    """A dynamic creative: its texts stand in the asset feed alone."""
    feed = {
        "bodies": [{"text": parts["body"]}],
        "titles": [{"text": parts["title"]}],
        "images": [{"hash": parts["media"]}],
        "link_urls": [{"website_url": parts["cta"]["value"]["link"]}],
        "call_to_action_types": [parts["cta"]["type"]],
        "ad_formats": ["SINGLE_IMAGE"],
    }
    shown = {"id": creative_id, "name": name, "status": "ACTIVE", "object_type": "SHARE", "url_tags": URL_TAGS}
    return shown | {"object_story_spec": {"page_id": page_id}, "asset_feed_spec": feed}


def _fields(creative_id: str, name: str, story: dict[str, Any]) -> dict[str, Any]:
    """All Graph fields that follow from the story; absent ones stay absent, as Meta leaves them out."""
    data = story.get("video_data") or story["link_data"]
    post = f"{story['page_id']}_{creative_id[-15:]}"
    fields = {
        "id": creative_id,
        "name": name,
        "status": "ACTIVE",
        "title": data.get("title", data.get("name")),
        "body": data["message"],
        "call_to_action_type": data["call_to_action"]["type"],
        "image_hash": data["image_hash"],
        "object_type": "VIDEO" if "video_data" in story else "SHARE",
        "object_story_spec": story,
        "effective_object_story_id": post,
        "url_tags": URL_TAGS,
        "thumbnail_url": f"https://cdn.example/{data['image_hash']}.jpg?expires=1",
    }
    return fields | ({"video_id": data["video_id"]} if "video_id" in data else {})


def _words(rng: np.random.Generator, theme: Theme) -> dict[str, str]:
    """One choice per slot; a slot ending in _c begins with a capital letter."""
    slots = ("audience", "pain", "outcome", "offer", "proof")
    words = {slot: _pick(rng, getattr(theme, slot)) for slot in slots}
    return words | {f"{slot}_c": text[:1].upper() + text[1:] for slot, text in words.items()}


def _pick(rng: np.random.Generator, choices: tuple[str, ...]) -> str:
    return choices[int(rng.integers(len(choices)))]


def _digits(rng: np.random.Generator, count: int) -> str:
    return "".join(f"{part:x}" for part in rng.integers(0, 16, size=count)) if count > 20 else str(rng.integers(10**14))
