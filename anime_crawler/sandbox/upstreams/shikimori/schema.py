"""The part of Shikimori's GraphQL schema that a catalogue crawl can ask for (introspection of 2026-07)."""

from __future__ import annotations

from graphql import GraphQLError, build_schema

from anime_crawler.sandbox.upstreams.graphql_query import Selection

SCHEMA = build_schema("""
scalar PositiveInt
scalar ISO8601DateTime
scalar ISO8601Date

enum OrderEnum {
  id id_desc ranked kind popularity name aired_on episodes status random ranked_random ranked_shiki
  created_at created_at_desc updated_at updated_at_desc
}
enum AnimeKindEnum { tv movie ova ona special tv_special music pv cm }
enum AnimeStatusEnum { anons ongoing released }
enum AnimeRatingEnum { none g pg pg_13 r r_plus rx }
enum AnimeOriginEnum {
  original manga web_manga four_koma_manga novel web_novel visual_novel light_novel game card_game music radio book
  picture_book mixed_media other unknown
}
enum GenreKindEnum { genre theme demographic }
enum GenreEntryTypeEnum { Anime Manga }
enum ExternalLinkKindEnum {
  official_site wikipedia anime_news_network myanimelist anime_db world_art kinopoisk kinopoisk_hd kage_project
  twitter smotret_anime amediateka senkuro shiki ivi
}
enum RelationKindEnum {
  adaptation alternative_setting alternative_version character full_story other parent_story prequel sequel
  side_story spin_off summary
}

type IncompleteDate { year: Int month: Int day: Int date: ISO8601Date }
type Poster {
  id: ID! originalUrl: String! mainUrl: String! main2xUrl: String! mainAltUrl: String! mainAlt2xUrl: String!
  previewUrl: String! miniUrl: String!
}
type Genre { id: ID! name: String! russian: String! kind: GenreKindEnum! entryType: GenreEntryTypeEnum! }
type Studio { id: ID! name: String! imageUrl: String }
type ExternalLink {
  id: ID kind: ExternalLinkKindEnum! url: String! createdAt: ISO8601DateTime updatedAt: ISO8601DateTime
}
type Manga { id: ID! malId: ID name: String! russian: String }
type Related { id: ID! relationKind: RelationKindEnum! relationText: String! anime: Anime manga: Manga }
type ScoreStat { score: Int! count: Int! }
type StatusStat { status: String! count: Int! }
type Video { id: ID! url: String! name: String kind: String! }
type Screenshot { id: ID! originalUrl: String! }

type Anime {
  id: ID! malId: ID name: String! russian: String licenseNameRu: String english: String japanese: String
  synonyms: [String!]! kind: AnimeKindEnum rating: AnimeRatingEnum origin: AnimeOriginEnum score: Float
  status: AnimeStatusEnum episodes: Int! episodesAired: Int! duration: Int
  airedOn: IncompleteDate releasedOn: IncompleteDate season: String nextEpisodeAt: ISO8601DateTime
  url: String! franchise: String isCensored: Boolean createdAt: ISO8601DateTime! updatedAt: ISO8601DateTime!
  poster: Poster genres: [Genre!] studios: [Studio!]! externalLinks: [ExternalLink!] related: [Related!]
  fansubbers: [String!]! fandubbers: [String!]! licensors: [String!] videos: [Video!]! screenshots: [Screenshot!]!
  description: String descriptionHtml: String descriptionSource: String
  scoresStats: [ScoreStat!] statusesStats: [StatusStat!] chronology: [Anime!] opengraphImageUrl: String
}

type Query {
  animes(
    page: PositiveInt = 1, limit: PositiveInt = 2, order: OrderEnum = ranked, kind: String, status: String,
    score: Int, rating: String, franchise: String, censored: Boolean, ids: String, excludeIds: String, search: String
  ): [Anime!]!
}
""")
"""Enum values that the site does not know cannot be sent: that is the 500 of its issue 2792."""

COSTS = {
    "poster": 5,
    "topic": 5,
    "externalLinks": 10,
    "related": 10,
    "characterRoles": 10,
    "personRoles": 10,
    "videos": 10,
    "screenshots": 10,
    "userRate": 50,
    "chronology": 50,
}
"""What a field costs beside its children; every other field costs 1."""

MAX_COMPLEXITY = 190
MAX_DEPTH = 5


def check_size(selection: Selection) -> None:
    """Raises: GraphQLError: the query is too deep or too complex."""
    depth, cost = measure(selection)
    if depth > MAX_DEPTH:
        raise GraphQLError(f"Query has depth of {depth}, which exceeds max depth of {MAX_DEPTH}")
    if cost > MAX_COMPLEXITY:
        raise GraphQLError(f"Query has complexity of {cost}, which exceeds max complexity of {MAX_COMPLEXITY}")


def measure(selection: Selection | None) -> tuple[int, int]:
    """Depth and complexity. Lists do not multiply."""
    depth = cost = 0
    for field in selection or ():
        deeper, children = measure(field.below)
        depth, cost = max(depth, deeper + 1), cost + COSTS.get(field.name, 1) + children
    return depth, cost
