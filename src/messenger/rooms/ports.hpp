#pragma once
// What making rooms and moving in and out of them needs to know of others.

#include <optional>
#include <string>

#include "base/task.hpp"

namespace haechi::messenger {

struct Profile {
  std::optional<std::string> displayname;
  std::optional<std::string> avatar_url;
};

class ProfileReader {
 public:
  virtual ~ProfileReader() = default;
  /// An empty profile for a user that is not known here.
  virtual Task<Result<Profile>> get(std::string user_id) = 0;
};

}  // namespace haechi::messenger
