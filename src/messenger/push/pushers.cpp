#include "messenger/push/pushers.hpp"

#include "base/text.hpp"
#include "messenger/errc.hpp"
#include "messenger/kinds.hpp"
#include "messenger/push/pushers_repo.hpp"

namespace haechi::messenger {
namespace {

constexpr std::size_t kAppIdBytesMax = 64;
constexpr std::size_t kPushkeyBytesMax = 512;
constexpr std::size_t kTextBytesMax = 1024;
constexpr std::size_t kDataBytesMax = 8192;
constexpr std::string_view kNotifyPath = "/_matrix/push/v1/notify";

Result<std::string> text_member(const json::object& body, std::string_view key, std::size_t max) {
  const auto* v = get(body, key);
  if (!v) return fail(Errc::MissingParam, "Missing: " + std::string(key));
  if (!v->is_string()) return fail(Errc::InvalidParam, std::string(key) + " must be a string");
  if (v->get_string().size() > max) return fail(Errc::InvalidParam, std::string(key) + " is too long");
  return std::string(sv(v->get_string()));
}

Result<> check_url(std::string_view url) {
  std::string_view rest = url;
  if (rest.starts_with("https://")) rest.remove_prefix(8);
  else if (rest.starts_with("http://")) rest.remove_prefix(7);
  else return fail(Errc::InvalidParam, "The url of a pusher must be an HTTP URL");
  const auto slash = rest.find('/');
  const auto end = rest.find_first_of("?#");
  if (slash == 0 || slash == std::string_view::npos || rest.substr(slash, end - slash) != kNotifyPath) {
    return fail(Errc::InvalidParam, "The path of a pusher's url must be " + std::string(kNotifyPath));
  }
  return {};
}

// -- what the feed says ----------------------------------------------------------

std::string feed_set(const Pusher& p) {
  return to_text(json::object{{"app_id", p.app_id},
                              {"pushkey", p.pushkey},
                              {"device", p.device_id},
                              {"definition", must_parse_object(stored_definition(p))}});
}
std::string feed_removed(std::string_view app_id, std::string_view pushkey) {
  return to_text(json::object{{"app_id", app_id}, {"pushkey", pushkey}});
}
std::string feed_device_gone(std::string_view device) { return to_text(json::object{{"device_gone", device}}); }

}  // namespace

json::object Pusher::to_client() const {
  return {{"pushkey", pushkey},
          {"kind", kind},
          {"app_id", app_id},
          {"app_display_name", app_display_name},
          {"device_display_name", device_display_name},
          {"profile_tag", profile_tag},
          {"lang", lang},
          {"data", data}};
}

Result<Pusher> Pusher::parse(const json::object& body) {
  Pusher p;
  TRY(p.kind, text_member(body, "kind", kTextBytesMax));
  TRY(p.app_id, text_member(body, "app_id", kAppIdBytesMax));
  TRY(p.pushkey, text_member(body, "pushkey", kPushkeyBytesMax));
  TRY(p.app_display_name, text_member(body, "app_display_name", kTextBytesMax));
  TRY(p.device_display_name, text_member(body, "device_display_name", kTextBytesMax));
  TRY(p.lang, text_member(body, "lang", kTextBytesMax));
  if (const auto* tag = get(body, "profile_tag"); tag && !tag->is_null()) {
    TRY(p.profile_tag, text_member(body, "profile_tag", kTextBytesMax));
  }
  const auto* data = get(body, "data");
  if (!data) return fail(Errc::MissingParam, "Missing: data");
  if (!data->is_object()) return fail(Errc::InvalidParam, "data must be an object");
  p.data = data->get_object();
  if (to_text(p.data).size() > kDataBytesMax) return fail(Errc::InvalidParam, "data is too large");
  // No address can be proven to be the user's here, so none may be written to.
  if (p.kind == "email") return fail(Errc::ThreepidNotFound, "This e-mail address does not belong to your account");
  if (p.kind != "http") return fail(Errc::InvalidParam, "Unknown kind of pusher: " + p.kind);
  TRY(const auto url, text_member(p.data, "url", 2 * kTextBytesMax));
  TRY_DO(check_url(url));
  return p;
}

std::string stored_definition(const Pusher& p) {
  return to_text(json::object{{"kind", p.kind},
                              {"app_display_name", p.app_display_name},
                              {"device_display_name", p.device_display_name},
                              {"profile_tag", p.profile_tag},
                              {"lang", p.lang},
                              {"data", p.data},
                              {"ts", p.ts}});
}

Pusher pusher_from_row(std::string user, std::string app_id, std::string pushkey, std::string device,
                       std::string_view definition) {
  const auto o = must_parse_object(definition);
  const auto text = [&](std::string_view key) { return std::string(get_string(o, key).value_or("")); };
  Pusher p{.user_id = std::move(user),
           .app_id = std::move(app_id),
           .pushkey = std::move(pushkey),
           .device_id = std::move(device),
           .kind = text("kind"),
           .app_display_name = text("app_display_name"),
           .device_display_name = text("device_display_name"),
           .profile_tag = text("profile_tag"),
           .lang = text("lang"),
           .data = {},
           .ts = get_int(o, "ts").value_or(0)};
  if (const auto* data = get_object(o, "data")) p.data = *data;
  return p;
}

Result<> Pushers::start(store::Database& db) {
  try {
    auto c = db.connect(store::Access::ReadOnly);
    repo::each_pusher(*c, [&](Pusher p) {
      auto& mine = by_user_[p.user_id];
      Key key{p.app_id, p.pushkey};
      mine.insert_or_assign(std::move(key), std::move(p));
    });
  } catch (const store::SqlError& e) {
    return fail(haechi::Errc::Io, e.what());
  }
  journal_.subscribe([this](std::span<const journal::Entry> entries) { follow(entries); });
  return {};
}

identity::Hooks Pushers::hooks() {
  identity::Hooks h;
  h.device_removed_tx = [](journal::Tx& tx, std::string_view user, std::string_view device) {
    if (repo::delete_pushers_of_device(tx.sql(), user, device) > 0) {
      tx.append(kind::kPusher, user, feed_device_gone(device));
    }
  };
  return h;
}

const Pushers::OfUser* Pushers::of(std::string_view user) const {
  const auto it = by_user_.find(user);
  return it == by_user_.end() ? nullptr : &it->second;
}

Task<Result<>> Pushers::set(Pusher pusher, Others others) {
  co_return co_await journal_.submit([=](journal::Tx& tx) -> Result<> {
    auto& c = tx.sql();
    bool known = false;
    for (const auto& owner : repo::pusher_owners(c, pusher.app_id, pusher.pushkey)) {
      if (owner == pusher.user_id) {
        known = true;
      } else if (others == Others::Remove) {
        repo::delete_pusher(c, owner, pusher.app_id, pusher.pushkey);
        tx.append(kind::kPusher, owner, feed_removed(pusher.app_id, pusher.pushkey));
      }
    }
    if (!known && static_cast<std::size_t>(repo::count_pushers(c, pusher.user_id)) >= kPerUserMax) {
      return fail(Errc::InvalidParam, "There are too many pushers");
    }
    repo::put_pusher(c, pusher, tx.append(kind::kPusher, pusher.user_id, feed_set(pusher)));
    return {};
  });
}

Task<Result<>> Pushers::remove(std::string user, std::string app_id, std::string pushkey) {
  co_return co_await journal_.submit([=](journal::Tx& tx) -> Result<> {
    if (repo::delete_pusher(tx.sql(), user, app_id, pushkey) > 0) {
      tx.append(kind::kPusher, user, feed_removed(app_id, pushkey));
    }
    return {};
  });
}

void Pushers::follow(std::span<const journal::Entry> entries) {
  for (const auto& e : entries) {
    if (e.kind != kind::kPusher) continue;
    const auto o = must_parse_object(e.data);
    auto& mine = by_user_[e.subject];
    if (const auto device = get_string(o, "device_gone")) {
      std::erase_if(mine, [&](const auto& p) { return p.second.device_id == *device; });
    } else {
      Key key{get_string(o, "app_id").value_or(""), get_string(o, "pushkey").value_or("")};
      if (const auto* definition = get_object(o, "definition")) {
        auto p = pusher_from_row(e.subject, key.first, key.second, std::string(get_string(o, "device").value_or("")),
                                 to_text(*definition));
        mine.insert_or_assign(std::move(key), std::move(p));
      } else {
        mine.erase(key);
      }
    }
    if (mine.empty()) by_user_.erase(e.subject);
    if (on_changed) on_changed(e.subject);
  }
}

}  // namespace haechi::messenger
