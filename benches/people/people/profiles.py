"""The populations: who there is in which shares, which sources write about them, and what their columns are called.

Two that differ in everything that a matcher could get used to. `shop-de` is a German shop with what grew around it; `us-crm` an American
seller's systems. Shares are of people, households or records as their comments say.
"""

from __future__ import annotations

from dataclasses import dataclass

from people.dice import Table


@dataclass(frozen=True)
class Source:
    """One system that writes records down. Shares are of its records; a field that is not asked for has share 0."""

    name: str
    share: float
    given: float = 1.0
    family: float = 1.0
    full: float = 0.0
    """Names in one field, and none in the others."""
    birth: float = 0.0
    email: float = 0.0
    phone: float = 0.0
    address: float = 0.0
    device: float = 0.0
    dates: tuple[str, ...] = ("%Y-%m-%d",)
    upper: float = 0.0
    lower: float = 0.0
    marks: float = 0.3
    """Where a name has marks (ü, é), that they are lost or damaged."""
    typos: float = 0.02
    """In each field."""
    scanned: float = 0.0
    """Fields read by a machine, wrongly."""
    heard: float = 0.0
    """Names and streets that somebody spelt by ear."""
    short: float = 0.2
    """The short form of a given name, where the person has one."""
    initial: float = 0.02
    """J. for the given name."""
    family_initial: float = 0.0
    """D. for the surname."""
    swapped: float = 0.01
    joined: float = 0.01
    middle: float = 0.1
    work: float = 0.05
    """Of those who work in an office: with what they are reached by there."""
    placeholder: float = 0.003
    """Of each field that the form insists on: something that is not theirs."""
    shared: float = 0.25
    """Of those who have one: the family's mailbox, and the same share for the landline."""
    old: float = 0.08
    """Written from what was true up to four years before."""


@dataclass(frozen=True)
class Profile:
    name: str
    region: str
    columns: dict[str, str]
    cultures: tuple[tuple[str, float], ...]
    households: tuple[tuple[str, float], ...]
    providers: Table
    sources: tuple[Source, ...]
    desks: tuple[str, ...]
    companies: tuple[str, ...]
    family_locals: tuple[str, ...]
    handles: tuple[str, ...]
    """What mailboxes are called that are not called after anybody."""
    titles: tuple[tuple[str, ...], tuple[str, ...]]
    junior: tuple[str, ...]
    senior: str
    couples: tuple[str, ...]
    """How a record of one is written as one of two or all of them."""
    placeholders: dict[str, tuple[str, ...]]
    tests: dict[str, tuple[str, ...]]
    takes_name: float
    keeps_name: float
    suffixes: float
    """Of fathers and sons of one name, those where it is ever said who is which."""
    juniors: float
    """Of sons."""
    twins: float = 0.05
    """Of second children. More than there are (1 in 60), since they are what is tested."""
    namesakes: float = 0.025
    """Of adults: the name of somebody in town. Beside those whom chance makes."""
    moves: float = 0.08
    """A year, as are the next two."""
    new_phone: float = 0.06
    new_email: float = 0.045
    recycled: float = 0.04
    """Of new numbers."""
    same_building: float = 0.12
    """Of homes."""
    office_staff: float = 0.12
    """Of adults."""
    landlines: float = 0.28
    family_mailboxes: float = 0.14
    tablets: float = 0.2
    tested: float = 0.0015
    """Of records, up to `generate.TESTS_MAX`: typed by somebody who tried the form. Nobody's, and no two of them are the same person's."""


SHOP_DE = Profile(
    name="shop-de",
    region="DE",
    columns={
        "id": "kundensatz",
        "source": "quelle",
        "given": "vorname",
        "family": "nachname",
        "full": "name",
        "birth": "geburtsdatum",
        "email": "email",
        "phone": "telefon",
        "street": "strasse",
        "postcode": "plz",
        "city": "ort",
        "device": "geraet",
    },  # fmt: skip
    cultures=(
        ("de_DE", 76),
        ("tr_TR", 6),
        ("pl_PL", 5),
        ("ru", 4),
        ("ar", 3),
        ("it_IT", 2),
        ("nl_NL", 2),
        ("es_ES", 1),
        ("vi_VN", 1),
    ),
    households=(("single", 42), ("couple", 26), ("family", 21), ("single parent", 5), ("shared flat", 4), ("generations", 2)),
    providers=Table(
        [
            ("gmx.de", 20),
            ("web.de", 20),
            ("gmail.com", 22),
            ("t-online.de", 12),
            ("hotmail.de", 5),
            ("outlook.de", 4),
            ("yahoo.de", 5),
            ("googlemail.com", 4),
            ("icloud.com", 3),
            ("freenet.de", 3),
            ("posteo.de", 1),
            ("arcor.de", 1),
        ]
    ),  # fmt: skip
    sources=(
        Source(
            "shop", 30, birth=0.12, email=0.97, phone=0.5, address=0.96, lower=0.06, upper=0.02, dates=("%d.%m.%Y",), typos=0.02
        ),
        Source(
            "crm",
            17,
            birth=0.6,
            email=0.8,
            phone=0.75,
            address=0.85,
            upper=0.25,
            dates=("%Y-%m-%d", "%d.%m.%Y"),
            work=0.4,
            marks=0.5,
            placeholder=0.012,
            old=0.12,
            swapped=0.02,
        ),
        Source(
            "app",
            19,
            family=0.6,
            full=0.1,
            birth=0.2,
            email=0.93,
            phone=0.35,
            device=0.95,
            lower=0.15,
            short=0.6,
            family_initial=0.25,
            initial=0.04,
            typos=0.02,
        ),
        Source(
            "newsletter",
            10,
            given=0.75,
            family=0.55,
            email=1.0,
            lower=0.2,
            birth=0.15,
            address=0.08,
            typos=0.015,
            dates=("%d.%m.%Y", "%d.%m.%y"),
        ),
        Source(
            "callcenter",
            13,
            full=0.75,
            birth=0.5,
            email=0.5,
            phone=0.9,
            address=0.7,
            heard=0.1,
            typos=0.04,
            old=0.15,
            dates=("%d.%m.%Y", "%d.%m.%y"),
            placeholder=0.015,
            marks=0.5,
            initial=0.03,
        ),
        Source(
            "kundenkarte",
            11,
            birth=0.85,
            email=0.62,
            phone=0.55,
            address=0.92,
            scanned=0.07,
            typos=0.02,
            dates=("%d.%m.%Y", "%d/%m/%Y"),
            upper=0.3,
        ),
    ),  # fmt: skip
    desks=("info", "kontakt", "buero", "office", "bestellung", "einkauf"),
    companies=("-gmbh.de", "-bau.de", "-partner.de", "-it.de", ".de", "-logistik.de", "-praxis.de", "-kanzlei.de"),
    family_locals=("familie.{family}", "fam.{family}", "familie{family}", "die{family}s", "{family}s"),
    handles=tuple(
        [
            "sternchen",
            "mausi",
            "hexe79",
            "loewe",
            "tiger",
            "speedy",
            "kleinehexe",
            "wolf",
            "drache",
            "biene",
            "rocky",
            "zauberer",
            "sonnenschein",
            "katze",
            "pirat",
            "zocker",
            "schalke04",
            "engelchen",
            "teddy",
            "baer",
            "hobbit",
            "schatten",
            "nachteule",
            "angler",
            "bikerin",
            "kaffeetante",
            "tanzmaus",
            "surfer",
            "tennisfan",
            "imker",
        ]
    ),
    titles=(("Frau", "Fr.", "Dr."), ("Herr", "Hr.", "Dr.", "Prof. Dr.")),
    junior=("jun.", "junior", "jr."),
    senior="sen.",
    couples=("Familie {family}", "{given} und {other} {family}", "Fam. {given} {family}", "Eheleute {family}"),
    placeholders={
        "email": (
            "keine@angabe.de",
            "noemail@shop.example",
            "unbekannt@unbekannt.de",
            "kunde@filiale.example",
            "nomail@nomail.de",
        ),
        "phone": ("0000", "000000", "0123456789", "0", "01234", "0800 1234567"),
        "birth": ("01.01.1900", "01.01.1970", "1900-01-01", "01.01.2000", "1970-01-01"),
    },
    tests={
        "given": ("Max", "Erika", "Test", "test", "asdf", "Hans", "Testkunde", "Martina"),
        "family": ("Mustermann", "Musterfrau", "Test", "test", "asdf", "Tester", "Testmann", "bitte löschen"),
        "email": (
            "test@test.de",
            "test@example.com",
            "max@mustermann.de",
            "test{n}@test.de",
            "qa+{n}@shop.example",
            "asdf@asdf.de",
        ),
        "phone": ("0123456789", "012345678", "1234", "+49 111 1111111", "017012345{n}"),
        "street": ("Musterstr. 1", "Teststraße 1", "Musterweg 12", "asdf 1"),
        "city": ("Musterstadt", "Berlin", "Teststadt"),
    },
    takes_name=0.70,
    keeps_name=0.17,
    suffixes=0.35,
    juniors=0.05,
)

US_CRM = Profile(
    name="us-crm",
    region="US",
    columns={
        "id": "record_id",
        "source": "system",
        "given": "first_name",
        "family": "last_name",
        "full": "full_name",
        "birth": "dob",
        "email": "email_address",
        "phone": "phone_number",
        "street": "address_line",
        "postcode": "zip",
        "city": "city",
        "state": "state",
        "device": "device_id",
    },  # fmt: skip
    cultures=(("en_US", 74), ("es_MX", 15), ("vi_VN", 2), ("pl_PL", 2), ("it_IT", 2), ("ar", 2), ("de_DE", 2), ("nl_NL", 1)),
    households=(("single", 38), ("couple", 26), ("family", 23), ("single parent", 6), ("shared flat", 5), ("generations", 2)),
    providers=Table(
        [
            ("gmail.com", 50),
            ("yahoo.com", 18),
            ("hotmail.com", 9),
            ("aol.com", 6),
            ("outlook.com", 6),
            ("icloud.com", 6),
            ("comcast.net", 3),
            ("att.net", 1),
            ("verizon.net", 1),
        ]
    ),  # fmt: skip
    sources=(
        Source(
            "salesforce",
            24,
            birth=0.3,
            email=0.9,
            phone=0.8,
            address=0.75,
            work=0.45,
            upper=0.04,
            old=0.12,
            middle=0.15,
            placeholder=0.012,
            dates=("%m/%d/%Y", "%Y-%m-%d"),
            swapped=0.02,
        ),
        Source("webstore", 24, birth=0.05, email=0.98, phone=0.55, address=0.95, lower=0.08, typos=0.02, dates=("%Y-%m-%d",)),
        Source(
            "mobile",
            16,
            family=0.7,
            full=0.1,
            birth=0.25,
            email=0.92,
            phone=0.45,
            device=0.95,
            short=0.6,
            family_initial=0.2,
            lower=0.12,
            initial=0.04,
        ),
        Source("mailing_list", 10, given=0.7, family=0.5, email=0.9, address=0.3, lower=0.2, upper=0.1),
        Source(
            "support",
            12,
            full=0.8,
            birth=0.45,
            email=0.55,
            phone=0.9,
            address=0.35,
            heard=0.1,
            typos=0.035,
            dates=("%m/%d/%y", "%d/%m/%Y", "%b %d, %Y"),
            placeholder=0.015,
            old=0.15,
        ),
        Source(
            "loyalty",
            14,
            birth=0.8,
            email=0.62,
            phone=0.7,
            address=0.9,
            upper=0.5,
            scanned=0.06,
            middle=0.25,
            dates=("%m/%d/%Y",),
        ),
    ),  # fmt: skip
    desks=("info", "office", "sales", "contact", "admin", "orders"),
    companies=("llc.com", "inc.com", "group.com", "law.com", "realty.com", "co.com", "dental.com"),
    family_locals=("the{family}s", "{family}family", "{family}.family", "{family}home"),
    handles=tuple(
        [
            "blacksheep",
            "sunny",
            "tiger",
            "speedy",
            "wolf",
            "dragon",
            "skywalker",
            "rocky",
            "bluebird",
            "kitty",
            "pirate",
            "gamer",
            "lucky",
            "smiley",
            "angel",
            "bigfoot",
            "hobbit",
            "shadow",
            "nightowl",
            "racer",
            "golfer",
            "fisherman",
            "biker",
            "coffeelover",
            "dancer",
            "surfer",
            "hoopsfan",
            "soccermom",
            "packersfan",
            "yankees",
        ]
    ),
    titles=(("Mrs.", "Ms.", "Dr."), ("Mr.", "Dr.")),
    junior=("Jr.", "Jr", "JR", "II"),
    senior="Sr.",
    couples=("The {family} Family", "{given} & {other} {family}", "{given} and {other} {family}", "Mr. & Mrs. {given} {family}"),
    placeholders={
        "email": ("none@none.com", "noemail@noemail.com", "na@na.com", "donotreply@store.example", "customer@store.example"),
        "phone": ("0000000000", "5555555555", "1234567890", "9999999999", "(000) 000-0000"),
        "birth": ("01/01/1900", "1900-01-01", "01/01/1970", "01/01/2000", "11/11/1911"),
    },
    tests={
        "given": ("Test", "John", "Jane", "test", "asdf", "QA", "Demo", "Foo"),
        "family": ("Test", "Doe", "User", "test", "asdf", "Tester", "DO NOT USE", "Bar"),
        "email": (
            "test@test.com",
            "test@example.com",
            "jdoe@example.com",
            "test{n}@test.com",
            "qa+{n}@store.example",
            "asdf@asdf.com",
        ),
        "phone": ("5555555555", "1234567890", "555-555-5555", "1111111111", "212555{n}"),
        "street": ("123 Main St", "1 Test Street", "123 Fake St", "asdf"),
        "city": ("Anytown", "New York", "Testville"),
    },
    takes_name=0.72,
    keeps_name=0.18,
    suffixes=0.6,
    juniors=0.09,
    landlines=0.15,
    new_phone=0.07,
)

PROFILES = {profile.name: profile for profile in (SHOP_DE, US_CRM)}
