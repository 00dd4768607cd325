#pragma once
// What the machine lets a drill do, and the drill's own folder. Nothing outlives
// the drill: what a killed one left behind is cleared by the next.

#include <array>
#include <string>

#include "base/result.hpp"
#include "drill/fd.hpp"
#include "drill/process.hpp"

namespace haechi::drill {

struct Standing {
  Ground ground = Ground::Loopback;
  std::array<std::uint32_t, 3> users{};  ///< one a site; 0: as ourselves
  bool volumes = false;                  ///< file systems of limited size can be mounted
  std::string text;                      ///< for people
};

/// Finds out what is possible and enters namespaces of our own for mounts (and, without root, for
/// users). Must be called before the process has a second thread. `wanted_loopback` asks for less
/// than is possible.
Result<Standing> take_ground(bool wanted_loopback);

/// A folder on a disk that is removed with its owner.
class DrillFolder {
 public:
  /// `parent` empty: /var/tmp, or /tmp where that is no disk either. Sweeps first.
  static Result<DrillFolder> create(const std::string& parent);
  DrillFolder(DrillFolder&& other) noexcept;
  DrillFolder& operator=(DrillFolder&&) = delete;
  ~DrillFolder();
  const std::string& path() const { return path_; }
  /// Leaves the folder where it is when we end; for looking at logs.
  void keep() { keep_ = true; }

 private:
  DrillFolder() = default;
  std::string path_;
  Fd lock_;  ///< held as long as we live: a folder with a free lock is nobody's
  bool keep_ = false;
};

/// Removes the folders under `parent` that killed drills left, after ending what still runs in them. Returns how many.
int sweep(const std::string& parent);

}  // namespace haechi::drill
