#include "app/backup_cluster.hpp"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/json.hpp"
#include "base/text.hpp"

extern char** environ;  // NOLINT: POSIX names it

namespace haechi::app::cluster_backup {
namespace {

constexpr std::size_t kOutputMax = 64 * 1024 * 1024;

struct Ran {
  int status = 0;
  std::string output;
  std::string last_error;  ///< the last line of what it called an error
};

/// Both of its outputs come here; errors and progress are passed on to standard error.
Result<Ran> run(const ClusterBackupOptions& options, std::vector<std::string> arguments, bool show) {
  arguments.insert(arguments.begin(), {options.program, "--config=" + options.config, "--stanza=" + options.stanza});
  std::vector<char*> argv;
  for (auto& a : arguments) argv.push_back(a.data());
  argv.push_back(nullptr);
  int out[2];
  if (::pipe2(out, O_CLOEXEC) != 0) return fail(Errc::Io, std::string("pipe: ") + std::strerror(errno));
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
  ::posix_spawn_file_actions_adddup2(&actions, out[1], STDERR_FILENO);
  pid_t pid = -1;
  const int rc = ::posix_spawnp(&pid, options.program.c_str(), &actions, nullptr, argv.data(), environ);
  ::posix_spawn_file_actions_destroy(&actions);
  ::close(out[1]);
  if (rc != 0) {
    ::close(out[0]);
    return fail(Errc::NotFound, options.program + ": " + std::strerror(rc) + " (Debian: apt install pgbackrest)");
  }
  Ran ran;
  char block[8192];
  for (ssize_t n = 0; (n = ::read(out[0], block, sizeof block)) != 0;) {
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) break;
    const std::string_view text(block, static_cast<std::size_t>(n));
    if (show) static_cast<void>(::write(STDERR_FILENO, text.data(), text.size()));
    if (ran.output.size() < kOutputMax) ran.output += text;
  }
  ::close(out[0]);
  while (::waitpid(pid, &ran.status, 0) < 0 && errno == EINTR) {
  }
  for (const auto line : split(ran.output, '\n')) {
    if (const auto at = line.find("ERROR: "); at != std::string_view::npos) ran.last_error = trim(line.substr(at + 7));
  }
  return ran;
}

bool good(const Ran& ran) { return WIFEXITED(ran.status) && WEXITSTATUS(ran.status) == 0; }

std::unexpected<Error> failed(std::string_view what, const Ran& ran) {
  // "[082]: WAL segment ... was not archived before the 60000ms timeout"
  const auto why = ran.last_error.empty()
                       ? std::string("pgbackrest ended with ") + std::to_string(WEXITSTATUS(ran.status))
                       : ran.last_error;
  return fail(Errc::Io, std::string(what) + ": " + why);
}

}  // namespace

Result<ClusterInfo> parse_info(std::string_view text, std::string_view stanza) {
  const auto parsed = parse_json(text);
  if (!parsed || !parsed->is_array()) return fail(Errc::Invalid, "pgbackrest info gave no list");
  const auto objects = [](const json::object& in, std::string_view key) {
    std::vector<const json::object*> out;
    if (const auto* list = get_array(in, key)) {
      for (const auto& entry : *list) {
        if (const auto* o = entry.if_object()) out.push_back(o);
      }
    }
    return out;
  };
  for (const auto& one : parsed->get_array()) {
    const auto* stanza_info = one.if_object();
    if (!stanza_info || get_string(*stanza_info, "name") != stanza) continue;
    ClusterInfo out;
    for (const auto* r : objects(*stanza_info, "repo")) out.repositories.push_back(get_int(*r, "key").value_or(1));
    for (const auto* b : objects(*stanza_info, "backup")) {
      ClusterBackup backup{.label = std::string(get_string(*b, "label").value_or("")),
                           .type = std::string(get_string(*b, "type").value_or("")),
                           .error = get_flag(*b, "error")};
      if (const auto* of = get_object(*b, "database")) backup.repository = get_int(*of, "repo-key").value_or(1);
      if (const auto* times = get_object(*b, "timestamp")) {
        backup.started_s = get_int(*times, "start").value_or(0);
        backup.stopped_s = get_int(*times, "stop").value_or(0);
      }
      if (const auto* sizes = get_object(*b, "info")) {
        backup.database_bytes = static_cast<std::uint64_t>(get_int(*sizes, "size").value_or(0));
        if (const auto* repo = get_object(*sizes, "repository")) {
          backup.repository_bytes = static_cast<std::uint64_t>(get_int(*repo, "delta").value_or(0));
        }
      }
      out.backups.push_back(std::move(backup));
    }
    std::ranges::sort(out.backups, {}, &ClusterBackup::stopped_s);
    return out;
  }
  return fail(Errc::NotFound,
              "pgbackrest knows no stanza " + std::string(stanza) + ": pgbackrest stanza-create makes it");
}

Result<ClusterInfo> info(const ClusterBackupOptions& options) {
  TRY(const auto ran,
      run(options, {"--log-level-console=off", "--log-level-stderr=error", "info", "--output=json"}, false));
  if (!good(ran)) return failed("the repository cannot be read", ran);
  return parse_info(ran.output, options.stanza);
}

Result<std::vector<ClusterBackup>> list(const ClusterBackupOptions& options) {
  TRY(auto known, info(options));
  return std::move(known.backups);
}

Result<std::vector<ClusterBackup>> create(const ClusterBackupOptions& options, const std::string& type) {
  TRY(const auto checked, run(options, {"--log-level-console=error", "check"}, false));
  if (!good(checked) && checked.output.contains("unable to find primary")) {
    return fail(
        Errc::Unavailable,
        "this server is not the primary's: run it there (haechi sites tells), or with --if-primary in every site");
  }
  if (!good(checked)) return failed("archiving does not work, and a backup without it cannot be restored", checked);
  TRY(const auto before, info(options));
  std::vector<ClusterBackup> made;
  // Each repository has its own backups; only the log goes to all by itself.
  for (const auto repository : before.repositories) {
    const auto which = "--repo=" + std::to_string(repository);
    TRY(const auto ran, run(options, {"--log-level-console=info", which, "--type=" + type, "backup"}, true));
    if (!good(ran)) return failed("the backup to repository " + std::to_string(repository) + " failed", ran);
    TRY(const auto after, info(options));
    const auto newest =
        std::ranges::find(after.backups.rbegin(), after.backups.rend(), repository, &ClusterBackup::repository);
    if (newest == after.backups.rend()) return fail(Errc::Io, "pgbackrest says that it succeeded, but lists no backup");
    if (newest->error) {
      return fail(Errc::Io, "the backup " + newest->label + " holds pages that do not match their checksums");
    }
    made.push_back(*newest);
  }
  return made;
}

Result<> verify(const ClusterBackupOptions& options) {
  TRY(const auto known, info(options));
  for (const auto repository : known.repositories) {
    const auto which = "--repo=" + std::to_string(repository);
    TRY(const auto ran, run(options, {"--log-level-console=info", which, "verify"}, true));
    if (!good(ran)) return failed("repository " + std::to_string(repository) + " is damaged", ran);
  }
  return {};
}

bool is_point_in_time(std::string_view text) {
  static constexpr std::string_view kShape = "dddd-dd-dd dd:dd:dd";
  if (text.size() < kShape.size() || text.size() > 40) return false;
  for (std::size_t i = 0; i < kShape.size(); ++i) {
    const bool digit = text[i] >= '0' && text[i] <= '9';
    if (kShape[i] == 'd' ? !digit : text[i] != kShape[i]) return false;
  }
  return std::ranges::all_of(text.substr(kShape.size()), [](char c) {
    return (c >= '0' && c <= '9') || c == '.' || c == '+' || c == '-' || c == ':';
  });
}

Result<std::string> restore_steps(const ClusterBackupOptions& options, const std::string& time) {
  if (!time.empty() && !is_point_in_time(time)) {
    return fail(Errc::Invalid, "--time: expected \"2026-11-22 14:30:00+00\", got " + time);
  }
  TRY(const auto known, info(options));
  if (known.backups.empty()) return fail(Errc::NotFound, "the repository holds no backup");
  const auto target =
      time.empty() ? std::string("--type=default") : "--type=time --target=\"" + time + "\" --target-action=promote";
  return "The database is put back on one server; the other sites copy it from there. Nobody is served meanwhile.\n"
         "1. in every site:   systemctl stop 'haechi@*' patroni\n"
         "2. in one site:     etcdctl rm --recursive /service/haechi        (ETCDCTL_API=2; Patroni's word of the old "
         "cluster)\n"
         "3. in that site, as postgres, with PGDATA as patroni.yml names it:\n"
         "                    " +
         options.program + " --config=" + options.config + " --stanza=" + options.stanza + " --delta " + target +
         " restore\n"
         "4. in that site:    systemctl start patroni     and wait until patronictl list shows it as Leader\n"
         "5. in the others:   move PGDATA away, then systemctl start patroni\n"
         "6. in every site:   systemctl start 'haechi@*'\n"
         "7. in that site:    " +
         options.program + " --config=" + options.config + " --stanza=" + options.stanza +
         " --type=full backup\n"
         "What was acknowledged after that time is gone; clients that saw it sync anew.\n";
}

}  // namespace haechi::app::cluster_backup
