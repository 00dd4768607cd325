#pragma once
// What users keep at the server for themselves: account data and tags.
// https://spec.matrix.org/v1.19/client-server-api/#client-config

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/json.hpp"
#include "identity/types.hpp"
#include "journal/journal.hpp"
#include "messenger/account/ports.hpp"
#include "store/store.hpp"

namespace haechi::messenger {

/// Loop thread only. An empty `room_id` means the user's global data.
class AccountData final : public AccountDataReader {
 public:
  AccountData(store::Readers& readers, journal::Journal& journal) : readers_(readers), journal_(journal) {}

  /// The content as JSON text. Errc::NotFound.
  Task<Result<std::string>> get(std::string user, std::string room_id, std::string type);
  Task<Result<>> put(std::string user, std::string room_id, std::string type, json::object content);
  /// Errc::NotFound when there is nothing to delete (MSC3391).
  Task<Result<>> remove(std::string user, std::string room_id, std::string type);
  /// m.fully_read of a room; nothing happens when it is there already.
  Task<Result<>> set_fully_read(std::string user, std::string room_id, std::string event_id);

  /// The `tags` of a room; empty when there are none.
  Task<Result<json::object>> tags(std::string user, std::string room_id);
  Task<Result<>> set_tag(std::string user, std::string room_id, std::string tag, json::object content);
  Task<Result<>> remove_tag(std::string user, std::string room_id, std::string tag);

  Task<Result<std::vector<AccountDatum>>> changed(UserPtr user, Position after, Position upto) override;

  /// Deactivated users keep nothing.
  static identity::Hooks hooks();

 private:
  store::Readers& readers_;
  journal::Journal& journal_;
};

/// Account data that only the server writes: clients get 405.
bool is_server_controlled(std::string_view type);

}  // namespace haechi::messenger
