#include "drill/ground.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/capability.h>
#include <linux/magic.h>
#include <pwd.h>
#include <sched.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "drill/network.hpp"
#include "drill/run.hpp"

namespace haechi::drill {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

constexpr std::string_view kPrefix = "haechi-drill-";
constexpr const char* kLock = "/lock";
constexpr off_t kFreeBytesMin = off_t{6} << 30;

bool write_to(const char* path, const std::string& text) {
  const Fd file(open(path, O_WRONLY | O_CLOEXEC));
  return file && write(file.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size());
}

/// Capabilities in a user namespace of our own, kept across exec, under the user id that we have:
/// PostgreSQL refuses to be root.
bool enter_user_namespace() {
  const auto user = getuid();
  const auto group = getgid();
  if (unshare(CLONE_NEWUSER) != 0) return false;
  (void)write_to("/proc/self/setgroups", "deny");
  if (!write_to("/proc/self/uid_map", fmt::format("{0} {0} 1", user)) ||
      !write_to("/proc/self/gid_map", fmt::format("{0} {0} 1", group))) {
    return false;
  }
  __user_cap_header_struct head{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  __user_cap_data_struct data[2]{};
  if (syscall(SYS_capget, &head, data) != 0) return false;
  for (auto& d : data) d.inheritable = d.permitted;
  if (syscall(SYS_capset, &head, data) != 0) return false;
  for (const int cap : {CAP_SYS_ADMIN, CAP_NET_ADMIN, CAP_SYS_PTRACE, CAP_KILL}) {
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0) != 0) return false;
  }
  return true;
}

bool own_mounts() {
  return unshare(CLONE_NEWNS) == 0 && mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0;
}

/// What a site needs, tried once in a child that is thrown away.
bool namespaces_work(bool root) {
  const pid_t child = fork();
  if (child == 0) {
    if (!root && !enter_user_namespace()) _exit(1);
    if (!own_mounts()) _exit(2);
    if (!Network::create({"10.83.1.1", "10.83.2.1"})) _exit(3);
    if (unshare(CLONE_NEWPID) != 0) _exit(4);
    const pid_t first = fork();
    if (first == 0) _exit(mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr) == 0 ? 0 : 5);
    int status = 0;
    waitpid(first, &status, 0);
    _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 6);
  }
  const auto status = wait_for(child, 10s);
  return status && WIFEXITED(*status) && WEXITSTATUS(*status) == 0;
}

std::uint32_t free_users() {
  for (std::uint32_t first = 58'310;; first += 10) {
    if (!getpwuid(first) && !getpwuid(first + 1) && !getpwuid(first + 2)) return first;
  }
}

bool in_memory(const std::string& folder) {
  struct statfs s{};
  return statfs(folder.c_str(), &s) == 0 && (s.f_type == TMPFS_MAGIC || s.f_type == RAMFS_MAGIC);
}

/// Ends every process that stands in `folder`.
void end_processes_in(const std::string& folder) {
  for (int round = 0; round < 50; ++round) {
    bool found = false;
    for (const pid_t pid : all_processes()) {
      if (pid == getpid()) continue;
      std::error_code gone;
      const auto where = fs::read_symlink(fmt::format("/proc/{}/cwd", pid), gone);
      if (gone || !(where.string() + "/").starts_with(folder + "/")) continue;
      found = true;
      kill(pid, SIGKILL);
    }
    if (!found) return;
    std::this_thread::sleep_for(20ms);
  }
}

}  // namespace

Result<Standing> take_ground(bool wanted_loopback) {
  // What a site leaves behind comes to us.
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  const bool root = geteuid() == 0;
  Standing standing;
  if (!wanted_loopback && namespaces_work(root)) {
    if ((!root && !enter_user_namespace()) || !own_mounts()) {
      return fail(Errc::Io, std::string("namespaces: ") + std::strerror(errno));
    }
    standing.ground = Ground::Namespaces;
    standing.volumes = root && access("/dev/loop-control", R_OK | W_OK) == 0;
    if (root) {
      const auto first = free_users();
      standing.users = {first, first + 1, first + 2};
    }
    standing.text = root ? "a network, process and mount namespace for each site"
                         : "a network, process and mount namespace for each site, without root";
    return standing;
  }
  standing.text = "a loopback address for each site (no right to make namespaces)";
  if (wanted_loopback) standing.text = "a loopback address for each site";
  if (root) {
    const auto* postgres = getpwnam("postgres");
    if (!postgres) return fail(Errc::NotFound, "there is no user postgres, and PostgreSQL refuses to be root");
    standing.users.fill(postgres->pw_uid);
  }
  return standing;
}

int sweep(const std::string& parent) {
  int swept = 0;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(parent, error)) {
    const std::string path = entry.path();
    if (!entry.path().filename().string().starts_with(kPrefix)) continue;
    const Fd lock(open((path + kLock).c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW));
    // Without a lock it is being made this moment, or is not ours.
    if (!lock || flock(lock.get(), LOCK_EX | LOCK_NB) != 0) continue;
    end_processes_in(path);
    std::error_code ignored;
    fs::remove_all(path, ignored);
    ++swept;
  }
  return swept;
}

Result<DrillFolder> DrillFolder::create(const std::string& parent) {
  std::string where = parent;
  if (where.empty()) where = in_memory("/var/tmp") && !in_memory("/tmp") ? "/tmp" : "/var/tmp";
  sweep(where);
  std::string path = where + "/" + std::string(kPrefix) + "XXXXXX";
  if (!mkdtemp(path.data())) return fail(Errc::Io, where + ": " + std::strerror(errno));
  DrillFolder folder;
  folder.path_ = path;
  folder.lock_ = Fd(open((path + kLock).c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!folder.lock_ || flock(folder.lock_.get(), LOCK_EX | LOCK_NB) != 0 || chmod(path.c_str(), 0755) != 0) {
    return fail(Errc::Io, path + ": " + std::strerror(errno));
  }
  std::error_code error;
  const auto space = fs::space(path, error);
  if (!error && space.available < static_cast<std::uintmax_t>(kFreeBytesMin)) {
    return fail(Errc::Io, fmt::format("{}: {} MiB are free, three sites need {} MiB; --folder names another place",
                                      where, space.available >> 20, kFreeBytesMin >> 20));
  }
  return folder;
}

DrillFolder::DrillFolder(DrillFolder&& other) noexcept
    : path_(std::exchange(other.path_, {})), lock_(std::move(other.lock_)), keep_(other.keep_) {}

DrillFolder::~DrillFolder() {
  if (path_.empty() || keep_) return;
  end_processes_in(path_);
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

}  // namespace haechi::drill
