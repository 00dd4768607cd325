#include "messenger/sync/filters.hpp"

#include "messenger/errc.hpp"
#include "messenger/event/canonical.hpp"

namespace haechi::messenger {
namespace {

using store::Row;
using store::Sql;
constexpr std::size_t kDefinitionBytesMax = 65'536;
constexpr std::int64_t kPerUserMax = 10'000;

constexpr Sql kFind{"SELECT filter_id FROM filters WHERE user_id = $1 AND definition = $2"};
constexpr Sql kLast{"SELECT MAX(filter_id) FROM filters WHERE user_id = $1"};
constexpr Sql kInsert{"INSERT INTO filters (user_id, filter_id, definition) VALUES ($1, $2, $3)"};
constexpr Sql kGet{"SELECT definition FROM filters WHERE user_id = $1 AND filter_id = $2"};

}  // namespace

Task<Result<std::string>> Filters::define(std::string user, json::object definition) {
  CO_TRY_DO(Filter::parse(definition));
  auto text = canonical(definition);
  if (!text) co_return fail(Errc::BadJson, text.error().message);
  if (text->size() > kDefinitionBytesMax) co_return fail(Errc::TooLarge, "The filter is too large");
  co_return co_await journal_.submit([user, text = *std::move(text)](journal::Tx& tx) -> Result<std::string> {
    auto& c = tx.sql();
    if (const auto known = c.one_i64(kFind, user, text)) return std::to_string(*known);
    const auto id = c.one_i64(kLast, user).value_or(-1) + 1;
    if (id >= kPerUserMax) return fail(Errc::TooLarge, "You have too many filters");
    c.put(kInsert, user, id, text);
    return std::to_string(id);
  });
}

Task<Result<std::string>> Filters::definition(std::string user, std::string id) {
  const auto num = parse_int(id);
  if (!num) co_return fail(Errc::NotFound, "No such filter");
  auto found = co_await readers_.read([&](store::Connection& c) -> Result<std::optional<std::string>> {
    return c.one(kGet, [](const Row& r) { return r.str(0); }, user, *num);
  });
  if (!found) co_return std::unexpected(std::move(found.error()));
  if (!*found) co_return fail(Errc::NotFound, "No such filter");
  co_return **std::move(found);
}

void Filters::remember(std::string key, std::shared_ptr<const Filter> filter) {
  if (parsed_.contains(key)) return;
  recent_.emplace_front(key, std::move(filter));
  parsed_.emplace(std::move(key), recent_.begin());
  if (recent_.size() > kParsedMax) {
    parsed_.erase(recent_.back().first);
    recent_.pop_back();
  }
}

std::shared_ptr<const Filter> Filters::known(const std::string& key) {
  const auto it = parsed_.find(key);
  if (it == parsed_.end()) return nullptr;
  recent_.splice(recent_.begin(), recent_, it->second);
  return it->second->second;
}

Task<Result<std::shared_ptr<const Filter>>> Filters::of_query(std::string user, std::string text) {
  if (text.empty()) co_return everything_;
  const bool is_inline = text.front() == '{';
  const std::string key = is_inline ? text : user + '/' + text;
  if (auto filter = known(key)) co_return filter;
  if (!is_inline) {
    auto stored = co_await definition(user, text);
    if (!stored) co_return fail(Errc::InvalidParam, "No such filter: " + text);
    text = *std::move(stored);
  }
  // The users of one client all define the same filter: its parsed form, a good kilobyte, is shared.
  auto filter = known(text);
  if (!filter) {
    auto parsed = parse_json_object(text);
    if (!parsed) co_return fail(Errc::NotJson, "The filter is " + parsed.error().message);
    CO_TRY(auto made, Filter::parse(*parsed));
    filter = std::make_shared<const Filter>(std::move(made));
    remember(text, filter);
  }
  remember(key, filter);
  co_return filter;
}

}  // namespace haechi::messenger
