#include "messenger/history/search_query.hpp"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "base/text.hpp"
#include "messenger/errc.hpp"
#include "messenger/history/fold.hpp"

namespace haechi::messenger {
namespace {

constexpr std::size_t kWordsMax = 32;
constexpr std::size_t kLimitMax = 500;
constexpr std::size_t kContextMax = 100;

std::vector<std::string> words_of(std::string_view term) {
  std::vector<std::string> out;
  const auto text = folded(term);
  std::size_t at = 0;
  while (at < text.size() && out.size() < kWordsMax) {
    constexpr std::string_view kSpace = " \t\r\n";
    const auto from = text.find_first_not_of(kSpace, at);
    if (from == std::string::npos) break;
    at = std::min(text.find_first_of(kSpace, from), text.size());
    out.push_back(text.substr(from, at - from));
  }
  return out;
}

std::string needle_of(const std::string& word) {
  std::string quoted;
  append_json_string(quoted, word);
  return quoted.substr(1, quoted.size() - 2);
}

std::size_t size_or(const json::object& o, std::string_view key, std::size_t fallback) {
  const auto n = get_int(o, key);
  return n ? static_cast<std::size_t>(std::clamp<std::int64_t>(*n, 0, kContextMax)) : fallback;
}

Result<SearchQuery::Cursor> parse_cursor(std::string_view text) {
  const auto parts = split(text, '~');
  const auto before = parts.empty() ? std::nullopt : parse_int(parts[0]);
  const auto skip = parts.size() == 2 ? parse_int(parts[1]) : std::optional<std::int64_t>(0);
  if (parts.size() > 2 || !before || *before < 0 || !skip || *skip < 0) {
    return fail(Errc::InvalidParam, "next_batch is not a token of this server");
  }
  return SearchQuery::Cursor{*before, static_cast<std::size_t>(*skip)};
}

Result<> parse_keys(const json::object& criteria, SearchQuery& q) {
  const auto* keys = get(criteria, "keys");
  if (!keys || keys->is_null()) return {};
  if (!keys->is_array()) return fail(Errc::BadJson, "keys must be a list");
  q.body = q.name = q.topic = false;
  for (const auto& key : keys->get_array()) {
    if (!key.is_string()) return fail(Errc::BadJson, "keys must be a list of strings");
    const auto text = sv(key.get_string());
    if (text == "content.body") q.body = true;
    else if (text == "content.name") q.name = true;
    else if (text == "content.topic") q.topic = true;
    else return fail(Errc::InvalidParam, "keys are content.body, content.name and content.topic");
  }
  return {};
}

void parse_groups(const json::object& criteria, SearchQuery& q) {
  const auto* groupings = get_object(criteria, "groupings");
  const auto* by = groupings ? get_array(*groupings, "group_by") : nullptr;
  if (!by) return;
  for (const auto& group : *by) {
    const auto* o = group.if_object();
    const auto key = o ? get_string(*o, "key") : std::nullopt;
    if (key == "room_id") q.group_by_room = true;
    if (key == "sender") q.group_by_sender = true;
  }
}

}  // namespace

std::string cursor_text(const SearchQuery::Cursor& cursor) { return fmt::format("{}~{}", cursor.before, cursor.skip); }

Result<SearchQuery> SearchQuery::parse(const json::object& body, const std::optional<std::string>& next_batch) {
  const auto* categories = get_object(body, "search_categories");
  if (!categories) return fail(Errc::MissingParam, "Missing: search_categories");
  const auto* criteria = get_object(*categories, "room_events");
  if (!criteria) return fail(Errc::MissingParam, "Missing: search_categories.room_events");
  const auto* term = get(*criteria, "search_term");
  if (!term) return fail(Errc::MissingParam, "Missing: search_term");
  if (!term->is_string()) return fail(Errc::BadJson, "search_term must be a string");

  SearchQuery q;
  q.words = words_of(sv(term->get_string()));
  for (const auto& word : q.words) q.needles.push_back(needle_of(word));
  TRY_DO(parse_keys(*criteria, q));
  if (const auto* filter = get(*criteria, "filter"); filter && !filter->is_null()) {
    if (!filter->is_object()) return fail(Errc::BadJson, "filter must be an object");
    TRY(q.filter, parse_room_event_filter(filter->get_object()));
  }
  q.limit = std::clamp<std::size_t>(q.filter.limit.value_or(q.limit), 1, kLimitMax);
  if (const auto order = get_string(*criteria, "order_by")) {
    if (*order != "recent" && *order != "rank") return fail(Errc::InvalidParam, "order_by is recent or rank");
    q.by_rank = *order == "rank";
  }
  if (const auto* c = get_object(*criteria, "event_context")) {
    q.context = Context{size_or(*c, "before_limit", 5), size_or(*c, "after_limit", 5), get_flag(*c, "include_profile")};
  }
  q.include_state = get_flag(*criteria, "include_state");
  parse_groups(*criteria, q);
  if (next_batch && !next_batch->empty()) {
    TRY(q.cursor, parse_cursor(*next_batch));
  }
  return q;
}

bool SearchQuery::may_match(std::string_view pdu) const {
  const auto has = [&](std::string_view text) { return pdu.find(text) != std::string_view::npos; };
  if (!(body && has("\"type\":\"m.room.message\"")) && !(name && has("\"type\":\"m.room.name\"")) &&
      !(topic && has("\"type\":\"m.room.topic\""))) {
    return false;
  }
  const auto text = folded(pdu);
  return std::ranges::all_of(needles, [&](const std::string& n) { return text.find(n) != std::string::npos; });
}

std::optional<double> SearchQuery::rank(const Event& e) const {
  std::string_view key;
  if (body && e.type == "m.room.message") key = "body";
  else if (name && e.type == "m.room.name") key = "name";
  else if (topic && e.type == "m.room.topic") key = "topic";
  else return std::nullopt;
  const auto content = parse_json_object(e.content());
  const auto value = content ? get_string(*content, key) : std::nullopt;
  if (!value) return std::nullopt;
  const auto text = folded(*value);
  std::size_t hits = 0;
  for (const auto& word : words) {
    auto at = text.find(word);
    if (at == std::string::npos) return std::nullopt;
    for (; at != std::string::npos; at = text.find(word, at + word.size())) ++hits;
  }
  return static_cast<double>(hits) / std::sqrt(static_cast<double>(text.size() + 16));
}

}  // namespace haechi::messenger
