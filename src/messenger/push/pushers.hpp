#pragma once
// Where users want to be called: all pushers of this server, in memory, kept
// true by the change feed.

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/json.hpp"
#include "identity/types.hpp"
#include "journal/journal.hpp"
#include "messenger/room/room.hpp"
#include "store/store.hpp"

namespace haechi::messenger {

struct Pusher {
  std::string user_id;
  std::string app_id;
  std::string pushkey;
  std::string device_id;  ///< goes when this device is logged out
  std::string kind;       ///< "http"
  std::string app_display_name;
  std::string device_display_name;
  std::string profile_tag;
  std::string lang;
  json::object data;
  WallMs ts = 0;  ///< when it was last set

  std::string url() const { return std::string(get_string(data, "url").value_or("")); }
  bool event_id_only() const { return get_string(data, "format") == "event_id_only"; }
  /// What GET /pushers shows.
  json::object to_client() const;

  /// The body of POST /pushers/set with a kind. Errc::MissingParam, InvalidParam, BadJson.
  static Result<Pusher> parse(const json::object& body);
};

/// What the columns of `pushers` do not hold, as JSON; and back.
std::string stored_definition(const Pusher& p);
Pusher pusher_from_row(std::string user, std::string app_id, std::string pushkey, std::string device,
                       std::string_view definition);

/// Loop thread only.
class Pushers {
 public:
  explicit Pushers(journal::Journal& journal) : journal_(journal) {}

  /// Reads all pushers and follows the feed; before the journal starts.
  Result<> start(store::Database& db);
  /// Removes pushers with the device that made them. Before the journal starts.
  static identity::Hooks hooks();
  /// Called on the loop when a user's pushers have changed.
  std::function<void(std::string_view user)> on_changed;

  using Key = std::pair<std::string, std::string>;  ///< app id, pushkey
  using OfUser = std::map<Key, Pusher>;
  /// Null when the user has none.
  const OfUser* of(std::string_view user) const;
  const TextMap<OfUser>& all() const { return by_user_; }

  /// How many pushers one user may have: Errc::InvalidParam past it.
  static constexpr std::size_t kPerUserMax = 100;
  enum class Others { Keep, Remove };
  /// Adds or replaces; Others::Remove takes the same app id and pushkey from other users.
  Task<Result<>> set(Pusher pusher, Others others);
  Task<Result<>> remove(std::string user, std::string app_id, std::string pushkey);

 private:
  void follow(std::span<const journal::Entry> entries);
  journal::Journal& journal_;
  TextMap<OfUser> by_user_;
};

}  // namespace haechi::messenger
