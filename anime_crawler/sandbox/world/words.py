"""Words that invented titles, descriptions and teams are made of. Every name in here is made up or a plain word."""

from __future__ import annotations

WORDS = [
    ("Hoshi", "星", "звезда", "Star"),
    ("Kaze", "風", "ветер", "Wind"),
    ("Umi", "海", "море", "Sea"),
    ("Yama", "山", "гора", "Mountain"),
    ("Sora", "空", "небо", "Sky"),
    ("Tsuki", "月", "луна", "Moon"),
    ("Hana", "花", "цветок", "Flower"),
    ("Yuki", "雪", "снег", "Snow"),
    ("Mori", "森", "лес", "Forest"),
    ("Kawa", "川", "река", "River"),
    ("Hikari", "光", "свет", "Light"),
    ("Kage", "影", "тень", "Shadow"),
    ("Honoo", "炎", "пламя", "Flame"),
    ("Koori", "氷", "лёд", "Ice"),
    ("Ken", "剣", "меч", "Sword"),
    ("Tate", "盾", "щит", "Shield"),
    ("Ou", "王", "король", "King"),
    ("Hime", "姫", "принцесса", "Princess"),
    ("Kishi", "騎士", "рыцарь", "Knight"),
    ("Majo", "魔女", "ведьма", "Witch"),
    ("Ryuu", "竜", "дракон", "Dragon"),
    ("Neko", "猫", "кошка", "Cat"),
    ("Inu", "犬", "собака", "Dog"),
    ("Kitsune", "狐", "лисица", "Fox"),
    ("Tori", "鳥", "птица", "Bird"),
    ("Sakana", "魚", "рыба", "Fish"),
    ("Gakuen", "学園", "академия", "Academy"),
    ("Toshokan", "図書館", "библиотека", "Library"),
    ("Densha", "電車", "поезд", "Train"),
    ("Machi", "町", "город", "Town"),
    ("Ie", "家", "дом", "House"),
    ("Mado", "窓", "окно", "Window"),
    ("Tobira", "扉", "дверь", "Door"),
    ("Tegami", "手紙", "письмо", "Letter"),
    ("Uta", "歌", "песня", "Song"),
    ("Odori", "踊り", "танец", "Dance"),
    ("Yume", "夢", "сон", "Dream"),
    ("Kioku", "記憶", "память", "Memory"),
    ("Namida", "涙", "слеза", "Tear"),
    ("Kokoro", "心", "сердце", "Heart"),
    ("Tamashii", "魂", "душа", "Soul"),
    ("Inori", "祈り", "молитва", "Prayer"),
    ("Yakusoku", "約束", "обещание", "Promise"),
    ("Himitsu", "秘密", "тайна", "Secret"),
    ("Jikan", "時間", "время", "Time"),
    ("Eien", "永遠", "вечность", "Eternity"),
    ("Kinou", "昨日", "вчера", "Yesterday"),
    ("Ashita", "明日", "завтра", "Tomorrow"),
    ("Haru", "春", "весна", "Spring"),
    ("Natsu", "夏", "лето", "Summer"),
    ("Aki", "秋", "осень", "Autumn"),
    ("Fuyu", "冬", "зима", "Winter"),
    ("Asa", "朝", "утро", "Morning"),
    ("Yoru", "夜", "ночь", "Night"),
    ("Ame", "雨", "дождь", "Rain"),
    ("Kumo", "雲", "облако", "Cloud"),
    ("Kaminari", "雷", "гром", "Thunder"),
    ("Hagane", "鋼", "сталь", "Steel"),
    ("Kogane", "黄金", "золото", "Gold"),
    ("Shiro", "白", "белизна", "White"),
    ("Kuro", "黒", "чернота", "Black"),
    ("Akai Ito", "赤い糸", "красная нить", "Red Thread"),
    ("Pan'ya", "パン屋", "пекарня", "Bakery"),
    ("Kissaten", "喫茶店", "кофейня", "Coffee House"),
    ("Tantei", "探偵", "сыщик", "Detective"),
    ("Isha", "医者", "врач", "Doctor"),
    ("Sensei", "先生", "учитель", "Teacher"),
    ("Tabibito", "旅人", "странник", "Traveller"),
    ("Kaizoku", "海賊", "пират", "Pirate"),
    ("Uchuu", "宇宙", "космос", "Space"),
    ("Kikai", "機械", "машина", "Machine"),
    ("Ningyou", "人形", "кукла", "Doll"),
    ("Kagami", "鏡", "зеркало", "Mirror"),
    ("Tou", "塔", "башня", "Tower"),
    ("Shima", "島", "остров", "Island"),
    ("Sabaku", "砂漠", "пустыня", "Desert"),
    ("Mizuumi", "湖", "озеро", "Lake"),
    ("Hashi", "橋", "мост", "Bridge"),
    ("Michi", "道", "дорога", "Road"),
    ("Senjou", "戦場", "поле боя", "Battlefield"),
]
"""(romaji, Japanese, Russian, English)"""

PATTERNS = [
    ("{a} no {b}", "{a}の{b}", "{a}: {b}", "{b} of the {a}"),
    ("{a} to {b}", "{a}と{b}", "{a} и {b}", "{a} and {b}"),
    ("{a} {b}", "{a}{b}", "{a} — {b}", "{a} {b}"),
    ("{b} ga Kieta {a}", "{b}が消えた{a}", "{a}, где исчезло слово «{b}»", "The {a} Without {b}"),
    ("{a} kara {b} e", "{a}から{b}へ", "от слова «{a}» к слову «{b}»", "From {a} to {b}"),
]
"""How two words make a title, in the same four languages."""

GENRES = {
    1: ("Action", "Экшен", "genre"),
    2: ("Adventure", "Приключения", "genre"),
    4: ("Comedy", "Комедия", "genre"),
    8: ("Drama", "Драма", "genre"),
    10: ("Fantasy", "Фэнтези", "genre"),
    22: ("Romance", "Романтика", "genre"),
    24: ("Sci-Fi", "Фантастика", "genre"),
    36: ("Slice of Life", "Повседневность", "genre"),
    37: ("Supernatural", "Сверхъестественное", "genre"),
    7: ("Mystery", "Детектив", "genre"),
    14: ("Horror", "Ужасы", "genre"),
    30: ("Sports", "Спорт", "genre"),
    23: ("School", "Школа", "theme"),
    38: ("Military", "Военное", "theme"),
    13: ("Historical", "Исторический", "theme"),
    18: ("Mecha", "Меха", "theme"),
    25: ("Shoujo", "Сёдзё", "demographic"),
    27: ("Shounen", "Сёнен", "demographic"),
    42: ("Seinen", "Сэйнэн", "demographic"),
    12: ("Hentai", "Хентай", "genre"),
}
"""Shikimori's new genres: id -> (English, Russian, kind)."""

HENTAI = 12

KINOPOISK_GENRES = ["аниме", "мультфильм", "драма", "комедия", "фэнтези", "боевик", "приключения", "мелодрама"]
"""Kinopoisk writes genres in lower case, Shikimori with a capital; Kodik joins both."""

STUDIOS = [
    "Aoi Fune",
    "Studio Kumo",
    "Kitakaze",
    "Hoshizora Works",
    "Mori Animation",
    "Tetsu",
    "Nine Lanterns",
    "Yoake",
]

TEAMS = [
    f"{first}{second}"
    for first in ("Ani", "Neko", "Kitsune", "Полар", "Маяк", "Север", "Lantern", "Tanuki", "Волна", "Echo")
    for second in ("Voice", "Dub", "Studio", " TV", " Project", " и Ко", "Line", " Sub", "Bridge", "Sound")
]
"""A hundred teams; Kodik has 775, the largest with 3,000 titles."""

SENTENCES = [
    "Город живёт по законам, которых никто не помнит.",
    "Всё меняется, когда [character={n}]{ru}[/character] находит старую карту.",
    "Вместе с напарницей [character={n}]Мико [{jp}][/character] герой уходит на север.",
    "[spoiler=развязка]Карта оказывается подделкой.[/spoiler]",
    "События продолжают [anime={m}]первую историю[/anime] и не требуют её знать.",
    "[i]Никто не обещал, что дорога будет короткой.[/i]",
    "По мотивам [[Старая сказка|старой сказки]] и [manga={m}]манги[/manga].",
    "Однажды письмо приходит не туда, и семь человек встречаются на мосту.",
    "[b]Зима[/b] длится третий год, а запасов хватит на месяц.",
    "Ученики закрытой школы учатся слышать тишину[br]и видеть ветер.",
    "Подробности — на [url=https://example.org/{n}]сайте создателей[/url].",
    "Герои знают: [1] у каждой двери есть ключ, [2] не каждую стоит открывать.",
]
"""Description pieces with the BBCode of Shikimori's texts: entities, spoilers, wiki links, plain square brackets."""

GIVEN_NAMES = [
    "Aoi",
    "Ren",
    "Haruka",
    "Sota",
    "Mio",
    "Kaito",
    "Yui",
    "Riku",
    "Nao",
    "Shin",
    "Emi",
    "Taro",
    "Rin",
    "Jun",
]
FAMILY_NAMES = ["Mori", "Kuroda", "Ishii", "Ono", "Hayashi", "Noda", "Sakai", "Ueda", "Matsui", "Arai", "Kubo", "Endo"]
"""Common names, for characters and voices that nobody has met."""

QUALITIES = ["WEB-DLRip 720p", "BDRip 720p", "WEBRip 1080p", "DVDRip", "HDTVRip 720p", "TS"]

COUNTRIES = ["RU", "UA", "BY", "KZ", "JP"]


def titles_of(a: int, b: int, pattern: int) -> tuple[str, str, str, str]:
    """Romaji, Japanese, Russian and English title of two words in one pattern."""
    first, second, forms = WORDS[a], WORDS[b], PATTERNS[pattern]
    romaji, japanese, russian, english = (forms[i].format(a=first[i], b=second[i]) for i in range(4))
    return romaji, japanese, russian[:1].upper() + russian[1:], english
