#include "messenger/profile/profiles.hpp"

#include <algorithm>

#include "base/log.hpp"
#include "messenger/errc.hpp"
#include "messenger/kinds.hpp"
#include "messenger/profile/repo.hpp"

namespace haechi::messenger {
namespace {

constexpr std::size_t kCachedMax = 20'000;
constexpr std::size_t kDisplaynameLengthMax = 256;  // in code points; it goes into every membership
constexpr std::size_t kAvatarBytesMax = 1000;
constexpr std::size_t kRoomsAtOnce = 64;
constexpr int kTellTriesMax = 20;
constexpr auto kTellingPatience = std::chrono::seconds(3);

void write_profile(journal::Tx& tx, std::string_view user, const json::object& fields) {
  const auto pos = tx.append(kind::kProfile, user, "{}");
  repo::put_profile(tx.sql(), user, fields, pos);
}

std::optional<std::string> text_of(const json::object& fields, std::string_view key) {
  const auto text = get_string(fields, key);
  return text ? std::optional(std::string(*text)) : std::nullopt;
}

bool put_or_erase(json::object& content, std::string_view key, const std::optional<std::string>& value) {
  if (get_string(content, key) == value && (value || !get(content, key))) return false;
  if (value) {
    content[key] = *value;
  } else {
    content.erase(key);
  }
  return true;
}

}  // namespace

// https://spec.matrix.org/v1.19/appendices/#common-namespaced-identifier-grammar
Result<> check_profile_key(std::string_view key) {
  if (key.size() > kProfileKeyBytesMax)
    return fail(Errc::KeyTooLarge, "A profile field's name may have 255 bytes at most");
  const auto lower = [](char c) { return c >= 'a' && c <= 'z'; };
  const auto allowed = [&](char c) { return lower(c) || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.'; };
  if (key.empty() || !lower(key.front()) || !std::ranges::all_of(key, allowed)) {
    return fail(Errc::InvalidParam, "A profile field's name has the form of a namespaced identifier");
  }
  return {};
}

Result<> check_profile_value(std::string_view key, const json::value& value) {
  const bool text = key == kDisplayname || key == kAvatarUrl || key == "m.tz";
  if (!text) return {};
  if (!value.is_string()) return fail(Errc::InvalidParam, std::string(key) + " must be a string");
  const auto s = sv(value.get_string());
  if (key == kDisplayname && utf8_length(s) > kDisplaynameLengthMax) {
    return fail(Errc::InvalidParam, "A display name may have 256 characters at most");
  }
  if (key == kAvatarUrl && s.size() > kAvatarBytesMax) {
    return fail(Errc::InvalidParam, "An avatar URL may have 1000 bytes at most");
  }
  return {};
}

Result<> check_profile_size(const json::object& fields) {
  if (to_text(fields).size() > kProfileBytesMax)
    return fail(Errc::ProfileTooLarge, "A profile may have 64 KiB at most");
  return {};
}

Profiles::Profiles(Loop& loop, store::Readers& readers, journal::Journal& journal, identity::Accounts& accounts,
                   Users& users, Writer& writer)
    : loop_(loop), readers_(readers), journal_(journal), accounts_(accounts), users_(users), writer_(writer) {}

identity::Hooks Profiles::hooks() {
  identity::Hooks hooks;
  hooks.user_created_tx = [](journal::Tx& tx, const identity::UserRecord& user) {
    json::object fields;
    fields[kDisplayname] = user.localpart();
    write_profile(tx, user.user_id, fields);
  };
  hooks.user_deactivated_tx = [](journal::Tx& tx, std::string_view user_id, identity::Erase erase) {
    if (erase == identity::Erase::Yes) write_profile(tx, user_id, {});
  };
  return hooks;
}

void Profiles::start() {
  journal_.subscribe([this](std::span<const journal::Entry> entries) {
    for (const auto& e : entries) {
      if (e.kind == kind::kProfile) forget(e.subject);
    }
  });
}

Task<void> Profiles::stop() {
  stopping_ = true;
  co_await scope_.join();
}

// -- the memory --

void Profiles::remember(std::string user_id, Fields fields) {
  forget(user_id);
  --changes_;
  recent_.push_front({user_id, std::move(fields)});
  cached_.emplace(std::move(user_id), recent_.begin());
  if (recent_.size() > kCachedMax) {
    cached_.erase(recent_.back().user_id);
    recent_.pop_back();
  }
}

void Profiles::forget(std::string_view user_id) {
  ++changes_;
  const auto it = cached_.find(user_id);
  if (it == cached_.end()) return;
  recent_.erase(it->second);
  cached_.erase(it);
}

Task<Result<Profiles::Fields>> Profiles::fields(std::string user_id) {
  if (const auto it = cached_.find(user_id); it != cached_.end()) {
    recent_.splice(recent_.begin(), recent_, it->second);
    co_return it->second->fields;
  }
  const auto before = changes_;
  auto read = co_await readers_.read(
      [&](store::Connection& c) -> Result<std::optional<json::object>> { return repo::profile(c, user_id); });
  CO_TRY(auto row, std::move(read));
  if (!row) {
    // An account without a row has an empty profile; without an account there is none.
    CO_TRY_DO(co_await accounts_.find(user_id));
    row.emplace();
  }
  auto fields = std::make_shared<const json::object>(*std::move(row));
  if (before == changes_) remember(std::move(user_id), fields);
  co_return fields;
}

Task<Result<Profile>> Profiles::get(std::string user_id) {
  auto all = co_await fields(std::move(user_id));
  if (!all) {
    if (all.error().is(identity::Errc::NotFound)) co_return Profile{};
    co_return std::unexpected(std::move(all.error()));
  }
  co_return Profile{text_of(**all, kDisplayname), text_of(**all, kAvatarUrl)};
}

// -- changes --

Task<Result<>> Profiles::set(std::string user_id, std::string key, std::optional<json::value> value) {
  auto done = co_await journal_.submit([user_id, key, value](journal::Tx& tx) -> Result<bool> {
    auto fields = repo::profile(tx.sql(), user_id).value_or(json::object());
    const auto* old = haechi::get(fields, key);
    if (value ? old && *old == *value : !old) return false;
    if (value) {
      fields[key] = *value;
      TRY_DO(check_profile_size(fields));
    } else {
      fields.erase(key);
    }
    write_profile(tx, user_id, fields);
    return true;
  });
  CO_TRY(const bool changed, std::move(done));
  if (changed && (key == kDisplayname || key == kAvatarUrl)) co_await tell_and_wait(std::move(user_id));
  co_return Result<>();
}

Task<void> Profiles::tell_and_wait(std::string user_id) {
  if (stopping_) co_return;
  Waiter done(loop_);
  const bool begin = !telling_.contains(user_id);
  auto& telling = telling_[user_id];
  telling.again = true;
  telling.waiting.push_back(&done);
  if (begin) scope_.spawn(tell_rooms(user_id));
  (void)co_await done.wait(loop_.now() + kTellingPatience);
  if (const auto it = telling_.find(user_id); it != telling_.end()) std::erase(it->second.waiting, &done);
}

Task<void> Profiles::tell_rooms(std::string user_id) {
  // References into an unordered_map hold while others come and go.
  auto& telling = telling_.at(user_id);
  while (std::exchange(telling.again, false) && !stopping_) {
    const auto profile = co_await get(user_id);
    const auto user = co_await users_.get(user_id);
    if (!profile || !user) {
      log::warn("rooms were not told of a profile", {{"user", user_id}});
      continue;
    }
    std::vector<RoomPtr> rooms;
    for (const auto& [num, ref] : (*user)->rooms) {
      if (ref.room) rooms.push_back(ref.room);
    }
    for (std::size_t at = 0; at < rooms.size() && !stopping_; at += kRoomsAtOnce) {
      Scope batch;
      for (std::size_t i = at; i < std::min(at + kRoomsAtOnce, rooms.size()); ++i) {
        batch.spawn(tell_room(rooms[i], user_id, *profile));
      }
      co_await batch.join();
    }
  }
  const auto waiting = std::move(telling.waiting);
  telling_.erase(user_id);
  for (auto* w : waiting) w->notify();
}

Task<void> Profiles::tell_room(RoomPtr room, std::string user_id, Profile profile) {
  Result<> told;
  for (int tries = 0; tries < kTellTriesMax; ++tries) {
    told = co_await tell_once(room, user_id, profile);
    if (told || !told.error().is(journal::Errc::Stale)) break;
  }
  if (!told)
    log::warn("a room was not told of a profile",
              {{"room", room->id}, {"user", user_id}, {"error", told.error().message}});
}

Task<Result<>> Profiles::tell_once(RoomPtr room, std::string user_id, Profile profile) {
  const auto now = room->head_state("m.room.member", user_id);
  if (!now || now->membership() != "join") co_return {};
  NewEvent event;
  event.sender = user_id;
  event.type = "m.room.member";
  event.state_key = user_id;
  event.content = now->object();
  const bool renamed = put_or_erase(event.content, kDisplayname, profile.displayname);
  const bool repainted = put_or_erase(event.content, kAvatarUrl, profile.avatar_url);
  if (!renamed && !repainted) co_return {};
  // It vouched for the way in; who is in needs no voucher, and whoever gave it may have lost the right.
  event.content.erase("join_authorised_via_users_server");
  event.made_from_head = true;
  CO_TRY_DO(co_await writer_.send(room, std::move(event)));
  co_return {};
}

}  // namespace haechi::messenger
