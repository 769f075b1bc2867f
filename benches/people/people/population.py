"""Who there is: households with the people in them, and how their names, addresses, numbers and mailboxes change over the years.

What makes people hard to tell apart is made here on purpose and counted in a `Tally`: twins, sons with their father's name, namesakes in
one town, shared mailboxes, telephones and tablets, offices, numbers that somebody else had before. How their data is then written down,
well or badly, is the business of `writing`.

Time is in years, from 0 to `YEARS`; the last day is the end of 2025.
"""

from __future__ import annotations

from collections import Counter

from people import names, places
from people.dice import Dice, Table
from people.names import FEMALE, MALE

YEARS = 10.0
"""How long sources have been writing."""
THIS_YEAR = 2025
CUSTOMER_AGE_MIN = 14
"""At the end. Younger ones are in few sources."""
TOWN_SAMPLE_MAX = 400
"""How many people of a town are remembered for namesakes, so that memory does not grow with them."""

Tally = Counter

SIZES = Table(
    [(1, 34), (2, 20), (3, 13.5), (4, 9.5), (5, 7), (6, 5), (7, 3.6), (8, 2.6), (9, 1.9), (10, 1.3), (11, 0.9), (12, 0.7)]
)
"""How many records there are about a person."""


def at(spans: list[tuple[float, object]], when: float):
    """What held at a time. `spans` are in order, each with when it began; the first has always been."""
    for start, value in reversed(spans):
        if start <= when:
            return value
    return spans[0][1]


class Person:
    __slots__ = (
        "number", "sex", "culture", "given", "middle", "short", "suffix", "birth", "families", "addresses", "mobiles", "emails",
        "second_email", "devices", "household", "office", "work_email", "partner",
    )  # fmt: skip

    def __init__(self, number: int, sex: int, culture: str, given: str, birth: tuple[int, int, int]) -> None:
        self.number, self.sex, self.culture, self.given, self.birth = number, sex, culture, given, birth
        self.middle = self.short = self.suffix = ""
        self.families: list[tuple[float, str]] = []
        self.addresses: list[tuple[float, places.Address]] = []
        self.mobiles: list[tuple[float, str]] = []
        self.emails: list[tuple[float, str]] = []
        self.second_email = self.work_email = ""
        self.devices: list[tuple[float, str]] = []
        self.household: Household
        self.office: Office | None = None
        self.partner: Person | None = None


class Household:
    __slots__ = ("family", "addresses", "landlines", "email", "tablet", "members")

    def __init__(self, family: str, addresses: list[tuple[float, places.Address]]) -> None:
        self.family, self.addresses = family, addresses
        self.landlines: list[tuple[float, str]] = []
        self.email = self.tablet = ""
        self.members: list[Person] = []


class Office:
    __slots__ = ("email", "phone", "address", "domain", "vacancies")

    def __init__(self, email: str, phone: str, address: places.Address, domain: str, vacancies: int) -> None:
        self.email, self.phone, self.address, self.domain, self.vacancies = email, phone, address, domain, vacancies


class World:
    """Gives one household after the other. `profile` says with which shares (`profiles.Profile`)."""

    def __init__(self, profile, dice: Dice) -> None:
        self.profile, self.dice, self.region = profile, dice, profile.region
        self.tally = Tally()
        self.people = 0
        self.mailboxes: set[str] = set()
        self.given_up: list[str] = []
        self.vacated: list[places.Address] = []
        self.townsfolk: dict[str, list[tuple[str, str, str, int, int]]] = {}
        self.offices: dict[str, Office] = {}
        self.cultures = Table(profile.cultures)
        self.kinds = Table(profile.households)

    def household(self) -> Household:
        dice, kind = self.dice, self.kinds.draw(self.dice)
        culture = self.cultures.draw(dice)
        house = Household(names.family_name(culture, dice), self.homes())
        if kind == "single":
            self.adult(house, culture, dice.below(2), dice.between(1938, 2006))
        elif kind == "couple":
            self.couple(house, culture, dice.between(1938, 1998))
        elif kind == "family":
            self.children(house, culture, *self.couple(house, culture, dice.between(1946, 1985)))
        elif kind == "single parent":
            parent = self.adult(house, culture, FEMALE if dice.chance(0.8) else MALE, dice.between(1950, 1985))
            self.children(house, culture, parent, parent)
        elif kind == "shared flat":
            for _ in range(dice.between(2, 4)):
                other = self.cultures.draw(dice)
                self.adult(house, other, dice.below(2), dice.between(1988, 2006), names.family_name(other, dice))
        else:
            self.generations(house, culture)
        self.share(house, kind)
        self.tally["households of several people"] += len(house.members) > 1
        return house

    # Who lives there.

    def adult(self, house: Household, culture: str, sex: int, year: int, family: str = "") -> Person:
        dice, town = self.dice, house.addresses[0][1].town
        family = family or house.family
        given = names.given_names(culture, sex).draw(dice)
        birth = day_of(year, dice)
        others = self.townsfolk.setdefault(town.name, [])
        if others and dice.chance(self.profile.namesakes):
            twin = dice.pick(others)
            if twin[3] == sex:
                culture, given, family = twin[0], twin[1], twin[2]
                if dice.chance(0.15):
                    birth = day_of(twin[4], dice)
                self.tally["namesakes in one town"] += 1
        person = self.person(house, culture, sex, given, birth)
        person.families = [(0.0, names.for_person(culture, family, sex))]
        seen = (culture, given, family, sex, birth[0])
        if len(others) < TOWN_SAMPLE_MAX:
            others.append(seen)
        else:
            others[dice.below(TOWN_SAMPLE_MAX)] = seen
        self.belongings(person)
        return person

    def couple(self, house: Household, culture: str, year: int) -> tuple[Person, Person]:
        dice = self.dice
        man = self.adult(house, culture, MALE, year)
        own = names.family_name(culture, dice)
        woman = self.adult(house, culture, FEMALE, year + dice.between(-3, 6), own)
        man.partner, woman.partner = woman, man
        if culture.startswith("es_") or culture in ("vi_VN", "ar"):
            return man, woman
        wed = dice.next() * 40 - 30
        if wed > YEARS - 1:
            return man, woman
        his, hers = man.families[0][1], woman.families[0][1]
        choice = dice.next()
        takes, keeps = self.profile.takes_name, self.profile.keeps_name
        if choice < takes:
            self.renamed(woman, wed, names.for_person(culture, house.family, FEMALE))
        elif choice < takes + keeps:
            pass
        elif choice < takes + keeps + 0.03:
            self.renamed(man, wed, hers)
        elif choice < takes + keeps + 0.06:
            both = f"{hers}-{his}"
            self.renamed(man, wed, both)
            self.renamed(woman, wed, both)
            self.tally["both with both names"] += 1
        else:
            self.renamed(woman, wed, f"{hers}-{his}" if dice.chance(0.6) else f"{his}-{hers}")
            self.tally["double surnames"] += 1
        if dice.chance(0.08):
            parted = max(wed, 0.0) + dice.next() * YEARS
            if parted < YEARS:
                leaves = woman if dice.chance(0.5) else man
                self.moves_out(leaves, parted)
                self.tally["parted"] += 1
                if dice.chance(0.35) and len(woman.families) > 1:
                    woman.families.append((parted + 0.5, woman.families[0][1]))
        return man, woman

    def children(self, house: Household, culture: str, father: Person, mother: Person) -> None:
        dice = self.dice
        count = 1 + dice.chance(0.55) + dice.chance(0.2) + dice.chance(0.05)
        year = max(mother.birth[0], father.birth[0] - 8) + dice.between(19, 36)
        child = None
        for place in range(count):
            sex = dice.below(2)
            twin = child if place == 1 and dice.chance(self.profile.twins) else None
            if not twin:
                year += dice.between(1, 5) if place else 0
            if year > THIS_YEAR - CUSTOMER_AGE_MIN and not dice.chance(0.15):
                continue
            if year > THIS_YEAR - 6:
                break
            child = self.child(house, culture, sex, year, father, mother, twin)

    def child(self, house, culture, sex, year, father, mother, twin: Person | None) -> Person:
        dice, given = self.dice, names.given_names(culture, sex).draw(self.dice)
        birth = twin.birth if twin else day_of(year, dice)
        if twin and dice.chance(0.35):
            for _ in range(20):
                if given[0] == twin.given[0] and given != twin.given:
                    break
                given = names.given_names(culture, sex).draw(dice)
        namesake = father if sex == MALE else mother
        junior = not twin and namesake.sex == sex and dice.chance(self.profile.juniors if sex == MALE else 0.003)
        if junior:
            given = namesake.given
        if twin and given == twin.given:
            given = names.given_names(culture, sex).draw(dice)
        child = self.person(house, culture, sex, given, birth)
        if culture.startswith("es_"):
            first = [parent.families[0][1].split()[0] for parent in (father, mother)]
            family = f"{first[0]} {first[1]}"
        elif culture == "ru":
            family, child.middle = names.for_person(culture, house.family, sex), names.patronymic(father.given, sex)
        else:
            family = names.for_person(culture, house.family, sex)
        child.families = [(0.0, family)]
        if junior:
            self.tally["named as their parent"] += 1
            child.middle = namesake.middle
            if sex == MALE and dice.chance(self.profile.suffixes):
                child.suffix = dice.pick(self.profile.junior)
                namesake.suffix = self.profile.senior
        if twin:
            self.tally["twins"] += 1
        self.belongings(child)
        grown = year + dice.between(18, 26) - (THIS_YEAR - YEARS)
        if grown < YEARS and dice.chance(0.75):
            self.moves_out(child, max(grown, 0.0))
        if grown < 2 and sex == FEMALE and dice.chance(0.45):
            self.renamed(child, max(0.5, grown) + dice.next() * 9, names.family_name(culture, dice))
        return child

    def generations(self, house: Household, culture: str) -> None:
        old = self.couple(house, culture, self.dice.between(1936, 1950))
        self.children(house, culture, *old)
        for child in house.members[2:3]:
            if child.sex == MALE:
                self.children(house, culture, child, child)

    def person(self, house, culture, sex, given, birth) -> Person:
        dice = self.dice
        self.people += 1
        person = Person(self.people, sex, culture, given, birth)
        person.household, person.addresses = house, house.addresses
        if culture == "en_US" and dice.chance(0.75) or culture != "en_US" and dice.chance(0.12):
            person.middle = names.given_names(culture, sex).draw(dice)
        if culture == "ru" and not person.middle:
            person.middle = names.patronymic(names.given_names(culture, MALE).draw(dice), sex)
        short = names.short_forms(culture, given)
        if short and dice.chance(0.45):
            person.short = dice.pick(short)
        house.members.append(person)
        return person

    # What changes.

    def renamed(self, person: Person, when: float, family: str) -> None:
        if when <= 0:
            # Before anybody wrote: the name that was is known from mailboxes at most.
            person.families = [(0.0, family)]
        elif when < YEARS:
            person.families.append((when, family))
            self.tally["changed surname"] += 1

    def homes(self) -> list[tuple[float, places.Address]]:
        dice = self.dice
        spans = [(0.0, self.home(None))]
        when = 0.0
        while True:
            when += (dice.next() + dice.next()) / self.profile.moves
            if when >= YEARS:
                return spans
            left = spans[-1][1]
            self.vacate(left)
            spans.append((when, self.home(left.town if dice.chance(0.6) else None)))

    def home(self, town: places.Town | None) -> places.Address:
        """Some are in a building where others of the data live, or have lived before."""
        dice = self.dice
        if self.vacated and dice.chance(self.profile.same_building):
            address = dice.pick(self.vacated)
            if town is None or address.town is town:
                self.tally["homes that others have had"] += 1
                return address
        address = places.address(self.region, dice, town)
        if dice.chance(0.1):
            self.vacate(address)
        return address

    def vacate(self, address: places.Address) -> None:
        if len(self.vacated) < 20_000:
            self.vacated.append(address)
        else:
            self.vacated[self.dice.below(20_000)] = address

    def moves_out(self, person: Person, when: float) -> None:
        if person.addresses is person.household.addresses:
            before = [span for span in person.addresses if span[0] < when] or person.addresses[:1]
            town = at(before, when).town if self.dice.chance(0.55) else None
            person.addresses = [*before, (when, self.home(town))]
            self.tally["moved out"] += 1

    # What they are reached by.

    def belongings(self, person: Person) -> None:
        dice, profile = self.dice, self.profile
        person.mobiles = [(0.0, self.number(person))]
        person.emails = [(0.0, self.mailbox(person, 0.0))]
        person.devices = [(0.0, self.device())]
        for spans, rate, new in (
            (person.mobiles, profile.new_phone, self.number),
            (person.emails, profile.new_email, None),
            (person.devices, 0.25, None),
        ):
            when = 0.0
            while True:
                when += (dice.next() + dice.next()) / rate
                if when >= YEARS:
                    break
                if spans is person.mobiles:
                    if len(self.given_up) < 20_000:
                        self.given_up.append(spans[-1][1])
                    spans.append((when, new(person)))
                else:
                    spans.append((when, self.mailbox(person, when) if spans is person.emails else self.device()))
        if dice.chance(0.25):
            person.second_email = self.mailbox(person, 0.0)
        if person.birth[0] < 2003 and dice.chance(profile.office_staff):
            self.employ(person)

    def number(self, person: Person) -> str:
        if self.given_up and self.dice.chance(self.profile.recycled):
            # The last given up is often the family's own: a child has a parent's old number.
            place = len(self.given_up) - 1 if self.dice.chance(0.2) else self.dice.below(len(self.given_up))
            self.given_up[place], self.given_up[-1] = self.given_up[-1], self.given_up[place]
            self.tally["numbers that others have had"] += 1
            return self.given_up.pop()
        return places.mobile(self.region, self.dice, person.addresses[0][1].town)

    def device(self) -> str:
        first, second = self.dice.below(1 << 32), self.dice.below(1 << 32)
        return f"{first:08x}{second:08x}"

    def mailbox(self, person: Person, when: float) -> str:
        dice = self.dice
        family = names.spelt_out(at(person.families, when)) if self.region == "DE" else names.plain(at(person.families, when))
        given = names.spelt_out(person.short if person.short and dice.chance(0.5) else person.given)
        family, given = (only_letters(family), only_letters(given))
        year = person.birth[0]
        choice = dice.next()
        if choice < 0.34:
            local = f"{given}.{family}"
        elif choice < 0.44:
            local = f"{given}{family}"
        elif choice < 0.56:
            local = f"{given[:1]}.{family}" if dice.chance(0.5) else f"{given[:1]}{family}"
        elif choice < 0.61:
            local = f"{family}.{given}"
        elif choice < 0.67:
            local = f"{given}_{family}"
        elif choice < 0.82:
            local = f"{given}{year % 100:02}" if dice.chance(0.6) else f"{given}{year}"
        elif choice < 0.88:
            local = f"{given}{family[:1]}{dice.between(1, 999)}"
        else:
            local = dice.pick(self.profile.handles) + (str(year % 100) if dice.chance(0.4) else str(dice.between(1, 9999)))
        provider = self.profile.providers.draw(dice)
        address = f"{local}@{provider}"
        while address in self.mailboxes:
            local += str(year % 100) if dice.chance(0.3) else str(dice.between(1, 99))
            address = f"{local}@{provider}"
        self.mailboxes.add(address)
        return address

    def employ(self, person: Person) -> None:
        dice = self.dice
        town = person.addresses[0][1].town
        office = self.offices.get(town.name)
        if office is None:
            address = places.address(self.region, dice, town)
            domain = only_letters(names.spelt_out(names.family_names(self.profile.cultures[0][0]).draw(dice)))
            domain = f"{domain}{dice.pick(self.profile.companies)}"
            phone = places.landline(self.region, dice, town)[:-1] + "0"
            # Mostly a handful, now and then some dozens.
            office = Office(
                f"{dice.pick(self.profile.desks)}@{domain}", phone, address, domain, 1 + int(1.5 / (dice.next() + 0.02))
            )
            self.offices[town.name] = office
        person.office = office
        person.work_email = self.unique(
            f"{only_letters(names.spelt_out(person.given))[:1]}.{only_letters(names.spelt_out(person.families[-1][1]))}",
            office.domain,
        )
        self.tally["office staff"] += 1
        office.vacancies -= 1
        if office.vacancies <= 0:
            del self.offices[town.name]

    def unique(self, local: str, domain: str) -> str:
        number = 1
        address = f"{local}@{domain}"
        while address in self.mailboxes:
            number += 1
            address = f"{local}{number}@{domain}"
        self.mailboxes.add(address)
        return address

    def share(self, house: Household, kind: str) -> None:
        dice, profile = self.dice, self.profile
        several = len(house.members) > 1 and kind != "shared flat"
        for start, address in house.addresses:
            if dice.chance(profile.landlines):
                house.landlines.append((start, places.landline(self.region, dice, address.town)))
        if several and dice.chance(profile.family_mailboxes):
            family = only_letters(names.spelt_out(house.family.split()[-1]))
            house.email = self.unique(dice.pick(profile.family_locals).format(family=family), profile.providers.draw(dice))
            self.tally["family mailboxes"] += 1
        if several and dice.chance(profile.tablets):
            house.tablet = self.device()
            self.tally["family tablets"] += 1


def day_of(year: int, dice: Dice) -> tuple[int, int, int]:
    return year, dice.between(1, 12), dice.between(1, 28)


def only_letters(text: str) -> str:
    return "".join(letter for letter in text.lower() if letter.isascii() and letter.isalpha()) or "x"
