#include <fmt/format.h>

#include <algorithm>

#include "base/text.hpp"
#include "cluster/survey.hpp"

namespace haechi::cluster {
namespace {

std::string bytes_text(std::int64_t n) {
  if (n <= 0) return "0";
  constexpr std::pair<std::int64_t, const char*> kUnits[] = {{1 << 30, "GiB"}, {1 << 20, "MiB"}, {1 << 10, "KiB"}};
  for (const auto& [size, name] : kUnits) {
    if (n >= size) return fmt::format("{:.1f} {}", static_cast<double>(n) / static_cast<double>(size), name);
  }
  return fmt::format("{} B", n);
}

std::string database_text(const DatabaseReport& db) {
  if (!db.answers) return "silent";
  if (db.role.empty()) return db.state.empty() ? "unknown" : db.state;
  std::string text = db.role;
  if (db.state != "running") text += ", " + db.state;
  else if (db.role != "primary" && !db.streaming) text += ", not streaming";
  return text;
}

std::string etcd_text(const EtcdReport& etcd) {
  if (!etcd.answers) return "silent";
  if (!etcd.healthy) return "no majority";
  return etcd.leader ? "leader" : "member";
}

/// The busiest of the site's machines.
std::string load_text(const SiteReport& s) {
  double busy = -1;
  std::int64_t cores = 0;
  for (const auto& node : s.nodes) {
    if (node.busy() < busy) continue;
    busy = node.busy();
    cores = node.cores();
  }
  return busy < 0 ? "unknown" : fmt::format("{:.0f} % of {}", busy * 100, cores);
}

std::string lag_text(const DatabaseReport& db) {
  return !db.answers || db.role == "primary" || db.position == 0 ? "-" : bytes_text(db.lag);
}

std::string percent(const std::optional<double>& share) {
  return share ? fmt::format("{:.0f} %", *share * 100) : "unknown";
}

}  // namespace

std::string to_table(const Survey& survey) {
  std::vector<std::vector<std::string>> rows = {{"SITE", "STATE", "NODES READY", "DATABASE", "LAG", "ETCD",
                                                 "CORES BUSY", "BUSY WITHOUT IT", "SURVIVES ITS LOSS NOW"}};
  for (const auto& s : survey.sites) {
    const auto prospect = without(survey, s.site.name);
    rows.push_back({s.site.name, s.silent() ? "silent" : std::string(name_of(s.state)),
                    fmt::format("{} of {}", s.nodes_ready(), s.nodes.size()), database_text(s.database),
                    lag_text(s.database), etcd_text(s.etcd), load_text(s), percent(busy_without(survey, s.site.name)),
                    prospect.survives ? "yes" : "no: " + prospect.why});
  }
  std::vector<std::size_t> widths(rows[0].size());
  for (const auto& row : rows) {
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string out;
  for (const auto& row : rows) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) line += fmt::format("{:<{}}  ", row[i], widths[i]);
    out += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
  }
  for (const auto& s : survey.sites) {
    for (const auto& node : s.nodes) {
      if (node.ready) continue;
      out += fmt::format("node {} of site {}: {}\n", node.url, s.site.name,
                         !node.answers      ? "silent"
                         : node.why.empty() ? "not ready"
                                            : node.why);
    }
  }
  return out;
}

json::object to_json(const Survey& survey) {
  json::array sites;
  for (const auto& s : survey.sites) {
    json::array nodes;
    for (const auto& n : s.nodes) {
      nodes.push_back(json::object{
          {"url", n.url}, {"answers", n.answers}, {"ready", n.ready}, {"why", n.why}, {"says", n.document}});
    }
    const auto prospect = without(survey, s.site.name);
    const auto busy = busy_without(survey, s.site.name);
    const auto& db = s.database;
    sites.push_back(json::object{
        {"name", s.site.name},
        {"state", name_of(s.state)},
        {"since", s.since},
        {"silent", s.silent()},
        {"nodes", std::move(nodes)},
        {"database", json::object{{"answers", db.answers},
                                  {"member", db.member},
                                  {"role", db.role},
                                  {"state", db.state},
                                  {"timeline", db.timeline},
                                  {"lag_bytes", db.lag},
                                  {"streaming", db.streaming}}},
        {"etcd", json::object{{"answers", s.etcd.answers}, {"healthy", s.etcd.healthy}, {"leader", s.etcd.leader}}},
        {"survives_loss", prospect.survives},
        {"why_not", prospect.why},
        {"busy_without", busy ? json::value(*busy) : json::value(nullptr)}});
  }
  json::object out{{"sites", std::move(sites)}};
  if (survey.view) {
    json::array standbys;
    for (const auto& name : survey.view->sync_standbys) standbys.push_back(json::string(name));
    out["leader"] = survey.view->leader;
    out["sync_standbys"] = std::move(standbys);
  }
  return out;
}

}  // namespace haechi::cluster
