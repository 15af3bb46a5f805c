"""The part of AniList's GraphQL schema that a catalogue crawl asks for (its reference of 2026-03)."""

from __future__ import annotations

from typing import Any

from graphql import GraphQLError, GraphQLScalarType, build_schema

from anime_crawler.sandbox.upstreams.graphql_query import Selection

SCHEMA = build_schema("""
scalar FuzzyDateInt

enum MediaType { ANIME MANGA }
enum MediaFormat { TV TV_SHORT MOVIE SPECIAL OVA ONA MUSIC MANGA NOVEL ONE_SHOT }
enum MediaStatus { FINISHED RELEASING NOT_YET_RELEASED CANCELLED HIATUS }
enum MediaSeason { WINTER SPRING SUMMER FALL }
enum MediaSource {
  ORIGINAL MANGA LIGHT_NOVEL VISUAL_NOVEL VIDEO_GAME OTHER NOVEL DOUJINSHI ANIME WEB_NOVEL LIVE_ACTION GAME COMIC
  MULTIMEDIA_PROJECT PICTURE_BOOK
}
enum MediaSort {
  ID ID_DESC START_DATE START_DATE_DESC SCORE SCORE_DESC POPULARITY POPULARITY_DESC UPDATED_AT UPDATED_AT_DESC
  SEARCH_MATCH
}
enum MediaRelation {
  ADAPTATION PREQUEL SEQUEL PARENT SIDE_STORY CHARACTER SUMMARY ALTERNATIVE SPIN_OFF OTHER SOURCE COMPILATION CONTAINS
}
enum AiringSort { TIME ID }
enum CharacterRole { MAIN SUPPORTING BACKGROUND }
enum CharacterSort { ID ID_DESC ROLE ROLE_DESC SEARCH_MATCH FAVOURITES FAVOURITES_DESC RELEVANCE }

type PageInfo { total: Int perPage: Int currentPage: Int lastPage: Int hasNextPage: Boolean }
type FuzzyDate { year: Int month: Int day: Int }
type MediaTitle { romaji: String english: String native: String userPreferred: String }
type MediaCoverImage { extraLarge: String large: String medium: String color: String }
type MediaTag {
  id: Int! name: String! category: String rank: Int isGeneralSpoiler: Boolean isMediaSpoiler: Boolean isAdult: Boolean
}
type Studio { id: Int! name: String! isAnimationStudio: Boolean! }
type StudioEdge { isMain: Boolean! node: Studio }
type StudioConnection { edges: [StudioEdge] }
type AiringSchedule {
  id: Int! airingAt: Int! timeUntilAiring: Int! episode: Int! mediaId: Int! media: Media
}
type MediaEdge { relationType(version: Int): MediaRelation node: Media }
type MediaConnection { edges: [MediaEdge] }
type PersonName { full: String native: String }
type Picture { large: String medium: String }
type Staff { id: Int! name: PersonName languageV2: String image: Picture }
type Character { id: Int! name: PersonName image: Picture }
type CharacterEdge { id: Int role: CharacterRole node: Character voiceActors: [Staff] }
type CharacterConnection { edges: [CharacterEdge] pageInfo: PageInfo }

type Media {
  id: Int! idMal: Int type: MediaType format: MediaFormat status(version: Int): MediaStatus title: MediaTitle
  synonyms: [String] description(asHtml: Boolean): String startDate: FuzzyDate endDate: FuzzyDate
  season: MediaSeason seasonYear: Int episodes: Int duration: Int source(version: Int): MediaSource
  coverImage: MediaCoverImage genres: [String] tags: [MediaTag] averageScore: Int meanScore: Int popularity: Int
  isAdult: Boolean updatedAt: Int siteUrl: String studios: StudioConnection nextAiringEpisode: AiringSchedule
  relations: MediaConnection
  characters(page: Int, perPage: Int, sort: [CharacterSort], role: CharacterRole): CharacterConnection
}

type Page {
  pageInfo: PageInfo
  media(
    type: MediaType, id_in: [Int], search: String, startDate_greater: FuzzyDateInt, startDate_lesser: FuzzyDateInt,
    status_in: [MediaStatus], format_in: [MediaFormat], sort: [MediaSort]
  ): [Media]
  airingSchedules(airingAt_greater: Int, airingAt_lesser: Int, sort: [AiringSort]): [AiringSchedule]
}

type Query {
  Page(page: Int, perPage: Int): Page
  Media(id: Int, type: MediaType): Media
}
""")

MAX_COMPLEXITY = 500


def _fuzzy(value: Any) -> int:
    """``FuzzyDateInt``: 20200400 is April 2020.

    Raises:
        GraphQLError: no number, or 0, which is refused.
    """
    if type(value) is not int or value < 1:
        raise GraphQLError(f"FuzzyDateInt cannot represent {value!r}")
    return value


_scalar = SCHEMA.type_map["FuzzyDateInt"]
assert isinstance(_scalar, GraphQLScalarType)
_scalar.coerce_input_value = _fuzzy


def complexity(selection: Selection | None) -> int:
    """A point for each field, our guess: all that is known is the limit, and that some hundred aliases reach it."""
    return sum(1 + complexity(field.below) for field in selection or ())
