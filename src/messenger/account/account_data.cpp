#include "messenger/account/account_data.hpp"

#include "base/text.hpp"
#include "messenger/account/repo.hpp"
#include "messenger/errc.hpp"
#include "messenger/kinds.hpp"

namespace haechi::messenger {
namespace {

constexpr std::size_t kTypeBytesMax = 255;
constexpr std::size_t kTagBytesMax = 255;
constexpr std::string_view kTagType = "m.tag";

/// Commit thread: one datum and what the feed says of it.
void write(journal::Tx& tx, std::string_view user, std::string_view room, std::string_view type,
           const std::optional<std::string>& content) {
  std::string data = "{\"room\":";
  append_json_string(data, room);
  data += ",\"type\":";
  append_json_string(data, type);
  data += ",\"content\":" + content.value_or("{}") + '}';
  const auto pos = tx.append(kind::kAccountData, user, data);
  repo::put_account_datum(tx.sql(), user, room, type, content, pos);
}

/// The stored m.tag content; its `tags` is an object for sure.
json::object tag_content(store::Connection& c, std::string_view user, std::string_view room) {
  json::object content;
  if (const auto stored = repo::account_datum(c, user, room, kTagType)) content = must_parse_object(*stored);
  if (!get_object(content, "tags")) content["tags"] = json::object{};
  return content;
}

}  // namespace

bool is_server_controlled(std::string_view type) { return type == "m.fully_read" || type == "m.push_rules"; }

Task<Result<std::string>> AccountData::get(std::string user, std::string room_id, std::string type) {
  auto found = co_await readers_.read([&](store::Connection& c) -> Result<std::optional<std::string>> {
    return repo::account_datum(c, user, room_id, type);
  });
  if (!found) co_return std::unexpected(std::move(found.error()));
  if (!*found) co_return fail(Errc::NotFound, "There is no account data of this type");
  co_return **std::move(found);
}

Task<Result<>> AccountData::put(std::string user, std::string room_id, std::string type, json::object content) {
  if (type.size() > kTypeBytesMax) co_return fail(Errc::InvalidParam, "The type is too long");
  auto text = to_text(content);
  co_return co_await journal_.submit([=](journal::Tx& tx) -> Result<> {
    write(tx, user, room_id, type, text);
    return {};
  });
}

Task<Result<>> AccountData::remove(std::string user, std::string room_id, std::string type) {
  co_return co_await journal_.submit([=](journal::Tx& tx) -> Result<> {
    if (!repo::account_datum(tx.sql(), user, room_id, type)) {
      return fail(Errc::NotFound, "There is no account data of this type");
    }
    write(tx, user, room_id, type, std::nullopt);
    return {};
  });
}

Task<Result<>> AccountData::set_fully_read(std::string user, std::string room_id, std::string event_id) {
  auto text = to_text(json::object{{"event_id", event_id}});
  co_return co_await journal_.submit([=](journal::Tx& tx) -> Result<> {
    if (repo::account_datum(tx.sql(), user, room_id, "m.fully_read") == text) return {};
    write(tx, user, room_id, "m.fully_read", text);
    return {};
  });
}

Task<Result<json::object>> AccountData::tags(std::string user, std::string room_id) {
  co_return co_await readers_.read([&](store::Connection& c) -> Result<json::object> {
    return tag_content(c, user, room_id).at("tags").get_object();
  });
}

Task<Result<>> AccountData::set_tag(std::string user, std::string room_id, std::string tag, json::object content) {
  if (tag.size() > kTagBytesMax) co_return fail(Errc::InvalidParam, "The name of a tag has at most 255 bytes");
  if (const auto* order = haechi::get(content, "order"); order && !order->is_number()) {
    co_return fail(Errc::InvalidParam, "The order of a tag must be a number");
  }
  co_return co_await journal_.submit([=](journal::Tx& tx) -> Result<> {
    auto all = tag_content(tx.sql(), user, room_id);
    all.at("tags").get_object()[tag] = content;
    write(tx, user, room_id, kTagType, to_text(all));
    return {};
  });
}

Task<Result<>> AccountData::remove_tag(std::string user, std::string room_id, std::string tag) {
  co_return co_await journal_.submit([=](journal::Tx& tx) -> Result<> {
    auto all = tag_content(tx.sql(), user, room_id);
    if (all.at("tags").get_object().erase(tag) > 0) write(tx, user, room_id, kTagType, to_text(all));
    return {};
  });
}

Task<Result<std::vector<AccountDatum>>> AccountData::changed(UserPtr user, Position after, Position upto) {
  std::vector<AccountDatum> out;
  if (after > 0 && user->account_data_pos <= after) co_return out;
  Position rules_pos = 0;
  auto stored = co_await readers_.read([&](store::Connection& c) -> Result<std::vector<repo::StoredDatum>> {
    rules_pos = repo::push_rules_pos(c, user->id);
    return repo::account_data_between(c, user->id, after, upto);
  });
  if (!stored) co_return std::unexpected(std::move(stored.error()));
  for (auto& s : *stored) {
    if (after > 0 || !s.deleted) out.push_back(std::move(s.datum));
  }
  // A first sync always has the rules: they are there without being stored.
  if (after == 0 || (rules_pos > after && rules_pos <= upto)) {
    out.push_back({.room_id = {}, .type = "m.push_rules", .content = to_text(user->rules.to_client(user->id))});
  }
  co_return out;
}

identity::Hooks AccountData::hooks() {
  identity::Hooks h;
  h.user_deactivated_tx = [](journal::Tx& tx, std::string_view user, identity::Erase) {
    repo::delete_account_data(tx.sql(), user);
  };
  return h;
}

}  // namespace haechi::messenger
