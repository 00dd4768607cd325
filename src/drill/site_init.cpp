#include "drill/site_init.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <grp.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <fstream>
#include <sstream>

#include "base/text.hpp"
#include "drill/http.hpp"
#include "drill/process.hpp"
#include "drill/run.hpp"

namespace haechi::drill {
namespace {

using namespace std::chrono_literals;

/// As systemd's RestartSec in deploy/.
constexpr Nanos kRestartAfter = 500 * kMillisecond;
constexpr Nanos kAskEvery = 100 * kMillisecond;

void say(const std::string& text) {
  const std::string line = utc_now_text() + " " + text + "\n";
  [[maybe_unused]] const auto written = write(STDERR_FILENO, line.data(), line.size());
}

struct Running {
  const Service* service;
  pid_t pid = -1;
  Nanos start_at = 0;    ///< not before
  Nanos give_up_at = 0;  ///< when it starts although nobody answered
};

Result<> mount_own(const SiteSpec& spec) {
  const auto no = [](const char* what) { return fail(Errc::Io, fmt::format("{}: {}", what, std::strerror(errno))); };
  if (mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return no("/");
  if (mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr) != 0) return no("/proc");
  // PostgreSQL's shared memory goes with the site.
  if (mount("tmpfs", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777,size=512m") != 0) return no("/dev/shm");
  // A postmaster that was killed leaves its process id in a file. Were it given to somebody else after
  // the restart, PostgreSQL would take it for its old self, still alive, and refuse to start.
  std::ofstream("/proc/sys/kernel/ns_last_pid") << 300 + spec.generation % 10 * 3000;
  for (const auto& [name, value] : spec.sysctls) {
    std::string path = "/proc/sys/" + name;
    std::ranges::replace(path, '.', '/');
    std::ofstream(path) << value;
  }
  for (const auto& [file, over] : spec.files_over) {
    if (access(file.c_str(), F_OK) == 0 && mount(over.c_str(), file.c_str(), nullptr, MS_BIND, nullptr) != 0) {
      return no(file.c_str());
    }
  }
  return {};
}

[[noreturn]] void become(const SiteSpec& spec, const Service& service) {
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  setpgid(0, 0);
  const int log = open(service.log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0644);
  if (log >= 0) {
    dup2(log, 1);
    dup2(log, 2);
    if (log > 2) close(log);
  }
  setpriority(PRIO_PROCESS, 0, service.nice);
  prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  if (spec.user != 0 && (setgroups(0, nullptr) != 0 || setgid(spec.group) != 0 || setuid(spec.user) != 0)) _exit(124);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (chdir(spec.folder.c_str()) != 0) _exit(125);
  std::vector<char*> argv;
  for (const auto& a : service.argv) argv.push_back(const_cast<char*>(a.c_str()));
  argv.push_back(nullptr);
  std::vector<std::string> environment = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                                          "LANG=C.UTF-8", "HOME=" + spec.folder};
  for (const auto& [key, value] : service.environment) environment.push_back(key + "=" + value);
  std::vector<char*> envp;
  for (auto& e : environment) envp.push_back(e.data());
  envp.push_back(nullptr);
  execve(argv[0], argv.data(), envp.data());
  say(fmt::format("{}: {}: {}", service.name, service.argv[0], std::strerror(errno)));
  _exit(126);
}

void start(const SiteSpec& spec, Running& r) {
  r.pid = fork();
  if (r.pid == 0) become(spec, *r.service);
  if (r.pid > 0) say(fmt::format("{} started", r.service->name));
}

bool may_start(const Running& r, Nanos now) {
  if (r.pid > 0 || now < r.start_at) return false;
  if (r.service->wait_for.empty() || now > r.give_up_at) return true;
  return std::ranges::any_of(r.service->wait_for, [](const auto& url) { return answers_ok(url, 200ms); });
}

void reap(std::vector<Running>& services, Nanos now) {
  while (true) {
    int status = 0;
    const pid_t pid = waitpid(-1, &status, WNOHANG);
    if (pid <= 0) return;
    const auto r = std::ranges::find(services, pid, &Running::pid);
    if (r == services.end()) continue;  // an orphan
    say(WIFSIGNALED(status) ? fmt::format("{} was killed by signal {}", r->service->name, WTERMSIG(status))
                            : fmt::format("{} ended with code {}", r->service->name, WEXITSTATUS(status)));
    r->pid = -1;
    r->start_at = now + kRestartAfter;
  }
}

std::string command_of(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/comm");
  std::string name;
  std::getline(file, name);
  return name;
}

void reap_all() {
  while (waitpid(-1, nullptr, WNOHANG) > 0) {
  }
}

/// Everything but PostgreSQL is killed; that is told to stop at once, which frees its shared memory
/// (the machine's own, without namespaces), and is killed when it does not.
void end_everything() {
  for (int round = 0; round < 400; ++round) {
    const auto rest = descendants_of(getpid());
    for (const pid_t pid : rest) {
      const bool postgres = command_of(pid) == "postgres";
      if (!postgres || round >= 200) kill(pid, SIGKILL);
      else if (round == 0) kill(pid, SIGQUIT);
      if (round == 0) kill(pid, SIGCONT);
    }
    reap_all();
    if (rest.empty()) return;
    std::this_thread::sleep_for(5ms);
  }
}

std::vector<std::string> strings(const json::object& o, std::string_view key) {
  std::vector<std::string> out;
  if (const auto* list = get_array(o, key)) {
    for (const auto& v : *list) {
      if (v.is_string()) out.emplace_back(sv(v.get_string()));
    }
  }
  return out;
}

std::map<std::string, std::string> string_map(const json::object& o, std::string_view key) {
  std::map<std::string, std::string> out;
  if (const auto* members = get_object(o, key)) {
    for (const auto& [name, value] : *members) {
      if (value.is_string()) out.emplace(name, sv(value.get_string()));
    }
  }
  return out;
}

}  // namespace

json::object to_json(const SiteSpec& spec) {
  json::object files;
  for (const auto& [file, over] : spec.files_over) files[file] = over;
  json::object sysctls;
  for (const auto& [name, value] : spec.sysctls) sysctls[name] = value;
  json::array services;
  for (const auto& s : spec.services) {
    json::object environment;
    for (const auto& [key, value] : s.environment) environment[key] = value;
    services.push_back(json::object{{"name", s.name},
                                    {"argv", json::value_from(s.argv)},
                                    {"environment", std::move(environment)},
                                    {"log", s.log},
                                    {"wait_for", json::value_from(s.wait_for)},
                                    {"wait_s", s.wait_s},
                                    {"nice", s.nice}});
  }
  return {{"name", spec.name},     {"namespaces", spec.namespaces},  {"user", spec.user},
          {"group", spec.group},   {"files_over", std::move(files)}, {"sysctls", std::move(sysctls)},
          {"folder", spec.folder}, {"generation", spec.generation},  {"services", std::move(services)}};
}

Result<SiteSpec> parse_site_spec(std::string_view text) {
  TRY(const auto o, parse_json_object(text));
  SiteSpec spec{.name = std::string(get_string(o, "name").value_or("")),
                .namespaces = get_flag(o, "namespaces"),
                .user = static_cast<std::uint32_t>(get_int(o, "user").value_or(0)),
                .group = static_cast<std::uint32_t>(get_int(o, "group").value_or(0)),
                .folder = std::string(get_string(o, "folder").value_or("/"))};
  spec.files_over = string_map(o, "files_over");
  spec.sysctls = string_map(o, "sysctls");
  spec.generation = static_cast<int>(get_int(o, "generation").value_or(0));
  const auto* services = get_array(o, "services");
  if (!services) return fail(Errc::Invalid, "a site without services");
  for (const auto& v : *services) {
    const auto* s = v.if_object();
    if (!s) return fail(Errc::Invalid, "a service is an object");
    Service service{.name = std::string(get_string(*s, "name").value_or("")),
                    .argv = strings(*s, "argv"),
                    .environment = string_map(*s, "environment"),
                    .log = std::string(get_string(*s, "log").value_or("/dev/null")),
                    .wait_for = strings(*s, "wait_for"),
                    .wait_s = static_cast<int>(get_int(*s, "wait_s").value_or(30)),
                    .nice = static_cast<int>(get_int(*s, "nice").value_or(0))};
    if (service.argv.empty()) return fail(Errc::Invalid, service.name + ": nothing to run");
    spec.services.push_back(std::move(service));
  }
  return spec;
}

int run_site(const std::string& spec_file) {
  std::ifstream file(spec_file);
  std::stringstream text;
  text << file.rdbuf();
  const auto spec = parse_site_spec(text.str());
  if (!spec) {
    say(spec_file + ": " + spec.error().message);
    return 2;
  }
  prctl(PR_SET_NAME, ("site-" + spec->name).c_str());
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  const rlimit files{65'536, 65'536};
  setrlimit(RLIMIT_NOFILE, &files);
  if (spec->namespaces) {
    if (const auto mounted = mount_own(*spec); !mounted) {
      say(mounted.error().message);
      return 1;
    }
  }
  sigset_t awaited;
  sigemptyset(&awaited);
  for (const int s : {SIGCHLD, SIGTERM}) sigaddset(&awaited, s);
  sigprocmask(SIG_BLOCK, &awaited, nullptr);

  std::vector<Running> services;
  for (const auto& s : spec->services) {
    services.push_back({.service = &s, .give_up_at = now_ns() + s.wait_s * kSecond});
  }
  while (true) {
    reap(services, now_ns());
    for (auto& r : services) {
      if (may_start(r, now_ns())) start(*spec, r);
    }
    const timespec wait{.tv_sec = 0, .tv_nsec = kAskEvery};
    if (sigtimedwait(&awaited, nullptr, &wait) == SIGTERM) {
      end_everything();
      return 0;
    }
  }
}

}  // namespace haechi::drill
