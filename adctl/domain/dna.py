"""What a creative is made of, as words for people: only what it shows or Meta tells, absent where it does not."""

from __future__ import annotations

import re
from typing import Final

from adctl.domain.creatives import Creative, creative_attributes, creative_text
from adctl.domain.embedding.features import words


def _set(text: str) -> frozenset[str]:
    return frozenset(words(text))


_URGENCY: Final = _set(
    """now today tonight hurry last final ends ending soon limited only deadline expires before midnight instantly
    jetzt heute schnell letzte letzter endet bald nur begrenzt ahora hoy ultimo ultima último última pronto solo
    maintenant aujourdhui vite dernier dernière bientôt seulement"""
)
_CURIOSITY: Final = _set(
    """secret secrets why weird surprising surprised unexpected nobody truth reveal revealed discover hidden
    guess happens mystery geheimnis warum wahrheit entdecke entdecken secreto porqué verdad descubre pourquoi
    vérité découvrez"""
)
_SECOND_PERSON: Final = _set(
    """you your yours yourself yourselves youre youll youve du dein deine deinen deiner dich dir euch euer eure tú tu
    tus te usted ustedes vous votre vos toi ton tes"""
)
# The most frequent words of each language that hardly any other of these languages has.
_STOP_WORDS: Final = {
    "en": _set("the and of to is you with for this that are have our your it from"),
    "de": _set("der die das und ist nicht mit für ein eine dein du zu im auf den wir"),
    "es": _set("el los las y es con para una por que tu del se más como"),
    "fr": _set("le les et est avec pour une des vous dans votre du sur pas nous"),
    "it": _set("il gli e è con per una di che non del della tuo sono"),
    "pt": _set("o os e é com para uma não do da você seu em mais"),
    "nl": _set("de het en een van is voor met je niet op zijn wij"),
}
_SCRIPTS: Final = (
    ("ja", re.compile(r"[\u3040-\u30ff]")),
    ("ko", re.compile(r"[\uac00-\ud7a3]")),
    ("zh", re.compile(r"[\u4e00-\u9fff]")),
    ("ar", re.compile(r"[\u0600-\u06ff]")),
    ("he", re.compile(r"[\u0590-\u05ff]")),
    ("ru", re.compile(r"[\u0400-\u04ff]")),
)
_FEWEST_STOP_WORDS: Final = 2
_VIDEO_SECONDS: Final = (6, 15, 30, 60)
_BODY_CLASSES: Final = ((80, "short"), (300, "medium"))


def image_shape(width: int, height: int) -> str:
    """The class of an image's shape: square where no side is a tenth longer than the other."""
    if 10 * width >= 11 * height:
        return "landscape"
    return "portrait" if 10 * height >= 11 * width else "square"


def video_length(seconds: float) -> str:
    """The class of a video's length, seconds, by the lengths that placements ask for."""
    longest = next((most for most in _VIDEO_SECONDS if seconds <= most), None)
    return f"over {_VIDEO_SECONDS[-1]} s" if longest is None else f"up to {longest} s"


def dna(creative: Creative, shape: str | None = None, seconds: float | None = None) -> dict[str, str]:
    """The creative's traits by name. What the words say is yes or no wherever there are words, else it is absent.

    Words of urgency, curiosity and address are whole words of English, German, Spanish or French. The language is the
    one with most of its frequent words (at least two, and no tie), or that of the script. `shape` is that of its image
    and `seconds` the length of its video, where Meta told them.
    """
    traits = creative_attributes(creative) | ({"image_shape": shape} if shape else {})
    traits |= {} if seconds is None else {"video_length": video_length(seconds)}
    traits |= _of_words(creative_text(creative), creative.headline or creative.body or "")
    if creative.body:
        traits["body_length"] = next((name for most, name in _BODY_CLASSES if len(creative.body) <= most), "long")
    return traits


def _of_words(text: str, opening: str) -> dict[str, str]:
    said = words(text)
    if not said:
        return {}
    found = {
        "asks": "question" if re.search(r"[?？؟¿]", opening) else "no",
        "counts": "number" if re.search(r"\d", opening) else "no",
        "second_person": _any(said, _SECOND_PERSON),
        "urgency": _any(said, _URGENCY),
        "curiosity": _any(said, _CURIOSITY),
    }
    language = language_of(text, said)
    return found | ({"language": language} if language else {})


def language_of(text: str, said: list[str]) -> str | None:
    """The language of a text and its words, None when it is not clear."""
    for name, script in _SCRIPTS:
        if 2 * len(script.findall(text)) > sum(letter.isalpha() for letter in text):
            return name
    hits = sorted(((sum(word in frequent for word in said), name) for name, frequent in _STOP_WORDS.items()))
    (second, _), (most, best) = hits[-2:]
    return best if most >= _FEWEST_STOP_WORDS and most > second else None


def _any(said: list[str], listed: frozenset[str]) -> str:
    return "no" if listed.isdisjoint(said) else "yes"
