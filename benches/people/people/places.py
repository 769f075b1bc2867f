"""Towns, streets, postcodes and numbers of telephones.

Towns of a country are drawn by their size; a postcode is a town's prefix and digits that follow from the street, so that one street has
one postcode. Sizes are rounded to thousands, small places follow the large ones by Zipf's law.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from functools import cache
from zlib import crc32

from people import names
from people.dice import Dice, Table

GERMAN_TOWNS = """Berlin 3770 10 030|Hamburg 1890 20 040|München 1510 80 089|Köln 1090 50 0221|Frankfurt am Main 770 60 069|Stuttgart 630 70 0711|
Düsseldorf 620 40 0211|Leipzig 610 04 0341|Dortmund 590 44 0231|Essen 580 45 0201|Bremen 570 28 0421|Dresden 560 01 0351|Hannover 540 30 0511|
Nürnberg 520 90 0911|Duisburg 500 47 0203|Bochum 360 44 0234|Wuppertal 360 42 0202|Bielefeld 330 33 0521|Bonn 330 53 0228|Münster 320 48 0251|
Mannheim 310 68 0621|Karlsruhe 310 76 0721|Augsburg 300 86 0821|Wiesbaden 280 65 0611|Mönchengladbach 260 41 02161|Gelsenkirchen 260 45 0209|
Aachen 250 52 0241|Braunschweig 250 38 0531|Kiel 250 24 0431|Chemnitz 240 09 0371|Halle (Saale) 240 06 0345|Magdeburg 240 39 0391|
Freiburg im Breisgau 230 79 0761|Krefeld 230 47 02151|Mainz 220 55 06131|Lübeck 220 23 0451|Erfurt 210 99 0361|Rostock 210 18 0381|
Kassel 200 34 0561|Potsdam 180 14 0331|Saarbrücken 180 66 0681|Ludwigshafen am Rhein 170 67 0621|Oldenburg 170 26 0441|Osnabrück 170 49 0541|
Heidelberg 160 69 06221|Darmstadt 160 64 06151|Regensburg 150 93 0941|Ingolstadt 140 85 0841|Würzburg 130 97 0931|Ulm 130 89 0731|
Neustadt an der Weinstraße 54 67 06321|Rothenburg ob der Tauber 11 91 09861"""
AMERICAN_TOWNS = """New York 8300 NY 100 212|Los Angeles 3800 CA 900 213|Chicago 2700 IL 606 312|Houston 2300 TX 770 713|Phoenix 1650 AZ 850 602|
Philadelphia 1550 PA 191 215|San Antonio 1490 TX 782 210|San Diego 1390 CA 921 619|Dallas 1300 TX 752 214|San Jose 970 CA 951 408|
Austin 970 TX 787 512|Jacksonville 980 FL 322 904|Fort Worth 960 TX 761 817|Columbus 910 OH 432 614|Charlotte 900 NC 282 704|
Indianapolis 880 IN 462 317|San Francisco 810 CA 941 415|Seattle 750 WA 981 206|Denver 710 CO 802 303|Oklahoma City 700 OK 731 405|
Nashville 690 TN 372 615|Washington 680 DC 200 202|El Paso 680 TX 799 915|Las Vegas 660 NV 891 702|Boston 650 MA 021 617|
Portland 630 OR 972 503|Detroit 630 MI 482 313|Louisville 620 KY 402 502|Memphis 620 TN 381 901|Baltimore 570 MD 212 410|
Milwaukee 560 WI 532 414|Albuquerque 560 NM 871 505|Tucson 550 AZ 857 520|Fresno 545 CA 937 559|Sacramento 525 CA 958 916|
Kansas City 510 MO 641 816|Atlanta 510 GA 303 404|Omaha 480 NE 681 402|Colorado Springs 490 CO 809 719|Raleigh 480 NC 276 919|
Miami 455 FL 331 305|Saint Louis 280 MO 631 314|Saint Paul 300 MN 551 651|Newark 305 NJ 071 973|Springfield 170 MO 658 417|
Springfield 155 MA 011 413|Springfield 114 IL 627 217|Portland 68 ME 041 207"""

GERMAN_STREETS = [
    "Hauptstraße Schulstraße Gartenstraße Bahnhofstraße Dorfstraße Bergstraße Birkenweg Lindenstraße Kirchstraße Waldstraße",
    "Ringstraße Schillerstraße Goethestraße Jahnstraße Wiesenweg Mühlenweg Feldstraße Friedhofstraße Blumenstraße Buchenweg Rosenstraße Am Markt",
    "Mozartstraße Beethovenstraße Lessingstraße Talstraße Brunnenstraße Amselweg Finkenweg Kiefernweg Eichenweg Tannenweg Poststraße Industriestraße",
    "Berliner Straße Münchner Straße Hamburger Straße Frankfurter Straße Karl-Marx-Straße Friedrich-Ebert-Straße Konrad-Adenauer-Straße",
    "Bismarckstraße Wilhelmstraße Kaiserstraße Königstraße Luisenstraße Am Sportplatz Im Winkel An der Alten Mühle Lange Straße Neue Straße",
    "Hohe Straße Schloßstraße Burgstraße Kastanienallee Lindenallee Steinweg Sandweg Ziegeleiweg Neugasse Kirchgasse Marktplatz",
]
AMERICAN_STREETS = [
    "Main",
    "Park",
    "Oak",
    "Pine",
    "Maple",
    "Cedar",
    "Elm",
    "View",
    "Washington",
    "Lake",
    "Hill",
    "Walnut",
    "Spring",
    "North",
    "Ridge",
    "Church",
    "Willow",
    "Mill",
    "Sunset",
    "Railroad",
    "Jackson",
    "River",
    "Highland",
    "Johnson",
    "Franklin",
    "Cherry",
    "Dogwood",
    "Hickory",
    "Jefferson",
    "Meadow",
    "Chestnut",
    "Birch",
    "Forest",
    "Lincoln",
    "Madison",
    "Second",
    "Third",
    "Fourth",
    "Fifth",
    "Center",
    "Pleasant",
    "Adams",
    "Spruce",
    "Laurel",
    "Prospect",
    "Broad",
    "Front",
    "Green",
    "Locust",
]
AMERICAN_SUFFIXES = (("Street", 40), ("Avenue", 22), ("Road", 14), ("Drive", 12), ("Lane", 6), ("Court", 3), ("Boulevard", 3))


GERMAN_MOBILES = [
    "151",
    "152",
    "157",
    "159",
    "160",
    "162",
    "163",
    "170",
    "171",
    "172",
    "173",
    "174",
    "175",
    "176",
    "177",
    "178",
    "179",
]


@dataclass(frozen=True)
class Town:
    name: str
    state: str
    prefix: str
    area: str
    streets: tuple[str, ...]


@dataclass(frozen=True)
class Address:
    town: Town
    street: str
    number: str
    unit: str
    postcode: str


def streets_of(text: list[str]) -> list[str]:
    """Streets of several words begin with one of those below; all others are words of their own."""
    found = []
    words = " ".join(text).split()
    place = 0
    while place < len(words):
        count = {"Am": 2, "Im": 2, "An": 4, "Lange": 2, "Neue": 2, "Hohe": 2}.get(
            words[place], 2 if words[place].endswith("er") else 1
        )
        found.append(" ".join(words[place : place + count]))
        place += count
    return found


@cache
def towns(region: str) -> Table:
    dice = Dice(f"streets of {region}")
    weighted = []
    for line in (GERMAN_TOWNS if region == "DE" else AMERICAN_TOWNS).replace("\n", "").split("|"):
        words = line.split()
        if region == "DE":
            size, prefix, area = int(words[-3]), words[-2], words[-1]
            name, state = " ".join(words[:-3]), ""
        else:
            size, state, prefix, area = int(words[-4]), words[-3], words[-2], words[-1]
            name = " ".join(words[:-4])
        weighted.append((Town(name, state, prefix, area, streets(region, size, dice)), size))
    large = {town.name for town, _ in weighted}
    small = [name for name in small_towns(region) if name not in large]
    for rank, name in enumerate(small, 1):
        code = crc32(name.encode())
        if region == "DE":
            town = Town(name, "", f"{1 + code % 98:02}", f"0{2000 + code % 7990}", streets(region, 15, dice))
        else:
            state = ("OH", "PA", "GA", "IN", "IA", "TX", "KY", "NC", "MI", "AL")[code % 10]
            town = Town(name, state, f"{100 + code % 890:03}", f"{201 + code % 780}", streets(region, 15, dice))
        # Together the small ones are about as large as the large ones, as they are in both countries.
        weighted.append((town, 4_000 / (rank + 20)))
    return Table(weighted)


def small_towns(region: str) -> list[str]:
    if region == "DE":
        provider = importlib.import_module("faker.providers.address.de_DE").Provider
        return names.listed(provider.cities)
    table = names.family_names("en_US")
    endings = ("ville", "ton", " Springs", " City", "burg", " Falls", " Heights", "field")
    return [table.items[200 + 3 * place] + endings[crc32(str(place).encode()) % 8] for place in range(600)]


def streets(region: str, size: int, dice: Dice) -> tuple[str, ...]:
    """The common ones and some that bear a name. A town of a thousand thousands has about 900, the smallest 15."""
    count = 15 + size * 3 // 4 if size < 1200 else 915
    if region == "DE":
        common = streets_of(GERMAN_STREETS)
        family, given = names.family_names("de_DE"), names.given_names("de_DE", names.MALE)
        endings = ("straße", "weg", "gasse", "allee", "ring", "platz")
    else:
        family, given, common = names.family_names("en_US"), None, AMERICAN_STREETS
    found = {}
    while len(found) < count:
        if region == "DE":
            if dice.chance(0.35):
                street = dice.pick(common)
            elif dice.chance(0.6):
                street = family.draw(dice) + dice.pick(endings)
            else:
                street = f"{given.draw(dice)}-{family.draw(dice)}-Straße"
        else:
            word = dice.pick(common) if dice.chance(0.45) else family.draw(dice)
            street = f"{word} {SUFFIXES.draw(dice)}"
            if dice.chance(0.15):
                street = f"{dice.pick('NSEW')} {street}"
        found[street] = None
    return tuple(found)


SUFFIXES = Table(AMERICAN_SUFFIXES)


def address(region: str, dice: Dice, town: Town | None = None) -> Address:
    town = town or towns(region).draw(dice)
    street = dice.pick(town.streets)
    digits = 5 - len(town.prefix)
    postcode = town.prefix + str(crc32(f"{town.name} {street}".encode()) % 40 % 10**digits).zfill(digits)
    unit = ""
    if region == "DE":
        number = str(1 + int(120 * dice.next() * dice.next())) + ("" if dice.chance(0.85) else dice.pick("abc"))
    else:
        number = str(dice.between(1, 99) * 10 ** dice.below(3) + dice.below(10))
        if dice.chance(0.22):
            unit = (
                f"{dice.between(1, 20)}{dice.pick('ABCDEF')}"
                if dice.chance(0.5)
                else str(dice.between(1, 40) * 100 + dice.below(12))
            )
    return Address(town, street, number, unit, postcode)


def mobile(region: str, dice: Dice, town: Town) -> str:
    """In full, from the country's code on. In America a mobile's number is like any other, mostly of where it was bought."""
    if region == "US":
        return landline(region, dice, town if dice.chance(0.75) else towns(region).draw(dice))
    return f"+49{dice.pick(GERMAN_MOBILES)}{dice.digits(7 if dice.chance(0.4) else 8)}"


def landline(region: str, dice: Dice, town: Town) -> str:
    if region == "DE":
        return "+49" + town.area[1:] + str(dice.between(20, 99)) + dice.digits(4 if dice.chance(0.5) else 5)
    return f"+1{town.area}{dice.between(200, 999)}{dice.digits(4)}"
