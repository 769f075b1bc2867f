"""What happens to a text on its way into a database: slips of the keyboard, machines that read, ears, exports, and wrong encodings."""

from __future__ import annotations

from people import names
from people.dice import Dice

KEYS = {
    letter: row[max(place - 1, 0) : place] + row[place + 1 : place + 2]
    for row in ("qwertzuiop", "asdfghjkl", "yxcvbnm", "1234567890")
    for place, letter in enumerate(row)
}
READ_WRONGLY = (
    ("rn", "m"), ("m", "rn"), ("l", "1"), ("I", "l"), ("O", "0"), ("o", "0"), ("S", "5"), ("B", "8"), ("cl", "d"), ("d", "cl"), ("ü", "ii"),
    ("ä", "a"), ("ß", "B"), ("h", "b"), ("u", "v"), ("e", "c"), ("1", "7"), ("5", "6"), ("0", "6"), ("3", "8"), ("vv", "w"), ("g", "q"),
)  # fmt: skip
HEARD = {
    "DE": (
        ("ck", "k"), ("tz", "z"), ("dt", "t"), ("th", "t"), ("ph", "f"), ("ei", "ai"), ("ai", "ei"), ("ey", "ei"), ("ay", "ai"), ("v", "f"),
        ("ä", "e"), ("y", "i"), ("ß", "ss"), ("mm", "m"), ("nn", "n"), ("ll", "l"), ("tt", "t"), ("ff", "f"), ("n", "nn"), ("ie", "i"),
        ("äu", "eu"), ("chs", "x"), ("C", "K"), ("ts", "z"), ("d", "t"), ("b", "p"),
    ),
    "US": (
        ("ck", "k"), ("ph", "f"), ("ee", "ea"), ("ea", "ee"), ("y", "ie"), ("ie", "y"), ("c", "k"), ("C", "K"), ("K", "C"), ("ll", "l"), ("tt", "t"),
        ("nn", "n"), ("n", "nn"), ("sen", "son"), ("son", "sen"), ("er", "or"), ("el", "le"), ("ai", "ay"), ("ei", "ie"), ("z", "s"), ("th", "t"),
        ("oo", "u"), ("ough", "o"), ("ah", "a"), ("a", "ah"), ("S", "Z"),
    ),
}  # fmt: skip


def slip(text: str, dice: Dice) -> str:
    """One slip of the keyboard: a neighbouring key, a letter too few or twice, or two in the wrong order."""
    if len(text) < 2:
        return text
    place = dice.below(len(text))
    kind = dice.next()
    if kind < 0.3:
        letter = text[place]
        near = KEYS.get(letter.lower(), "")
        return text[:place] + (dice.pick(near) if near else letter) + text[place + 1 :]
    if kind < 0.55:
        return text[:place] + text[place + 1 :]
    if kind < 0.75:
        return text[:place] + text[place] + text[place:]
    place = max(place, 1)
    return text[: place - 1] + text[place] + text[place - 1] + text[place + 1 :]


def digit(text: str, dice: Dice) -> str:
    """Two neighbouring digits in the wrong order, or one that is another."""
    places = [place for place, letter in enumerate(text) if letter.isdigit()]
    if len(places) < 2:
        return text
    at = dice.below(len(places) - 1)
    first, second = places[at], places[at + 1]
    if dice.chance(0.5) and second == first + 1:
        return text[:first] + text[second] + text[first] + text[second + 1 :]
    return text[:second] + str(dice.below(10)) + text[second + 1 :]


def replaced(text: str, table: tuple[tuple[str, str], ...], dice: Dice) -> str:
    """The first of a few randomly chosen rules that applies, in one place."""
    for _ in range(6):
        old, new = dice.pick(table)
        if old in text:
            return text.replace(old, new, 1)
    return text


def unmarked(text: str, dice: Dice) -> str:
    """ü as ue, as u, as ?, or as what UTF-8 looks like to Windows."""
    if text.isascii():
        return text
    kind = dice.next()
    if kind < 0.45:
        return names.spelt_out(text)
    if kind < 0.75:
        return names.plain(text)
    if kind < 0.9:
        return text.encode("utf-8").decode("cp1252", "ignore")
    return "".join(letter if letter.isascii() else "?" for letter in text)
