"""`genre_in` translates the sources' words for a genre to one English or Russian name.

The names are Shikimori's, which has MyAnimeList's genres, themes and demographics. `KNOWN` also has the words and
spellings of Kinopoisk (in lower case, by way of Kodik), AniList, Kitsu, AnimeSchedule and AniSearch. Anime-Planet and
AniDB have tags but no genres.
"""

from __future__ import annotations

from typing import Literal

Language = Literal["en", "ru"]

KNOWN: tuple[tuple[str, ...], ...] = (
    # (English, Russian, other words and spellings)
    ("Action", "Экшен", "Экшн", "боевик", "Action & Adventure"),
    ("Adult Cast", "Взрослые персонажи"),
    ("Adventure", "Приключения"),
    ("Anthropomorphic", "Антропоморфизм"),
    ("Avant Garde", "Авангард", "Dementia", "Безумие"),
    ("Award Winning", "Удостоено наград"),
    ("Biography", "Биография"),
    ("Boys Love", "Сёнен-ай", "Shounen Ai", "Shounen-Ai", "BL"),
    ("CGDCT", "Милые девушки"),
    ("Cars", "Машины"),
    ("Childcare", "Забота о детях"),
    ("Combat Sports", "Единоборства"),
    ("Comedy", "Комедия", "Action Comedy"),
    ("Cooking", "Кулинария", "Food"),
    ("Crime", "Криминал", "Crime Fiction"),
    ("Crossdressing", "Кроссдрессинг", "Gender Bender", "Смена пола"),
    ("Delinquents", "Хулиганы"),
    ("Demons", "Демоны"),
    ("Detective", "Детективы"),
    ("Documentary", "Документальный"),
    ("Drama", "Драма", "Action Drama"),
    ("Ecchi", "Этти"),
    ("Educational", "Образовательное"),
    ("Erotica", "Эротика", "Adult", "Mature", "для взрослых"),
    ("Family", "Семейный"),
    ("Fantasy", "Фэнтези"),
    ("Friendship", "Дружба"),
    ("Gag Humor", "Гэг-юмор"),
    ("Game", "Игры"),
    ("Ganbatte", "Упорство"),
    ("Girls Love", "Сёдзё-ай", "Shoujo Ai", "Shoujo-Ai", "GL"),
    ("Gore", "Жестокость"),
    ("Gourmet", "Гурман"),
    ("Harem", "Гарем"),
    ("Hentai", "Хентай"),
    ("High Stakes Game", "Игра с высокими ставками"),
    ("Historical", "Исторический", "History", "история"),
    ("Horror", "Ужасы"),
    ("Idols (Female)", "Идолы (Жен.)"),
    ("Idols (Male)", "Идолы (Муж.)"),
    ("Isekai", "Исэкай"),
    ("Iyashikei", "Иясикэй"),
    ("Josei", "Дзёсей"),
    ("Kids", "Детское", "детский"),
    ("Law", "Юриспруденция"),
    ("Love Polygon", "Любовный многоугольник"),
    ("Love Status Quo", "Любовь без изменений"),
    ("Magic", "Магия"),
    ("Magical Sex Shift", "Магическая смена пола"),
    ("Mahou Shoujo", "Махо-сёдзё", "Magical Girl", "Mahou Shounen"),
    ("Martial Arts", "Боевые искусства", "Fighting-Shounen"),
    ("Mecha", "Меха"),
    ("Medical", "Медицина"),
    ("Military", "Военное", "военный", "War", "War & Politics"),
    ("Music", "Музыка"),
    ("Musical", "Мюзикл"),
    ("Mystery", "Тайна", "детектив"),
    ("Mythology", "Мифология"),
    ("Organized Crime", "Организованная преступность"),
    ("Otaku Culture", "Культура отаку"),
    ("Parody", "Пародия"),
    ("Performing Arts", "Исполнительское искусство"),
    ("Pets", "Питомцы"),
    ("Police", "Полиция"),
    ("Political", "Политика"),
    ("Psychological", "Психологическое", "Психология", "Psychological Drama"),
    ("Racing", "Гонки"),
    ("Reincarnation", "Реинкарнация"),
    ("Reverse Harem", "Реверс-гарем"),
    ("Romance", "Романтика", "мелодрама"),
    ("Samurai", "Самураи"),
    ("School", "Школа", "School Life"),
    ("Sci-Fi", "Фантастика", "Sci Fi", "Science Fiction", "Science-Fiction", "Sci-Fi & Fantasy", "Научная фантастика"),
    ("Seinen", "Сэйнэн", "Сэйнен"),
    ("Short", "Короткометражное", "короткометражка"),
    ("Shoujo", "Сёдзё", "Сёдзе"),
    ("Shounen", "Сёнен", "Сёнэн"),
    ("Showbiz", "Шоу-бизнес"),
    ("Slice of Life", "Повседневность"),
    ("Space", "Космос"),
    ("Sports", "Спорт", "Sport"),
    ("Strategy Game", "Стратегические игры"),
    ("Super Power", "Супер сила", "Superpowers"),
    ("Supernatural", "Сверхъестественное", "Supernatural Drama", "мистика"),
    ("Survival", "Выживание"),
    ("Suspense", "Саспенс"),
    ("Team Sports", "Командный спорт"),
    ("Thriller", "Триллер", "Supernatural Thriller"),
    ("Time Travel", "Путешествие во времени"),
    ("Tragedy", "Трагедия"),
    ("Urban Fantasy", "Городское фэнтези"),
    ("Vampire", "Вампиры"),
    ("Video Game", "Видеоигры"),
    ("Villainess", "Злодейка"),
    ("Visual Arts", "Изобразительное искусство"),
    ("Western", "Вестерн"),
    ("Workplace", "Работа", "Work Life"),
    ("Yaoi", "Яой"),
    ("Youth", "Молодёжь"),
    ("Yuri", "Юри"),
    ("Zombies", "Зомби"),
)

SAYS_NOTHING = frozenset(
    {"аниме", "мультфильм", "animation", "anime influenced", "doujinshi", "soap", "tv movie", "based on a manga"}
)
"""Words that are left out, because they hold for every anime or say how it was made."""

_BY_WORD = {word.casefold(): genre[:2] for genre in KNOWN for word in genre}


def genre_in(language: Language, word: str) -> str | None:
    """The name of the genre in this language; ``""``: the word is left out; ``None``: the word is in no table.

    >>> genre_in("en", "фэнтези"), genre_in("ru", "Fantasy"), genre_in("en", "аниме"), genre_in("en", "Pirates")
    ('Fantasy', 'Фэнтези', '', None)
    """
    key = word.casefold()
    if key in SAYS_NOTHING:
        return ""
    known = _BY_WORD.get(key)
    return known[language == "ru"] if known else None
