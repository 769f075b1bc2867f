"""Names by culture, with how often they are given.

American names are the census's with its frequencies (package `names`: 1990, 88,799 surnames). Others are Faker's lists, of which the
heads that are listed here come first and the rest follows by Zipf's law: those lists do not say how often. What Faker has too few of for
a long tail, German surnames, is composed as German surnames are (Nieder-hof-er, Lang-en-bach).
"""

from __future__ import annotations

import importlib
import unicodedata
from functools import cache
from importlib import resources

from people.dice import Dice, Table, ranked

FEMALE, MALE = 0, 1

GERMAN_SURNAMES = """Müller Schmidt Schneider Fischer Weber Meyer Wagner Becker Schulz Hoffmann Schäfer Koch Bauer Richter Klein Wolf
Schröder Neumann Schwarz Zimmermann Braun Krüger Hofmann Hartmann Lange Schmitt Werner Schmitz Krause Meier Lehmann Schmid Schulze Maier
Köhler Herrmann König Walter Mayer Huber Kaiser Fuchs Peters Lang Scholz Möller Weiß Jung Hahn Schubert Vogel Friedrich Keller Günther
Frank Berger Winkler Roth Beck Lorenz Baumann Franke Albrecht Schuster Simon Ludwig Böhm Winter Kraus Martin Schumacher Krämer Vogt Stein
Jäger Otto Sommer Groß Seidel Heinrich Brandt Haas Schreiber Graf Schulte Dietrich Ziegler Kuhn Kühn Pohl Engel Horn Busch Bergmann Thomas
Voigt Sauer Arnold Wolff Pfeiffer""".split()
GERMAN_BEGINNINGS = """Alten Auer Berg Birken Blum Brand Breit Buch Burg Damm Diet Dorn Eber Eich Eisen Engel Erl Fall Feld Fels Fichten
Gold Grab Grün Hager Hain Hart Hasel Heid Hinter Hirsch Hoch Hof Holz Kalten Kapp Kirch Krumm Land Lang Lauter Leiten Linden Loh Maur Mitter
Moos Mühl Neu Nieder Ober Ost Otten Pfaff Rauch Reit Ried Ross Roten Sand Schön Schwarz See Sieben Sonn Stauden Stein Sulz Tann Thal Unter
Vorder Wald Wasser Weg Weiden Wein Westen Wiesen Wild Winkel Witt Zell Ziegel""".split()
GERMAN_ENDINGS = """acher acker au auer bach bacher bauer baum beck berg berger bichler bauer böck brink brock bruch brunner burger eder egger
feld felder fels gruber haus hauser heim heimer hof hofer hoff holz huber hueber inger kamp kemper kofler korn lechner leitner ler loher mair
maier mann mayer meier meister meyer mooser moser müller müllner nagel ner pointner rainer reich reiter ried rieder schmidt schneider seder
stadler stätter stein steiner stetter stock stolz strasser thaler wald wanger weber weger wieser wirth zeller""".split()
DUTCH_PARTICLES = "van de|van der|van den|van|de|ten|ter|van 't".split("|")
IMMIGRANT_HEADS = {
    "tr_TR": "Yılmaz Kaya Demir Çelik Şahin Yıldız Yıldırım Öztürk Aydın Özdemir Arslan Doğan Kılıç Aslan Çetin Kara Koç Kurt Özkan Şimşek".split(),
    "pl_PL": "Nowak Kowalski Wiśniewski Wójcik Kowalczyk Kamiński Lewandowski Zieliński Szymański Woźniak Dąbrowski Kozłowski".split(),
    "es_ES": "García Rodríguez González Fernández López Martínez Sánchez Pérez Gómez Martín Jiménez Ruiz Hernández Díaz Moreno".split(),
    "es_MX": "Hernández García Martínez López González Rodríguez Pérez Sánchez Ramírez Cruz Flores Gómez Morales Vázquez Reyes".split(),
    "nl_NL": "Jansen Vries Berg Dijk Bakker Visser Smit Meijer Boer Mulder Groot Bos Vos Peters Hendriks".split(),
    "it_IT": "Rossi Russo Ferrari Esposito Bianchi Romano Colombo Ricci Marino Greco Bruno Gallo Conti De Luca Costa".split(),
    "vi_VN": "Nguyễn Trần Lê Phạm Hoàng Huỳnh Phan Vũ Võ Đặng Bùi Đỗ Hồ Ngô Dương Lý".split(),
}
ARABIC = {
    FEMALE: """Fatima Aisha Maryam Khadija Zainab Noor Layla Amina Hanan Salma Yasmin Rania Huda Samira Nadia Amal Dina Farah Ghada Hala
    Iman Jamila Karima Lina Lubna Mona Najwa Rasha Reem Sahar Shaima Sumaya Wafa Zahra Hiba Rima Abir Duaa Ikram Siham""".split(),
    MALE: """Mohammed Ahmed Ali Omar Hassan Hussein Ibrahim Khaled Youssef Mustafa Mahmoud Abdullah Said Karim Tariq Adel Amir Anwar Bassam
    Bilal Faisal Hamza Imad Ismail Jamal Kamal Majed Marwan Nabil Nasser Osama Rami Rashid Salim Samir Sami Walid Yasin Zaid Ziad""".split(),
}
ARABIC_FAMILIES = [
    prefix + stem
    for stem in """Hassan Masri Sayed Haddad Khalil Mansour Saleh Nasser Hamdan Abdallah Ahmad Darwish Farah Issa Najjar Rahman Bakr Said Jabouri
    Hussein Ibrahim Ali Aziz Bitar Daoud Fares Ghanem Hakim Hariri Jaber Kassem Khatib Khoury Mahdi Malik Mourad Nassar Othman Qasim Rashid
    Sabbagh Salem Shami Suleiman Taha Younes Zein Zaki Amari Baghdadi""".split()
    for prefix in ("", "Al-", "El ", "Abu ")
]
RUSSIAN = {
    FEMALE: """Anna Elena Olga Natalia Irina Tatiana Ekaterina Svetlana Maria Ljudmila Julia Galina Anastasia Larisa Nina Valentina Vera Oksana
    Nadeschda Ludmilla Xenia Daria Polina Marina Alexandra Victoria Alina Sofia Lidia Tamara Raissa Jewgenia Inna Alla Zoja""".split(),
    MALE: """Alexander Sergej Dmitri Andrej Alexej Vladimir Nikolaj Ivan Mikhail Viktor Pavel Boris Jurij Anatoli Igor Oleg Konstantin Maxim
    Artem Roman Denis Jewgenij Waldemar Eduard Leonid Valerij Vitalij Wjatscheslaw Gennadij Kirill Grigorij Ruslan Stanislav Anton Ilja""".split(),
}
RUSSIAN_FAMILIES = """Ivanov Smirnov Kuznetsov Popov Vasiliev Petrov Sokolov Mikhailov Novikov Fedorov Morozov Volkov Alekseev Lebedev Semenov
Egorov Pavlov Kozlov Stepanov Nikolaev Orlov Andreev Makarov Nikitin Zakharov""".split() + [
    stem + ending
    for stem in """Bel Bogdan Bond Bor Chern Dan Dem Dolg Dub Fil Gavr Gerasim Golub Gor Grig Gus Ign Jak Kalin Karp Kirill Klim Kol Kom Kor
    Kot Krasn Kras Krav Kul Lapt Lev Log Luk Maks Mart Mat Medved Mel Mir Nik Ov Pan Pol Prokh Rod Rom Sav Serg Sid Sor Tar Tim Tit Trof Ush
    Vas Vor Zhuk Zim""".split()
    for ending in ("ov", "in", "enkov", "atov", "yshev")
]

GERMAN_SHORT = {
    "Johannes": ["Hans", "Hannes", "Jo"], "Josef": ["Sepp", "Jupp"], "Maximilian": ["Max", "Maxi"], "Alexander": ["Alex", "Sascha"],
    "Alexandra": ["Alex", "Sandra"], "Michael": ["Michi", "Micha"], "Andreas": ["Andi", "Andy"], "Thomas": ["Tom", "Tommy"],
    "Wolfgang": ["Wolf", "Wolfi"], "Ulrich": ["Uli", "Ulli"], "Friedrich": ["Fritz", "Fred"], "Heinrich": ["Heinz", "Heiner"],
    "Elisabeth": ["Lisa", "Elli", "Sissi", "Betti"], "Katharina": ["Kathi", "Katja", "Kati"], "Margarete": ["Grete", "Gretel", "Rita"],
    "Johanna": ["Hanna", "Jo"], "Susanne": ["Susi", "Sanne"], "Christian": ["Chris"], "Christine": ["Christl", "Tine", "Chris"],
    "Stefan": ["Steff"], "Stefanie": ["Steffi"], "Matthias": ["Matze", "Hias"], "Manfred": ["Manni", "Fred"], "Günther": ["Günni"],
    "Gabriele": ["Gabi"], "Angelika": ["Geli"], "Barbara": ["Babsi", "Bärbel"], "Benjamin": ["Ben", "Benni"], "Sebastian": ["Basti"],
    "Theresia": ["Resi"], "Franziska": ["Franzi"], "Jacqueline": ["Jacky"], "Dominik": ["Domi"], "Nikolaus": ["Klaus", "Niko"],
    "Wilhelm": ["Willi", "Helmut"], "Ludwig": ["Lutz", "Wiggerl"], "Petra": ["Peti"], "Sabine": ["Bine"], "Monika": ["Moni"],
}  # fmt: skip


@cache
def faker(locale: str):
    return importlib.import_module(f"faker.providers.person.{locale}").Provider


def listed(names, head: list[str] = ()) -> list[str]:
    """Those of a list of Faker's, heads first, the rest in an order that says nothing."""
    names = sorted(set(names) - set(head))
    order = Dice("order of names").shuffled(len(names))
    return [*head, *(names[place] for place in order)]


def census(file: str) -> Table:
    text = resources.files("names").joinpath(file).read_text(encoding="ascii")
    lines = (line.split() for line in text.splitlines())
    # The rarest have a share of 0.000 in the table, which rounds.
    return Table([(capital(name), max(float(share), 0.0004)) for name, share, _, _ in lines])


def capital(name: str) -> str:
    name = name.capitalize()
    return f"Mc{name[2:].capitalize()}" if name.startswith("Mc") and len(name) > 4 else name


@cache
def given_names(culture: str, sex: int) -> Table:
    if culture == "en_US":
        return census("dist.male.first" if sex == MALE else "dist.female.first")
    if culture == "ar":
        return ranked(ARABIC[sex], 8)
    if culture == "ru":
        return ranked(RUSSIAN[sex], 10)
    if culture == "vi_VN":
        provider = faker(culture)
        single = listed([*(provider.first_names_male if sex else provider.first_names_female), *provider.first_names_unisex])
        return ranked([*single, *listed({f"{first} {second}" for first in provider.middle_names for second in single if first != second})], 30)
    provider = faker({"es_MX": "es_ES"}.get(culture, culture))
    names = provider.first_names_male if sex == MALE else provider.first_names_female
    heads = {"de_DE": GERMAN_GIVEN[sex]}.get(culture, [])
    return ranked(listed(names, heads), 14)


GERMAN_GIVEN = {
    FEMALE: """Ursula Christine Sabine Petra Monika Maria Andrea Susanne Claudia Anna Stefanie Katharina Renate Birgit Gabriele Elisabeth
    Nicole Karin Julia Barbara Martina Angelika Brigitte Heike Christina Kerstin Melanie Sandra Anja Gisela Ingrid Laura Lena Lisa Lea
    Johanna Sarah Emma Mia Hannah Franziska Jana Silke Ute Helga Jacqueline Alexandra Margarete""".split(),
    MALE: """Peter Michael Thomas Andreas Wolfgang Klaus Jürgen Stefan Christian Uwe Werner Frank Markus Matthias Martin Bernd Alexander
    Daniel Jan Tobias Hans Manfred Dieter Ralf Joachim Sebastian Josef Helmut Günther Heinz Florian Jonas Lukas Leon Paul Felix Maximilian
    Ben Benjamin Ulrich Karl-Heinz Hans-Peter Friedrich Heinrich Johannes Wilhelm Ludwig""".split(),
}


@cache
def family_names(culture: str) -> Table:
    if culture == "en_US":
        return census("dist.all.last")
    if culture == "de_DE":
        composed = listed({a + b for a in GERMAN_BEGINNINGS for b in GERMAN_ENDINGS if a.lower() != b})
        return ranked([*listed(faker(culture).last_names, GERMAN_SURNAMES), *composed], 28)
    if culture == "ar":
        return ranked(listed(ARABIC_FAMILIES), 12)
    if culture == "ru":
        return ranked(listed(RUSSIAN_FAMILIES, RUSSIAN_FAMILIES[:25]), 16)
    if culture == "pl_PL":
        provider = faker(culture)
        return ranked(listed([*provider.male_last_names, *provider.unisex_last_names], IMMIGRANT_HEADS[culture]), 20)
    provider = faker("es_ES" if culture == "es_MX" else culture)
    return ranked(listed(provider.last_names, IMMIGRANT_HEADS[culture]), 6 if culture == "vi_VN" else 16)


def family_name(culture: str, dice: Dice) -> str:
    """As a household has it; `for_person` then gives each member the form that is theirs."""
    table = family_names(culture)
    if culture.startswith("es_"):
        return f"{table.draw(dice)} {table.draw(dice)}"
    name = table.draw(dice)
    if culture == "nl_NL" and not name[0].islower() and "'" not in name and " " not in name and dice.chance(0.35):
        return f"{dice.pick(DUTCH_PARTICLES)} {name}"
    if culture == "de_DE" and dice.chance(0.012):
        return f"{dice.pick(('von', 'von der', 'zu'))} {name}"
    return name


def for_person(culture: str, family: str, sex: int) -> str:
    """Polish and Russian women have a form of their own."""
    if sex == FEMALE and culture == "pl_PL" and family.endswith(("ski", "cki", "dzki")):
        return family[:-1] + "a"
    if sex == FEMALE and culture == "ru":
        return family + "a"
    return family


def patronymic(father: str, sex: int) -> str:
    stem, ending = PATRONYMICS.get(father, (father, "ov"))
    if father[-1] == "j" and father not in PATRONYMICS:
        stem, ending = father[:-1], "ev"
    if ending == "ich":
        return stem + ("inichna" if sex == FEMALE else "ich")
    return stem + ending + ("na" if sex == FEMALE else "ich")


PATRONYMICS = {
    "Alexander": ("Alexandr", "ov"), "Pavel": ("Pavl", "ov"), "Ilja": ("Ilj", "ich"), "Igor": ("Igor", "ev"), "Jurij": ("Jur", "ev"),
    "Valerij": ("Valer", "ev"), "Vitalij": ("Vital", "ev"), "Grigorij": ("Grigor", "ev"), "Gennadij": ("Gennad", "ev"),
    "Anatoli": ("Anatol", "ev"),
}  # fmt: skip


@cache
def english_short() -> dict[str, list[str]]:
    text = resources.files("nicknames").joinpath("names.csv").read_text(encoding="utf-8")
    short: dict[str, list[str]] = {}
    for line in text.splitlines()[1:]:
        name, _, nickname = line.strip().split(",")
        short.setdefault(name.capitalize(), []).append(nickname.capitalize())
    return short


def short_forms(culture: str, given: str) -> list[str]:
    if culture == "en_US":
        return english_short().get(given, [])
    return GERMAN_SHORT.get(given, [])


LETTERS = str.maketrans({"ß": "ss", "ı": "i", "ł": "l", "Ł": "L", "đ": "d", "Đ": "D", "ø": "o", "Ø": "O", "æ": "ae", "’": "'"})
UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "Ä": "Ae", "Ö": "Oe", "Ü": "Ue", "ß": "ss"})


@cache
def plain(text: str) -> str:
    """Without any mark, ü as u: what a form or an export makes of letters that it does not know."""
    return "".join(c for c in unicodedata.normalize("NFD", text.translate(LETTERS)) if not unicodedata.combining(c))


@cache
def spelt_out(text: str) -> str:
    """ü as ue, and what is left without its marks."""
    return plain(text.translate(UMLAUTS))
