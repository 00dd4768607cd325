#pragma once
// What `haechi user` does with accounts: on the data folder itself while no node
// runs, through the running node otherwise. Blocking; for the command line.

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "app/config.hpp"
#include "base/result.hpp"

namespace haechi::app {

struct NewUser {
  std::string name;  ///< a localpart
  std::string password;
  bool admin = false;
};
struct ListedUser {
  std::string user_id;
  bool admin = false;
  bool guest = false;
  bool deactivated = false;
  bool locked = false;
  bool suspended = false;
};
/// A registration token for servers that register by token.
struct NewToken {
  std::optional<std::int64_t> uses_allowed;  ///< absent: any number
  std::optional<std::int64_t> expires_ms;    ///< wall clock; absent: never
};
enum class EraseProfile { Yes, No };

/// Errors carry one line for people.
class UserOffice {
 public:
  virtual ~UserOffice() = default;
  /// The new user's id.
  virtual Result<std::string> add(NewUser user) = 0;
  /// Logs the user out everywhere. `name`: a localpart or a user id.
  virtual Result<> set_password(const std::string& name, const std::string& password) = 0;
  virtual Result<> deactivate(const std::string& name, EraseProfile erase) = 0;
  /// The token to hand out.
  virtual Result<std::string> make_token(NewToken wanted) = 0;
  /// Everybody, in order of creation.
  virtual Result<> list(const std::function<void(const ListedUser&)>& show) = 0;
};

/// Errc::Conflict when a node holds the folder.
Result<std::unique_ptr<UserOffice>> open_store_office(const Config& config);
/// Errc::NotFound when no node left word how to reach it.
Result<std::unique_ptr<UserOffice>> open_node_office(const std::string& data);
/// Whichever of both there is.
Result<std::unique_ptr<UserOffice>> open_user_office(const Flags& flags);

}  // namespace haechi::app
