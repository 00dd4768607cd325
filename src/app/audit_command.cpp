// `haechi audit`: the question that should be asked before a building burns.

#include <netdb.h>
#include <CLI/CLI.hpp>

#include <cstdio>
#include <fstream>
#include <map>
#include <memory>
#include <set>

#include "app/audit.hpp"
#include "app/backup.hpp"
#include "app/backup_cluster.hpp"
#include "app/commands.hpp"
#include "app/desk.hpp"
#include "base/text.hpp"

namespace haechi::app {
namespace {

struct AuditFlags {
  std::string config;
  std::string backups;
  std::string pgbackrest = "/etc/pgbackrest/pgbackrest.conf";
  bool json = false;
};

/// Where the repositories of pgBackRest's settings are, by number: each `repoN-` names a host, a
/// bucket or a folder.
std::map<std::int64_t, std::string> repositories(const std::string& path) {
  std::ifstream in(path);
  std::map<std::int64_t, std::map<std::string, std::string>> repos;
  for (std::string line; std::getline(in, line);) {
    const auto equals = line.find('=');
    const auto key = trim(std::string_view(line).substr(0, equals));
    const auto dash = key.find('-');
    if (equals == std::string::npos || !key.starts_with("repo") || dash == std::string_view::npos) continue;
    const auto number = parse_int(key.substr(4, dash - 4));
    if (number) repos[*number][std::string(key.substr(dash + 1))] = trim(std::string_view(line).substr(equals + 1));
  }
  std::map<std::int64_t, std::string> places;
  for (auto& [number, repo] : repos) {
    if (repo.contains("host")) places[number] = repo["host"];
    else if (repo.contains("s3-bucket")) places[number] = repo["s3-endpoint"] + "/" + repo["s3-bucket"];
    else if (repo.contains("path")) places[number] = "this machine:" + repo["path"];
  }
  return places;
}

BackupFacts cluster_backups(const AuditFlags& flags) {
  if (!std::ifstream(flags.pgbackrest)) {
    return {.why = "cannot be seen from here: run this on a database server, or name pgBackRest's settings"};
  }
  const auto all = cluster_backup::list({.config = flags.pgbackrest});
  if (!all) return {.why = "cannot be seen from here: " + all.error().message};
  const auto places = repositories(flags.pgbackrest);
  BackupFacts facts{.seen = true};
  std::set<std::string> used;
  for (const auto& b : *all) {
    if (b.error) continue;
    facts.newest_ms = std::max(facts.newest_ms.value_or(0), b.stopped_s * 1000);
    if (const auto place = places.find(b.repository); place != places.end()) used.insert(place->second);
  }
  facts.places.assign(used.begin(), used.end());
  return facts;
}

BackupFacts folder_backups(const AuditFlags& flags) {
  if (flags.backups.empty()) return {.why = "cannot be seen from here: name their folder with --backups"};
  const auto all = backup::list(flags.backups);
  if (!all) return {.why = all.error().message};
  BackupFacts facts{.seen = true, .places = {flags.backups}};
  if (!all->empty()) facts.newest_ms = all->back().created_ms;
  return facts;
}

std::vector<std::string> addresses_of(const std::string& url) {
  if (url.empty()) return {};
  auto host = cluster::host_port_of(url);
  host = host.substr(0, host.rfind(':'));
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (::getaddrinfo(host.c_str(), nullptr, &hints, &found) != 0) return {};
  std::set<std::string> out;
  for (auto* a = found; a; a = a->ai_next) {
    char text[NI_MAXHOST];
    if (::getnameinfo(a->ai_addr, a->ai_addrlen, text, sizeof text, nullptr, 0, NI_NUMERICHOST) == 0) out.insert(text);
  }
  ::freeaddrinfo(found);
  return {out.begin(), out.end()};
}

int run(const AuditFlags& flags) {
  auto config = load_config({.config = flags.config, .from_outside = true});
  if (!config) {
    std::fprintf(stderr, "haechi: %s\n", config.error().message.c_str());
    return 2;
  }
  std::vector<AuditItem> items;
  if (config->sites.empty()) {
    const SystemClock clock;
    items = audit_one_machine(*config, config->shared_store() ? cluster_backups(flags) : folder_backups(flags),
                              clock.wall_ms());
  } else {
    Desk desk(*std::move(config));
    const auto seen = desk.run(cluster::survey(desk.dcs()));
    items = audit({.config = desk.config(),
                   .survey = seen,
                   .backups = cluster_backups(flags),
                   .public_addresses = addresses_of(desk.config().public_base_url),
                   .now_ms = desk.now_ms()});
  }
  if (flags.json) {
    std::printf("%s\n", to_text(audit_json(items)).c_str());
  } else {
    std::fputs(audit_table(items).c_str(), stdout);
  }
  std::fflush(stdout);
  for (const auto& i : items) {
    if (i.holds == Holds::No)
      std::fprintf(stderr, "haechi: a single site's loss: %s: %s\n", i.name.c_str(), i.says.c_str());
  }
  return all_hold(items) ? 0 : 1;
}

}  // namespace

void add_audit(CLI::App& cli, int& code) {
  auto flags = std::make_shared<AuditFlags>();
  auto* cmd =
      cli.add_subcommand("audit", "List what the platform needs, and what a single site's loss would take away");
  cmd->add_option("--config", flags->config, "The settings file of any node")->required();
  cmd->add_option("--backups", flags->backups, "The folder of one machine's backups");
  cmd->add_option("--pgbackrest", flags->pgbackrest, "pgBackRest's settings file")->capture_default_str();
  cmd->add_flag("--json", flags->json, "For programs");
  cmd->footer(
      "Exit code: 0 when everything survives the loss of any one site, 1 when something does not, 2 when the\nsettings "
      "file cannot be used.");
  cmd->callback([flags, &code] { code = run(*flags); });
}

}  // namespace haechi::app
