#include "messenger/directory/directory.hpp"

#include <algorithm>

#include "messenger/directory/repo.hpp"
#include "messenger/errc.hpp"
#include "messenger/event/event_errc.hpp"
#include "messenger/event/ids.hpp"
#include "messenger/kinds.hpp"

namespace haechi::messenger {
namespace {

namespace rows = repo::directory;
/// While other nodes change the same room.
constexpr int kTriesMax = 20;
using Row = std::optional<rows::AliasRow>;

/// Every alias that a canonical_alias content names.
Result<std::vector<std::string>> named_aliases(const json::object& content) {
  std::vector<std::string> out;
  const auto add = [&](const json::value& v) -> Result<> {
    if (!v.is_string() || !parse_room_alias(sv(v.get_string()))) return fail(Errc::InvalidParam, "Not a room alias");
    out.emplace_back(sv(v.get_string()));
    return {};
  };
  if (const auto* alias = get(content, "alias");
      alias && !alias->is_null() && !(alias->is_string() && alias->get_string().empty())) {
    TRY_DO(add(*alias));
  }
  if (const auto* more = get(content, "alt_aliases"); more && !more->is_null()) {
    if (!more->is_array()) return fail(Errc::InvalidParam, "alt_aliases must be an array");
    for (const auto& v : more->get_array()) TRY_DO(add(v));
  }
  return out;
}

/// `content` without `alias`; nothing when it does not name it.
std::optional<json::object> without_alias(const json::object& content, std::string_view alias) {
  json::object out = content;
  bool named = false;
  if (get_string(content, "alias") == alias) {
    out.erase("alias");
    named = true;
  }
  if (const auto* more = get_array(content, "alt_aliases")) {
    json::array rest;
    for (const auto& v : *more) {
      if (v.is_string() && sv(v.get_string()) == alias) named = true;
      else rest.push_back(v);
    }
    if (rest.empty()) out.erase("alt_aliases");
    else out["alt_aliases"] = std::move(rest);
  }
  if (!named) return std::nullopt;
  return out;
}

}  // namespace

Result<> Directory::start(store::Database& db) {
  try {
    auto c = db.connect(store::Access::ReadOnly);
    for (const auto num : rows::published_rooms(*c)) published_.insert(num);
  } catch (const store::SqlError& e) {
    return fail(haechi::Errc::Io, e.what());
  }
  journal_.subscribe([this](std::span<const journal::Entry> entries) { follow(entries); });
  rooms_.observe(*this);
  return {};
}

void Directory::follow(std::span<const journal::Entry> entries) {
  for (const auto& e : entries) {
    if (e.kind != kind::kDirectory) continue;
    const auto data = must_parse_object(e.data);
    const auto room = get_int(data, "room");
    const auto published = get_bool(data, "published");
    if (!room || !published) continue;
    if (*published) published_.insert(*room);
    else published_.erase(*room);
    shown_.erase(*room);
  }
}

void Directory::on_event(Room& room, const EventPtr& event) {
  if (event->is_state()) shown_.erase(room.num);
}

void Directory::on_redacted(Room& room, const EventPtr& redacted) {
  if (redacted->is_state()) shown_.erase(room.num);
}

Result<> Directory::check_local(std::string_view alias) const {
  const auto parsed = parse_room_alias(alias);
  if (!parsed) return fail(Errc::InvalidParam, "Not a room alias");
  if (parsed->server != server_name_) return fail(Errc::InvalidParam, "The alias belongs to another server");
  return {};
}

Task<Result<std::optional<std::string>>> Directory::lookup(std::string alias) {
  CO_TRY(auto row,
         co_await readers_.read([&](store::Connection& c) -> Result<Row> { return rows::find_alias(c, alias); }));
  if (!row) co_return std::nullopt;
  co_return std::move(row->room_id);
}

Task<Result<std::string>> Directory::resolve(std::string id_or_alias) {
  if (id_or_alias.starts_with('!')) {
    if (!parse_room_id(id_or_alias)) co_return fail(Errc::InvalidParam, "Not a room id");
    co_return id_or_alias;
  }
  if (!parse_room_alias(id_or_alias)) co_return fail(Errc::InvalidParam, "Neither a room id nor a room alias");
  CO_TRY(auto room_id, co_await lookup(std::move(id_or_alias)));
  if (!room_id) co_return fail(Errc::NotFound, "No room has that alias");
  co_return *std::move(room_id);
}

Result<> Directory::add_alias(journal::Tx& tx, std::string_view alias, std::int64_t room_num, std::string_view room_id,
                              std::string_view creator, WallMs now) {
  if (rows::find_alias(tx.sql(), alias)) return fail(Errc::RoomInUse, "The alias is already taken");
  rows::insert_alias(tx.sql(), alias, room_num, creator, now);
  tx.append(kind::kDirectory, alias, to_text(json::object{{"room_id", room_id}}));
  return {};
}

void Directory::move_aliases(journal::Tx& tx, std::int64_t from, std::int64_t to, std::string_view to_id) {
  rows::move_aliases(tx.sql(), from, to);
  tx.append(kind::kDirectory, to_id, to_text(json::object{{"aliases_of", from}}));
}

void Directory::set_published(journal::Tx& tx, std::int64_t room_num, std::string_view room_id, bool published) {
  rows::set_published(tx.sql(), room_num, published);
  tx.append(kind::kDirectory, room_id, to_text(json::object{{"room", room_num}, {"published", published}}));
}

Task<Result<>> Directory::put_alias(std::string alias, RoomPtr room, std::string creator) {
  auto done = co_await journal_.submit([alias, num = room->num, id = room->id, creator, now = clock_.wall_ms()](
                                           journal::Tx& tx) { return add_alias(tx, alias, num, id, creator, now); });
  if (!done && done.error().is(Errc::RoomInUse)) {
    // "409: A room alias with that name already exists", M_UNKNOWN here.
    co_return fail(haechi::Errc::Conflict, std::move(done.error().message));
  }
  co_return done;
}

Task<Result<>> Directory::remove_alias(std::string alias, Remover who) {
  CO_TRY(auto row,
         co_await readers_.read([&](store::Connection& c) -> Result<Row> { return rows::find_alias(c, alias); }));
  if (!row) co_return fail(Errc::NotFound, "No room has that alias");
  CO_TRY(auto room, co_await rooms_.get(row->room_id));
  const bool in_charge = room->membership(who.user) == Membership::Join &&
                         room->power_levels().can_send(who.user, "m.room.canonical_alias", true);
  if (row->creator != who.user && !in_charge && !who.admin) {
    co_return fail(Errc::Forbidden, "Only who made the alias, or who may name the room, can remove it");
  }
  CO_TRY_DO(co_await journal_.submit([alias](journal::Tx& tx) -> Result<> {
    if (!rows::delete_alias(tx.sql(), alias)) return fail(Errc::NotFound, "No room has that alias");
    tx.append(kind::kDirectory, alias, "{}");
    return {};
  }));
  // "Servers may choose to update the alt_aliases and alias in the m.room.canonical_alias state event when an alias is
  // removed."
  Result<EventPtr> sent;
  for (int tries = 0; tries < kTriesMax; ++tries) {
    const auto canonical = room->head_state("m.room.canonical_alias");
    auto rest = canonical ? without_alias(canonical->object(), alias) : std::nullopt;
    if (!rest) co_return {};
    NewEvent event{.sender = who.user,
                   .type = "m.room.canonical_alias",
                   .state_key = "",
                   .content = *std::move(rest),
                   .device = who.device,
                   .txn_id = {},
                   .redact_target = nullptr,
                   .ts = std::nullopt,
                   .made_from_head = true};
    sent = co_await writer_.send(room, std::move(event));
    if (sent || !sent.error().is(journal::Errc::Stale)) break;
  }
  // The alias is gone all the same when its maker may not touch the room's state.
  if (!sent && !sent.error().is(EventErrc::Forbidden)) co_return std::unexpected(std::move(sent.error()));
  co_return {};
}

Task<Result<std::vector<std::string>>> Directory::aliases_of(std::int64_t room_num) {
  co_return co_await readers_.read(
      [&](store::Connection& c) -> Result<std::vector<std::string>> { return rows::aliases_of(c, room_num); });
}

Task<Result<>> Directory::check_canonical(RoomPtr room, json::object content) {
  CO_TRY(auto wanted, named_aliases(content));
  // What the room calls itself already need not be proven again.
  if (const auto now = room->head_state("m.room.canonical_alias")) {
    if (const auto known = named_aliases(now->object())) {
      std::erase_if(wanted, [&](const std::string& a) { return std::ranges::find(*known, a) != known->end(); });
    }
  }
  for (const auto& alias : wanted) {
    CO_TRY(const auto room_id, co_await lookup(alias));
    if (room_id != room->id) co_return fail(Errc::BadAlias, alias + " does not point to this room");
  }
  co_return {};
}

Task<Result<>> Directory::publish(RoomPtr room, bool published) {
  if (this->published(room->num) == published) co_return {};
  co_return co_await journal_.submit([num = room->num, id = room->id, published](journal::Tx& tx) -> Result<> {
    set_published(tx, num, id, published);
    return {};
  });
}

Task<Result<json::object>> Directory::public_rooms(PublicRoomsQuery query) {
  std::vector<std::int64_t> missing;
  for (const auto num : published_) {
    if (!shown_.contains(num)) missing.push_back(num);
  }
  if (!missing.empty()) {
    CO_TRY(const auto rooms, co_await rooms_.get_all(std::move(missing)));
    for (const auto& room : rooms) shown_.insert_or_assign(room->num, public_room_of(*room));
  }
  std::vector<const PublicRoom*> found;
  for (const auto num : published_) {
    const auto it = shown_.find(num);
    // A room that everybody has left cannot be joined any more.
    if (it != shown_.end() && it->second.joined > 0 && matches(it->second, query)) found.push_back(&it->second);
  }
  co_return page_of(std::move(found), query);
}

}  // namespace haechi::messenger
