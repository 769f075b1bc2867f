"""How a source writes down what is true of a person at a time: which fields, in which format, and with which mistakes."""

from __future__ import annotations

from zlib import crc32

from people import damage
from people.dice import Dice
from people.population import THIS_YEAR, Person, Tally, at
from people.profiles import Profile, Source

MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
FIELDS = ("source", "given", "family", "full", "birth", "email", "phone", "street", "postcode", "city", "state", "device")
"""In the order in which `Writer.write` gives them."""
REACHED_BY = [FIELDS.index(field) for field in ("birth", "email", "phone", "street", "device")]


class Writer:
    def __init__(self, profile: Profile, dice: Dice, tally: Tally) -> None:
        self.profile, self.dice, self.tally = profile, dice, tally
        self.region = profile.region

    def write(self, source: Source, person: Person, since: float, until: float) -> list[str]:
        """At some time between two. No form is sent with a name alone."""
        while True:
            record = self.attempt(source, person, since + self.dice.next() * (until - since))
            if any(record[place] for place in REACHED_BY):
                return record

    def attempt(self, source: Source, person: Person, when: float) -> list[str]:
        dice = self.dice
        if dice.chance(source.old):
            when = max(0.0, when - 4 * dice.next())
        at_work = person.office is not None and dice.chance(source.work)
        given, family, full = self.name(source, person, when)
        street, postcode, city, state = self.address(source, person, when, at_work)
        return [
            source.name,
            given,
            family,
            full,
            self.birth(source, person) if dice.chance(source.birth) else "",
            self.email(source, person, when, at_work) if dice.chance(source.email) else "",
            self.phone(source, person, when, at_work) if dice.chance(source.phone) else "",
            street,
            postcode,
            city,
            state,
            self.device(person, when) if source.device and dice.chance(source.device) else "",
        ]

    # Names.

    def name(self, source: Source, person: Person, when: float) -> tuple[str, str, str]:
        dice = self.dice
        given = self.given(source, person) if dice.chance(source.given) else ""
        family = self.family(source, person, at(person.families, when)) if dice.chance(source.family) else ""
        if source.full and dice.chance(source.full):
            return (
                "",
                "",
                self.cased(source, self.in_one(source, person, given or person.given, family or at(person.families, when))),
            )
        if given and family:
            if dice.chance(source.swapped):
                self.tally["names swapped"] += 1
                given, family = family, given
            elif dice.chance(source.joined):
                self.tally["names joined in one field"] += 1
                given, family = (f"{given} {family}", "") if dice.chance(0.6) else ("", f"{given} {family}")
        return self.cased(source, given), self.cased(source, family), ""

    def given(self, source: Source, person: Person) -> str:
        dice, given = self.dice, person.given
        if person.short and dice.chance(source.short * 1.6):
            self.tally["short given names"] += 1
            given = person.short
        elif dice.chance(source.initial):
            self.tally["initials for given names"] += 1
            return given[:1] + ("." if dice.chance(0.6) else "")
        elif "-" in given and dice.chance(0.35):
            given = dice.pick(
                (given.replace("-", " "), given.split("-")[0], given.split("-")[1], given.replace("-", "").capitalize())
            )
        elif person.middle and dice.chance(source.middle):
            if dice.chance(0.06):
                given = person.middle
            elif dice.chance(0.45):
                given = f"{given} {person.middle}"
            else:
                given = f"{given} {person.middle[:1]}" + ("." if dice.chance(0.5) else "")
        return self.misspelt(source, given)

    def family(self, source: Source, person: Person, family: str) -> str:
        dice = self.dice
        if source.family_initial and dice.chance(source.family_initial):
            self.tally["initials for surnames"] += 1
            return family[:1].upper() + ("." if dice.chance(0.7) else "")
        if "-" in family and person.culture != "ar" and dice.chance(0.3):
            self.tally["half of a double surname"] += 1
            family = dice.pick((family.replace("-", " "), *family.split("-")))
        elif " " in family and dice.chance(0.4):
            self.tally["surnames of several words, otherwise"] += 1
            words = family.split()
            if person.culture.startswith("es_"):
                family = dice.pick((words[0], words[0], "-".join(words), words[-1]))
            else:
                family = dice.pick(
                    ("".join(words), family.title(), words[-1], f"{words[-1]}, {' '.join(words[:-1])}", f"v. {words[-1]}")
                )
        family = self.misspelt(source, family)
        if person.suffix and dice.chance(0.55):
            self.tally["suffixes said"] += 1
            family = f"{family} {person.suffix}" if dice.chance(0.7) else f"{family}, {person.suffix}"
        return family

    def misspelt(self, source: Source, text: str) -> str:
        dice = self.dice
        if not text.isascii() and dice.chance(source.marks):
            text = damage.unmarked(text, dice)
        if source.heard and dice.chance(source.heard):
            self.tally["spelt by ear"] += 1
            text = damage.replaced(text, damage.HEARD[self.region], dice)
        if source.scanned and dice.chance(source.scanned):
            self.tally["read wrongly"] += 1
            text = damage.replaced(text, damage.READ_WRONGLY, dice)
        if dice.chance(source.typos):
            self.tally["typos"] += 1
            text = damage.slip(text, dice)
        return text

    def in_one(self, source: Source, person: Person, given: str, family: str) -> str:
        dice = self.dice
        choice = dice.next()
        if choice < 0.012 and len(person.household.members) > 1:
            self.tally["several people in one name"] += 1
            other = dice.pick([other for other in person.household.members if other is not person])
            return dice.pick(self.profile.couples).format(given=given, other=other.given, family=family)
        if choice < 0.05:
            return f"{dice.pick(self.profile.titles[person.sex])} {family}"
        title = f"{dice.pick(self.profile.titles[person.sex])} " if choice < 0.2 else ""
        order = dice.next()
        if order < 0.68:
            return f"{title}{given} {family}"
        return f"{family}, {given}" if order < 0.88 else f"{family} {given}"

    def cased(self, source: Source, text: str) -> str:
        if source.upper and text and self.dice.chance(source.upper):
            return text.upper()
        if source.lower and text and self.dice.chance(source.lower):
            return text.lower()
        return f"{text} " if text and self.dice.chance(0.01) else text

    # Dates.

    def birth(self, source: Source, person: Person) -> str:
        dice = self.dice
        year, month, day = person.birth
        if dice.chance(source.placeholder):
            self.tally["placeholders for birth dates"] += 1
            return dice.pick(self.profile.placeholders["birth"])
        choice = dice.next()
        if choice < 0.018:
            self.tally["first of January"] += 1
            month = day = 1
        elif choice < 0.033:
            if day <= 12:
                self.tally["day and month swapped"] += 1
                month, day = day, month
        elif choice < 0.045:
            year += dice.pick((-1, 1, -10, 10, -9, 9))
        elif choice < 0.055:
            day = max(1, min(28, day + dice.pick((-1, 1, 10, -10))))
        elif choice < 0.06:
            year = THIS_YEAR - dice.between(0, 3)
        form = source.dates[0] if len(source.dates) == 1 else dice.pick(source.dates)
        text = form.replace("%Y", f"{year:04}").replace("%m", f"{month:02}").replace("%d", f"{day:02}")
        return text.replace("%y", f"{year % 100:02}").replace("%b", MONTHS[month - 1])

    # What they are reached by.

    def email(self, source: Source, person: Person, when: float, at_work: bool) -> str:
        dice, house = self.dice, person.household
        if dice.chance(source.placeholder):
            self.tally["placeholders for mailboxes"] += 1
            return dice.pick(self.profile.placeholders["email"])
        if at_work:
            if dice.chance(0.45):
                self.tally["office mailboxes"] += 1
                return person.office.email
            email = person.work_email
        elif house.email and dice.chance(source.shared) and person.addresses is house.addresses:
            self.tally["family mailboxes used"] += 1
            email = house.email
        elif person.partner and dice.chance(0.02):
            self.tally["partner's mailboxes"] += 1
            email = at(person.partner.emails, when)
        elif person.second_email and dice.chance(0.22):
            email = person.second_email
        else:
            email = at(person.emails, when)
        if dice.chance(source.typos * 0.7):
            local, _, domain = email.partition("@")
            email = f"{damage.slip(local, dice)}@{domain}" if dice.chance(0.7) else f"{local}@{damage.slip(domain, dice)}"
        choice = dice.next()
        if choice < 0.04:
            return email.upper() if choice < 0.01 else email.capitalize()
        if choice < 0.05 and "gmail" in email:
            return email.replace("@", dice.pick(("+shop@", "+news@", "+1@")))
        return f" {email}" if choice > 0.995 else email

    def phone(self, source: Source, person: Person, when: float, at_work: bool) -> str:
        dice, house = self.dice, person.household
        if dice.chance(source.placeholder):
            self.tally["placeholders for numbers"] += 1
            return dice.pick(self.profile.placeholders["phone"])
        if at_work and dice.chance(0.6):
            self.tally["switchboards"] += 1
            number = person.office.phone
        elif house.landlines and person.addresses is house.addresses and dice.chance(source.shared * 1.4):
            self.tally["landlines"] += 1
            number = at(house.landlines, when)
        elif person.partner and dice.chance(0.02):
            self.tally["partner's numbers"] += 1
            number = at(person.partner.mobiles, when)
        else:
            number = at(person.mobiles, when)
        if dice.chance(source.typos * 0.8):
            number = damage.digit(number, dice)
        return self.german(number) if self.region == "DE" else self.american(number)

    def german(self, number: str) -> str:
        """`number` begins with +49. The part before the line's own is three digits for mobiles; others are split as people split them."""
        dice, rest = self.dice, number[3:]
        prefix, line = rest[:3], rest[3:]
        choice = dice.next()
        if choice < 0.25:
            return f"0{rest}"
        if choice < 0.42:
            return f"0{prefix} {line}"
        if choice < 0.54:
            return f"0{prefix}/{line}"
        if choice < 0.68:
            return f"+49{rest}"
        if choice < 0.8:
            return f"+49 {prefix} {line}"
        if choice < 0.86:
            return f"0049{rest}"
        if choice < 0.9:
            return f"+49 (0){prefix} {line}"
        if choice < 0.95:
            return f"0{prefix}-{line[:3]} {line[3:]}"
        if choice < 0.985:
            # A spreadsheet took the zero in front away.
            self.tally["numbers without their zero"] += 1
            return rest
        return f"{rest[0]},{rest[1:6]}E+{len(rest) - 1}"

    def american(self, number: str) -> str:
        dice = self.dice
        area, exchange, line = number[2:5], number[5:8], number[8:]
        choice = dice.next()
        if choice < 0.3:
            return f"({area}) {exchange}-{line}"
        if choice < 0.52:
            return f"{area}-{exchange}-{line}"
        if choice < 0.7:
            return area + exchange + line
        if choice < 0.82:
            return number
        if choice < 0.9:
            return f"{area}.{exchange}.{line}"
        if choice < 0.96:
            return f"1-{area}-{exchange}-{line}"
        if choice < 0.985:
            return f"({area}) {exchange}-{line} x{dice.between(1, 400)}" if exchange != "555" else number
        self.tally["numbers without their area"] += 1
        return f"{exchange}-{line}"

    def address(self, source: Source, person: Person, when: float, at_work: bool) -> tuple[str, str, str, str]:
        dice = self.dice
        if not dice.chance(source.address):
            return "", "", "", ""
        address = person.office.address if at_work and dice.chance(0.3) else at(person.addresses, when)
        street, number, postcode, city = address.street, address.number, address.postcode, address.town.name
        if dice.chance(source.typos * 0.6):
            number = damage.digit(number, dice)
        street = self.german_street(street, number) if self.region == "DE" else self.american_street(street, number, address.unit)
        street = self.misspelt(source, street)
        if dice.chance(source.typos * 0.6):
            postcode = damage.digit(postcode, dice)
        if postcode[0] == "0" and dice.chance(0.12):
            postcode = postcode[1:]
        elif self.region == "US" and dice.chance(0.12):
            # The four digits more are the building's.
            postcode = f"{postcode}-{crc32(f'{address.number} {address.street}'.encode()) % 10_000:04}"
        choice = dice.next()
        if choice < 0.08 and (" " in city):
            city = city.split()[0] if self.region == "DE" else city.replace("Saint ", "St. ").replace("New York", "NYC")
        elif choice < 0.12 and " am " in city:
            city = city.replace(" am ", "/")
        elif choice < 0.03:
            city = (
                city
                + ("-" if self.region == "DE" else " ")
                + dice.pick(("Mitte", "Nord", "Süd") if self.region == "DE" else ("Heights", "Park"))
            )
        city = self.misspelt(source, city)
        if dice.chance(0.03):
            street = ""
        elif dice.chance(0.02):
            postcode = ""
        return self.cased(source, street), postcode, self.cased(source, city), address.town.state

    def german_street(self, street: str, number: str) -> str:
        choice = self.dice.next()
        if choice < 0.35:
            street = street.replace("straße", "str.").replace("Straße", "Str.")
        elif choice < 0.5:
            street = street.replace("straße", "strasse").replace("Straße", "Strasse")
        elif choice < 0.55:
            street = street.replace("straße", "str").replace("-Straße", " Str.").replace("-", " ")
        return f"{street} {number}" if choice < 0.93 else f"{street}{number}"

    def american_street(self, street: str, number: str, unit: str) -> str:
        dice = self.dice
        if dice.chance(0.55):
            words = street.split()
            words[-1] = SHORT.get(words[-1], words[-1]) + ("." if dice.chance(0.2) else "")
            street = " ".join(words)
        text = f"{number} {street}"
        if unit and dice.chance(0.75):
            text += dice.pick((f" Apt {unit}", f" #{unit}", f", Unit {unit}", f" Apt. {unit}"))
        return text

    def device(self, person: Person, when: float) -> str:
        house = person.household
        if house.tablet and person.addresses is house.addresses and self.dice.chance(0.45):
            self.tally["tablets used"] += 1
            return house.tablet
        return at(person.devices, when)

    def nobody(self, source: Source) -> list[str]:
        """What somebody typed who tried the form."""
        dice, tests = self.dice, self.profile.tests
        self.tally["test records"] += 1

        def typed(field: str, share: float) -> str:
            return dice.pick(tests[field]).replace("{n}", str(dice.below(10_000))) if dice.chance(share) else ""

        given, family = typed("given", 1), typed("family", 1)
        full = f"{given} {family}" if dice.chance(source.full) else ""
        return [
            source.name, "" if full else given, "" if full else family, full,
            dice.pick(self.profile.placeholders["birth"]) if dice.chance(source.birth * 0.7) else "",
            typed("email", source.email * 0.9), typed("phone", source.phone * 0.8), typed("street", source.address * 0.8),
            dice.pick(("12345", "00000", "10115", "99999")) if dice.chance(source.address * 0.8) else "", typed("city", source.address * 0.8),
            "", "",
        ]  # fmt: skip


SHORT = {"Street": "St", "Avenue": "Ave", "Road": "Rd", "Drive": "Dr", "Lane": "Ln", "Court": "Ct", "Boulevard": "Blvd"}
