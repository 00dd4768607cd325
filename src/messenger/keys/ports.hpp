#pragma once
// What sync needs of end-to-end encryption: the devices' mail, whose device
// lists moved, how many one-time keys are left.

#include <string>
#include <vector>

#include "base/task.hpp"
#include "messenger/user/users.hpp"

namespace haechi::messenger {

struct ToDevicePage {
  std::vector<std::string> events;  ///< JSON texts {"type","sender","content"}, oldest first
  Position upto = 0;                ///< all messages up to here are in the page or were before; the token to give
};

class ToDeviceReader {
 public:
  virtual ~ToDeviceReader() = default;
  /// Messages with after < pos <= upto, at most `limit`. No SQL when the user's
  /// stream (UserState::to_device_pos) has not moved past `after`.
  virtual Task<Result<ToDevicePage>> read(UserPtr user, std::string device, Position after, Position upto,
                                          std::size_t limit) = 0;
  /// The device came back with a token at `upto`: what it was given before may go. Does not wait for the deletion.
  virtual void delivered(UserPtr user, std::string device, Position upto) = 0;
};

struct DeviceListDelta {
  std::vector<std::string> changed;
  std::vector<std::string> left;
  bool empty() const { return changed.empty() && left.empty(); }
};

class DeviceListReader {
 public:
  virtual ~DeviceListReader() = default;
  /// Whose devices changed, who began and who ended to share an encrypted room
  /// with the user, with after < pos <= upto. The same answer as GET /keys/changes.
  /// No SQL when nothing moved.
  virtual Task<Result<DeviceListDelta>> between(UserPtr user, Position after, Position upto) = 0;
};

class KeyCountReader {
 public:
  virtual ~KeyCountReader() = default;
  struct KeyCounts {
    std::string one_time;         ///< JSON object: algorithm -> count; signed_curve25519 always there
    std::string unused_fallback;  ///< JSON array of algorithms
  };
  virtual Task<Result<KeyCounts>> key_counts(UserPtr user, std::string device) = 0;
};

}  // namespace haechi::messenger
