#pragma once
// Messages from device to device: kept until the recipient has them for sure.

#include <string>
#include <vector>

#include "base/json.hpp"
#include "messenger/keys/ports.hpp"

namespace haechi::messenger {

struct ToDeviceSend {
  std::string user_id;
  std::string device_id;
  std::string type;
  std::string txn_id;
  json::object messages;  ///< user -> device or "*" -> content
};

/// Loop thread only. stop() before the journal stops.
class ToDevice final : public ToDeviceReader {
 public:
  ToDevice(store::Readers& readers, journal::Journal& journal);

  /// Once only for the sender's device, type and transaction id. Unknown users and
  /// devices are passed over. Errc::BadJson, TooLarge.
  Task<Result<>> send(ToDeviceSend send);

  Task<Result<ToDevicePage>> read(UserPtr user, std::string device, Position after, Position upto,
                                  std::size_t limit) override;
  void delivered(UserPtr user, std::string device, Position upto) override;

  /// Drops the deletions that still wait (they are found again at the next sync) and joins the running one.
  Task<void> stop();

 private:
  struct Deletion {
    UserPtr user;
    std::string device;
    Position upto = 0;
  };
  Task<void> delete_waiting();

  store::Readers& readers_;
  journal::Journal& journal_;
  TextMap<Deletion> waiting_;  ///< by "user|device"
  TextMap<Position> trimmed_;  ///< by "user|device" with mail left: deleted up to here
  bool deleting_ = false;
  bool stopping_ = false;
  Scope scope_;
};

}  // namespace haechi::messenger
