#include <unistd.h>
#include <CLI/CLI.hpp>

#include <cstdio>
#include <ctime>
#include <memory>

#include "app/backup.hpp"
#include "app/backup_cluster.hpp"
#include "app/commands.hpp"
#include "app/config.hpp"
#include "base/log.hpp"

namespace haechi::app {
namespace {

struct BackupFlags {
  std::optional<std::string> config;
  std::optional<std::string> data;
  std::string target;
  std::string id;
  std::string type = "incr";
  std::string time;
  bool if_primary = false;
  ClusterBackupOptions cluster;
};

/// One line that is written over while it runs; on a terminal only.
class Progress {
 public:
  void operator()(std::string_view what, std::uint64_t done, std::uint64_t all) {
    if (::isatty(STDERR_FILENO) == 0) return;
    const auto percent = all == 0 ? 100 : done * 100 / all;
    if (percent == percent_ && what == what_) return;
    percent_ = percent;
    what_ = what;
    std::fprintf(stderr, "\r%-10s %3d %%", what_.c_str(), static_cast<int>(percent));
    if (done == all) std::fputc('\n', stderr);
  }

 private:
  std::string what_;
  std::uint64_t percent_ = 101;
};

std::string utc(std::int64_t seconds) {
  const auto time = static_cast<std::time_t>(seconds);
  std::tm parts{};
  ::gmtime_r(&time, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &parts);
  return text;
}

double mib(std::uint64_t bytes) { return static_cast<double>(bytes) / (1024 * 1024); }

void tell(const Backup& b) {
  std::printf("%s  %s  database %.1f MiB, %llu media of %.1f MiB%s\n", b.id.c_str(), b.server_name.c_str(),
              mib(b.database_bytes), static_cast<unsigned long long>(b.media), mib(b.media_bytes),
              b.missing > 0 ? (", " + std::to_string(b.missing) + " media were missing on the disk").c_str() : "");
}

void tell(const ClusterBackup& b) {
  std::printf("%s  %-4s  repository %lld  %s UTC  database %.1f MiB, %.1f MiB added%s\n", b.label.c_str(),
              b.type.c_str(), static_cast<long long>(b.repository), utc(b.stopped_s).c_str(), mib(b.database_bytes),
              mib(b.repository_bytes), b.error ? "  DAMAGED PAGES" : "");
}

/// Which of the two ways: a configuration that names PostgreSQL is the cluster's.
struct Way {
  bool cluster = false;
  std::string data;
};
Result<Way> way_of(const BackupFlags& flags) {
  if (!flags.config) return Way{false, flags.data.value_or(Config().data)};
  TRY(const auto config, load_config({.config = flags.config, .data = flags.data, .from_outside = true}));
  return Way{config.shared_store(), config.data};
}

Result<std::string> target_of(const BackupFlags& flags, const char* option) {
  if (flags.target.empty()) return fail(Errc::Invalid, std::string(option) + " is required: the folder of the backups");
  return flags.target;
}

Result<> create(const BackupFlags& flags) {
  TRY(const auto way, way_of(flags));
  if (way.cluster) {
    const auto made = cluster_backup::create(flags.cluster, flags.type);
    if (!made && made.error().is(Errc::Unavailable) && flags.if_primary) {
      std::printf("not the primary's server: nothing to do\n");
      return {};
    }
    if (!made) return std::unexpected(made.error());
    for (const auto& b : *made) tell(b);
    return {};
  }
  TRY(const auto target, target_of(flags, "--to"));
  TRY(const auto made, backup::create(way.data, target, Progress()));
  tell(made);
  return {};
}

Result<> list(const BackupFlags& flags) {
  TRY(const auto way, way_of(flags));
  if (way.cluster) {
    TRY(const auto all, cluster_backup::list(flags.cluster));
    for (const auto& b : all) tell(b);
    return {};
  }
  TRY(const auto target, target_of(flags, "--from"));
  TRY(const auto all, backup::list(target));
  for (const auto& b : all) tell(b);
  return {};
}

Result<> verify(const BackupFlags& flags) {
  TRY(const auto way, way_of(flags));
  if (way.cluster) {
    TRY_DO(cluster_backup::verify(flags.cluster));
    std::printf("every repository is whole\n");
    return {};
  }
  TRY(const auto target, target_of(flags, "--from"));
  TRY(const auto b, backup::verify(target, flags.id, Progress()));
  std::printf("whole: ");
  tell(b);
  return {};
}

Result<> restore(const BackupFlags& flags) {
  TRY(const auto way, way_of(flags));
  if (way.cluster) {
    TRY(const auto steps, cluster_backup::restore_steps(flags.cluster, flags.time));
    std::fputs(steps.c_str(), stdout);
    return {};
  }
  if (!flags.time.empty()) return fail(Errc::Invalid, "--time is for PostgreSQL; here a backup is chosen with --id");
  TRY(const auto target, target_of(flags, "--from"));
  if (!flags.data && !flags.config) return fail(Errc::Invalid, "--data is required: the empty folder to restore to");
  TRY(const auto b, backup::restore(target, flags.id, way.data, Progress()));
  tell(b);
  std::printf("restored to %s; start it with: haechi serve --data %s --server-name %s\n", way.data.c_str(),
              way.data.c_str(), b.server_name.c_str());
  return {};
}

}  // namespace

void add_backup(CLI::App& cli, int& code) {
  auto flags = std::make_shared<BackupFlags>();
  auto* top = cli.add_subcommand("backup", "Back up and restore: a data folder, or the sites' PostgreSQL");
  top->require_subcommand(1);
  top->footer(
      "With store.engine = \"postgresql\" in --config pgBackRest does the work, on the primary's server and as\n"
      "PostgreSQL's user; see deploy/pgbackrest.conf. Neither holds the settings file or the vault's key: keep\n"
      "these where no site burns.");
  const auto command = [&](const char* name, const char* help, Result<> (*run)(const BackupFlags&)) {
    auto* cmd = top->add_subcommand(name, help);
    cmd->add_option("--config", flags->config, "Settings file (TOML)");
    cmd->add_option("--stanza", flags->cluster.stanza, "pgBackRest's name for the cluster")->capture_default_str();
    cmd->add_option("--pgbackrest-config", flags->cluster.config, "pgBackRest's settings")->capture_default_str();
    cmd->callback([flags, run, &code] {
      log::set_level(log::Level::Error);
      if (const auto done = run(*flags); !done) {
        std::fprintf(stderr, "haechi: %s\n", done.error().message.c_str());
        code = 1;
      }
    });
    return cmd;
  };
  const auto takes_data = [&](CLI::App* cmd, const char* help) { cmd->add_option("--data", flags->data, help); };
  const auto takes_from = [&](CLI::App* cmd) { cmd->add_option("--from", flags->target, "Folder of the backups"); };
  const auto takes_id = [&](CLI::App* cmd) { cmd->add_option("--id", flags->id, "Which backup; without: the newest"); };

  auto* creating = command("create", "Make a backup, while the node runs", create);
  takes_data(creating, "The data folder");
  creating->add_option("--to", flags->target, "Folder of the backups; on another machine's disk");
  creating->add_option("--type", flags->type, "Of pgBackRest: what it copies")
      ->check(CLI::IsMember({"full", "diff", "incr"}))
      ->capture_default_str();
  creating->add_flag("--if-primary", flags->if_primary, "Succeed without doing anything on a standby's server");
  takes_from(command("list", "Print the backups, the oldest first", list));
  auto* verifying = command("verify", "Read a backup and compare all checksums", verify);
  takes_from(verifying);
  takes_id(verifying);
  auto* restoring = command("restore", "Restore to an empty folder; of PostgreSQL: print what to run", restore);
  takes_from(restoring);
  takes_id(restoring);
  takes_data(restoring, "The folder to restore to: empty or not there");
  restoring->add_option("--time", flags->time, "Of PostgreSQL: as it was at this time, \"2026-11-22 14:30:00+00\"");
}

}  // namespace haechi::app
