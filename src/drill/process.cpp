#include "drill/process.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <csignal>
#include <cstring>
#include <fstream>

#include "base/text.hpp"
#include "drill/fd.hpp"
#include "drill/run.hpp"

namespace haechi::drill {
namespace {

using namespace std::chrono_literals;

/// Everything after the name in /proc/PID/stat: "S 1 ...". Empty when the process is gone.
std::string stat_of(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string line;
  std::getline(file, line);
  const auto name_ends = line.rfind(')');
  return name_ends == std::string::npos || name_ends + 2 > line.size() ? "" : line.substr(name_ends + 2);
}

pid_t parent_of(pid_t pid) {
  const auto stat = stat_of(pid);
  const auto fields = split(stat, ' ');
  return fields.size() < 2 ? -1 : static_cast<pid_t>(parse_int(fields[1]).value_or(-1));
}

ino_t pid_namespace_of(pid_t pid) {
  struct stat s{};
  return stat(("/proc/" + std::to_string(pid) + "/ns/pid").c_str(), &s) == 0 ? s.st_ino : 0;
}

bool dead(char state) { return state == '?' || state == 'Z' || state == 'X'; }

}  // namespace

char process_state(pid_t pid) {
  const auto stat = stat_of(pid);
  return stat.empty() ? '?' : stat[0];
}

std::vector<pid_t> all_processes() {
  std::vector<pid_t> out;
  const std::unique_ptr<DIR, int (*)(DIR*)> dir(opendir("/proc"), closedir);
  if (!dir) return out;
  while (const auto* entry = readdir(dir.get())) {
    if (const auto pid = parse_int(entry->d_name)) out.push_back(static_cast<pid_t>(*pid));
  }
  return out;
}

std::vector<pid_t> descendants_of(pid_t root) {
  std::unordered_map<pid_t, std::vector<pid_t>> children;
  for (const pid_t pid : all_processes()) children[parent_of(pid)].push_back(pid);
  std::vector<pid_t> out = children[root];
  for (std::size_t i = 0; i < out.size(); ++i) {
    const auto& more = children[out[i]];
    out.insert(out.end(), more.begin(), more.end());
  }
  return out;
}

std::optional<int> wait_for(pid_t pid, std::chrono::milliseconds deadline) {
  const Nanos due = now_ns() + std::chrono::nanoseconds(deadline).count();
  while (true) {
    int status = 0;
    const pid_t got = waitpid(pid, &status, WNOHANG);
    if (got == pid || (got < 0 && errno == ECHILD)) return status;
    if (now_ns() > due) return std::nullopt;
    std::this_thread::sleep_for(2ms);
  }
}

SiteProcess::SiteProcess(SiteProcess&& other) noexcept
    : ground_(other.ground_), first_(std::exchange(other.first_, -1)) {}

SiteProcess& SiteProcess::operator=(SiteProcess&& other) noexcept {
  std::swap(ground_, other.ground_);
  std::swap(first_, other.first_);
  return *this;
}

SiteProcess::~SiteProcess() { (void)end(); }

Result<> SiteProcess::end() {
  if (running() && ground_ == Ground::Loopback) {
    thaw();
    ::kill(first_, SIGTERM);
    if (wait_for(first_, 5s)) first_ = -1;
  }
  return kill();
}

Result<SiteProcess> SiteProcess::start(const Options& options) {
  const Fd log(open(options.log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644));
  if (!log) return fail(Errc::Io, options.log + ": " + std::strerror(errno));
  const Fd null(open("/dev/null", O_RDONLY | O_CLOEXEC));
  const bool apart = options.ground == Ground::Namespaces;
  const char* const argv[] = {"haechi", "drill-site", options.spec.c_str(), nullptr};

  // Other threads run: between clone and exec only system calls are allowed.
  const unsigned long flags = SIGCHLD | (apart ? CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWIPC : 0ul);
  const auto pid = static_cast<pid_t>(syscall(SYS_clone, flags, nullptr, nullptr, nullptr, nullptr));
  if (pid < 0) return fail(Errc::Io, std::string("a process for the site: ") + std::strerror(errno));
  if (pid == 0) {
    // Without a namespace the death of the first process would leave its children: it ends them itself when told.
    prctl(PR_SET_PDEATHSIG, apart ? SIGKILL : SIGTERM);
    setsid();  // Ctrl-C is for the drill, which then takes the sites down in order
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, nullptr);
    if (options.network_fd >= 0 && setns(options.network_fd, CLONE_NEWNET) != 0) _exit(121);
    if (dup2(null.get(), 0) < 0 || dup2(log.get(), 1) < 0 || dup2(log.get(), 2) < 0) _exit(122);
    close_range(3, UINT_MAX, CLOSE_RANGE_CLOEXEC);
    execve(options.program.c_str(), const_cast<char* const*>(argv), environ);
    _exit(123);
  }
  SiteProcess site;
  site.ground_ = options.ground;
  site.first_ = pid;
  return site;
}

std::vector<pid_t> SiteProcess::all() const {
  std::vector<pid_t> out;
  if (!running()) return out;
  if (ground_ == Ground::Namespaces) {
    const ino_t ours = pid_namespace_of(getpid());
    const ino_t theirs = pid_namespace_of(first_);
    if (theirs == 0 || theirs == ours) return {first_};
    for (const pid_t pid : all_processes()) {
      if (pid_namespace_of(pid) == theirs) out.push_back(pid);
    }
  } else {
    out = descendants_of(first_);
    out.push_back(first_);
  }
  return out;
}

Result<> SiteProcess::freeze() {
  // Whatever is forked between the look and the signal is found by the next look.
  for (int look = 0; look < 100; ++look) {
    bool moved = false;
    for (const pid_t pid : all()) {
      const char state = process_state(pid);
      if (state == 'T' || state == 't' || dead(state)) continue;
      if (::kill(pid, SIGSTOP) == 0) moved = true;
    }
    if (!moved) return {};
    std::this_thread::sleep_for(1ms);
  }
  return fail(Errc::Timeout, "the site's processes do not stop");
}

void SiteProcess::thaw() {
  for (const pid_t pid : all()) ::kill(pid, SIGCONT);
}

Result<> SiteProcess::kill(std::chrono::milliseconds deadline) {
  if (!running()) return {};
  const Nanos due = now_ns() + std::chrono::nanoseconds(deadline).count();
  if (ground_ == Ground::Loopback) {
    // Stopped first: who has children to bring up again must not while the others die.
    (void)freeze();
    while (true) {
      const auto rest = descendants_of(first_);
      bool alive = false;
      for (const pid_t pid : rest) {
        if (dead(process_state(pid))) continue;
        alive = true;
        ::kill(pid, SIGKILL);
      }
      if (!alive || now_ns() > due) break;
      std::this_thread::sleep_for(1ms);
    }
  }
  ::kill(first_, SIGKILL);
  const auto left = std::chrono::milliseconds(std::max<Nanos>((due - now_ns()) / kMillisecond, 1000));
  if (!wait_for(first_, left)) return fail(Errc::Timeout, "the site's processes do not die");
  first_ = -1;
  // Orphans of a first process that is gone come to us.
  while (ground_ == Ground::Loopback && waitpid(-1, nullptr, WNOHANG) > 0) {
  }
  return {};
}

}  // namespace haechi::drill
