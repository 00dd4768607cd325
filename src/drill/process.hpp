#pragma once
// A site as the operating system sees it: one first process, and all that it
// started, whatever session or parent those moved to since (Patroni sends the
// postmaster into a session of its own). With namespaces they are found by their
// PID namespace, and die with its first process; without, by descent: the first
// process adopts what its children leave behind (site_init.hpp).

#include <sys/types.h>

#include <chrono>
#include <string>
#include <vector>

#include "base/result.hpp"

namespace haechi::drill {

/// Where the kernel lets us keep sites apart.
enum class Ground {
  Namespaces,  ///< network, PID and mount namespaces: every fault, exactly
  Loopback,    ///< one loopback address a site: no cut, no slow, no full disk
};

class SiteProcess {
 public:
  SiteProcess() = default;
  SiteProcess(SiteProcess&& other) noexcept;
  SiteProcess& operator=(SiteProcess&& other) noexcept;
  /// As end().
  ~SiteProcess();

  struct Options {
    Ground ground = Ground::Loopback;
    int network_fd = -1;  ///< namespace to start in
    std::string program;  ///< this program
    std::string spec;     ///< file that says what the site runs
    std::string log;      ///< what the first process says
  };
  /// Starts the site's first process. It dies with the calling thread, however that ends.
  static Result<SiteProcess> start(const Options& options);

  bool running() const { return first_ > 0; }
  pid_t first() const { return first_; }
  /// Everything that runs in the site, its first process included.
  std::vector<pid_t> all() const;

  /// SIGKILL to everything at once. Returns when nothing of it is left, or with Errc::Timeout.
  Result<> kill(std::chrono::milliseconds deadline = std::chrono::seconds(10));
  /// The same for good: without namespaces, what the machine would keep of it is freed first.
  Result<> end();
  /// SIGSTOP to everything, until a look finds nothing that still moves.
  Result<> freeze();
  void thaw();

 private:
  Ground ground_ = Ground::Loopback;
  pid_t first_ = -1;
};

/// Processes with an ancestor `root` (itself not included), by parent ids in /proc.
std::vector<pid_t> descendants_of(pid_t root);
/// Every process of the machine that we can see.
std::vector<pid_t> all_processes();
/// R, S, D, T, Z as /proc says; '?' when it is gone.
char process_state(pid_t pid);

/// Waits for a child; nothing when the deadline passed. The status as waitpid gives it.
std::optional<int> wait_for(pid_t pid, std::chrono::milliseconds deadline);

}  // namespace haechi::drill
