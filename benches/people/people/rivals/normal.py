"""Fields in one form, as anybody would bring them before matching: mailboxes, numbers, dates, names in one field taken apart.

Only for the rivals. Weft is given the file as it is.
"""

from __future__ import annotations

import re
from collections import Counter
from functools import cache

from people import names, tables

FIELDS = ("given", "family", "birth", "email", "phone", "street", "postcode", "city", "device", "national_id")
RECORDS_OF_A_VALUE_MAX = 40
"""A mailbox or a number that more records have is nobody's: a placeholder, or a firm's. The largest true person has a dozen."""
NOBODYS = re.compile(r"^(no-?e?-?mail|none|na|unbekannt|keine|donotreply|noreply|kunde|customer|test\d*|asdf|max)@")
"""What an operator blocks as soon as it is seen. Most are; there is always another."""
TITLES = re.compile(r"^(frau|fr\.|herr|hr\.|mrs?\.?|ms\.?|dr\.|prof\.|familie|fam\.|eheleute|the|&|and|und)\s+", re.I)
SUFFIX = re.compile(r",?\s+(jr\.?|sr\.?|jun\.?|sen\.?|junior|senior|ii|iii)$", re.I)
PARTICLES = {"van", "von", "de", "der", "den", "zu", "ten", "ter", "la", "le", "el", "al", "abu", "bin", "di", "da", "del"}


def read(data: tables.Set) -> list[dict[str, str | None]]:
    """Every record with `id` and those of `FIELDS` that the set has; None where there is nothing."""
    roles = [role for role in data.columns if role in ("id", "full", "house_number") or role in FIELDS]
    records = []
    for values in tables.rows(data.path, *(data.columns[role] for role in roles)):
        row = dict(zip(roles, values))
        if row.get("full"):
            row["given"], row["family"] = apart(row["full"])
        record = {
            field: value or None
            for field, value in ((field, clean(field, row, data.region)) for field in FIELDS if wanted(field, data))
        }
        records.append({"id": row["id"], **record})
    for field in ("email", "phone"):
        counts = Counter(record.get(field) for record in records)
        for record in records:
            if record.get(field) and counts[record[field]] > RECORDS_OF_A_VALUE_MAX:
                record[field] = None
    return records


def wanted(field: str, data: tables.Set) -> bool:
    return field in data.columns


def clean(field: str, row: dict[str, str], region: str) -> str:
    value = row.get(field, "").strip()
    if field == "email":
        return email(value)
    if field == "phone":
        return phone(value, region)
    if field == "birth":
        return birth(value, region)
    if field == "street":
        return street(f"{value} {row.get('house_number', '')}".strip())
    if field == "postcode":
        digits = value.split("-")[0]
        return digits.zfill(5) if region and digits else digits
    if field in ("given", "family"):
        return name(value)
    return value.lower()


@cache
def name(text: str) -> str:
    text = SUFFIX.sub("", text.strip())
    while (shorter := TITLES.sub("", text)) != text:
        text = shorter
    return " ".join(re.sub(r"[^a-z]+", " ", names.spelt_out(text).lower()).split())


def apart(full: str) -> tuple[str, str]:
    text = SUFFIX.sub("", full.strip())
    while (shorter := TITLES.sub("", text)) != text:
        text = shorter
    if "," in text:
        family, _, given = text.partition(",")
        return given.strip(), family.strip()
    words = text.split()
    if len(words) < 2:
        return "", text
    at = len(words) - 1
    while at > 1 and words[at - 1].lower() in PARTICLES:
        at -= 1
    return " ".join(words[:at]), " ".join(words[at:])


def email(text: str) -> str:
    local, at, domain = text.lower().partition("@")
    address = f"{local.partition('+')[0]}@{domain}"
    return address if at and not NOBODYS.match(address) else ""


def phone(text: str, region: str) -> str:
    """From the country's code on, without signs. Empty where it cannot be a number."""
    text = text.partition("x")[0].replace("(0)", "")
    if "E+" in text:
        return ""
    digits = re.sub(r"\D", "", text)
    if text.strip().startswith("+"):
        pass
    elif digits.startswith("00"):
        digits = digits[2:]
    elif region == "US":
        digits = digits if digits.startswith("1") and len(digits) == 11 else f"1{digits}"
    elif region == "DE":
        digits = f"49{digits.removeprefix('0')}"
    return digits if len(digits) >= 10 and len(set(digits[3:])) > 2 else ""


DATE = re.compile(r"^(\d{1,4})[-./](\d{1,2})[-./](\d{1,4})$")
MONTHS = {
    month: place
    for place, month in enumerate(["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"], 1)
}


@cache
def birth(text: str, region: str) -> str:
    """As 1985-03-12. Dates that stand for none are none."""
    if len(text) == 8 and text.isdigit():
        text = f"{text[:4]}-{text[4:6]}-{text[6:]}"
    word = re.match(r"^([A-Za-z]{3}) (\d{1,2}), (\d{4})$", text)
    if word:
        year, month, day = int(word[3]), MONTHS.get(word[1].lower(), 0), int(word[2])
    else:
        parts = DATE.match(text)
        if not parts:
            return ""
        first, second, third = (int(part) for part in parts.groups())
        if len(parts[1]) == 4:
            year, month, day = first, second, third
        elif region == "US" and first <= 12:
            month, day, year = first, second, third
        else:
            day, month, year = first, second, third
    if year < 100:
        year += 1900 if year > 25 else 2000
    if (year, month, day) in ((1900, 1, 1), (1970, 1, 1), (2000, 1, 1), (1911, 11, 11)):
        return ""
    if not (1 <= month <= 12 and 1 <= day <= 31):
        return ""
    return f"{year:04}-{month:02}-{day:02}"


ABBREVIATED = {"street": "st", "avenue": "ave", "road": "rd", "drive": "dr", "lane": "ln", "court": "ct", "boulevard": "blvd"}


@cache
def street(text: str) -> str:
    """Number and words in one form: straße and str., Street and St."""
    text = names.spelt_out(text).lower()
    text = re.sub(r"(strasse|str\.|str)(?=\s|\d|$|-)", "str", text)
    text = re.sub(r",? (apt|unit|#)\.? ?.*$", "", re.sub(r"(?<=[a-z])(?=\d)", " ", text))
    words = re.sub(r"[^a-z0-9]+", " ", text).split()
    return " ".join(ABBREVIATED.get(word, word) for word in words)
