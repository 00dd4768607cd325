#include "app/audit.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <map>
#include <set>

namespace haechi::app {
namespace {

using cluster::NodeReport;
using cluster::SiteReport;

constexpr double kBusyMax = 0.8;
constexpr WallMs kBackupAgeMax = 26ll * 3600 * 1000;

std::string joined(const std::vector<std::string>& list) {
  std::string out;
  for (const auto& s : list) out += (out.empty() ? "" : ", ") + s;
  return out.empty() ? "none" : out;
}

std::string text_of(const NodeReport& node, std::string_view key) {
  return std::string(get_string(node.document, key).value_or(""));
}

class Audit {
 public:
  explicit Audit(const AuditFacts& facts) : f_(facts) {}

  std::vector<AuditItem> run() {
    database();
    confirmation();
    etcd();
    patroni();
    nodes();
    media();
    stored("keys, tokens and settings kept in the database");
    vault();
    alike("settings files", "settings", "other settings than most: compare the files, restart the nodes");
    alike("secrets in files", "secrets", "other secrets than most: compare the files that the settings name");
    tools();
    status();
    way_in();
    backups();
    capacity();
    losses();
    return std::move(items_);
  }

 private:
  const std::vector<SiteReport>& sites() const { return f_.survey.sites; }

  std::vector<std::string> where(const std::function<bool(const SiteReport&)>& has) const {
    std::vector<std::string> out;
    for (const auto& s : sites()) {
      if (has(s)) out.push_back(s.site.name);
    }
    return out;
  }

  AuditItem& add(std::string name, std::vector<std::string> in, std::size_t needed, std::string good, std::string bad) {
    const bool enough = in.size() >= needed;
    items_.push_back({.name = std::move(name),
                      .sites = std::move(in),
                      .needed = needed,
                      .holds = enough ? Holds::Yes : Holds::No,
                      .says = enough ? std::move(good) : std::move(bad)});
    return items_.back();
  }

  static bool has_copy(const SiteReport& s) {
    return s.database.answers && s.database.state == "running" &&
           (s.database.role == "primary" || s.database.streaming);
  }

  /// With one site gone a commit still needs two: the primary and who confirms.
  void database() {
    copies_ = where(has_copy);
    add("database", copies_, 3, "streaming copies in enough sites that one can go and commits are still confirmed",
        copies_.size() == 2 ? "two copies: when one of these sites goes, nothing is left to confirm commits"
                            : "one copy or none: its site's loss is the end of the data");
  }

  void confirmation() {
    const auto& view = f_.survey.view;
    const auto leader = view ? view->leader_site() : std::string();
    std::vector<std::string> in;
    if (!leader.empty()) in.push_back(leader);
    if (view) {
      for (const auto& name : view->sync_standbys) {
        const auto* m = view->member(name);
        if (m && !m->site.empty() && m->site != leader) in.push_back(m->site);
      }
    }
    auto& item = add("acknowledged changes", in, 2, "each is on stable storage in two sites before it is acknowledged",
                     "no synchronous standby stands in another site than the primary");
    if (view && !view->strict_sync) {
      item.holds = Holds::No;
      item.says = "Patroni's synchronous_mode_strict is off: changes may be acknowledged by one site alone";
    }
  }

  void etcd() {
    const auto in = where([](const SiteReport& s) { return s.etcd.healthy; });
    // What is left after a loss must be a majority of all.
    add("etcd", in, sites().size() / 2 + 2, "a majority is left when one site goes",
        "when one more site goes there is no majority, and nobody can decide who leads the database");
  }

  void patroni() {
    add("Patroni (switches the database over)", where([](const SiteReport& s) { return s.database.answers; }), 2,
        "answers in other sites too", "answers in too few sites: nothing would take the database over");
  }

  void nodes() {
    add("nodes", where([](const SiteReport& s) { return s.nodes_ready() > 0; }), 2, "ready in other sites too",
        "are ready in too few sites");
  }

  void stored(std::string name) {
    add(std::move(name), copies_, 2, "as safe as the database",
        "are where the database is, and it is in too few sites");
  }

  void media() {
    if (f_.config.blobs.place == BlobPlace::Database) return stored("media (in the database)");
    auto& item = items_.emplace_back();
    item.name = "media (S3)";
    const auto host = cluster::host_port_of(f_.config.blobs.s3_endpoint);
    for (const auto& s : sites()) {
      std::set<std::string> hosts = {host_of(s.site.postgresql), host_of(cluster::host_port_of(s.site.patroni))};
      for (const auto& url : s.site.nodes) hosts.insert(host_of(cluster::host_port_of(url)));
      if (hosts.contains(host_of(host))) item.sites.push_back(s.site.name);
    }
    item.holds = item.sites.empty() ? Holds::Unknown : Holds::No;
    item.says = item.sites.empty()
                    ? fmt::format("in the store at {}: ask who runs it in how many sites it keeps them", host)
                    : fmt::format("in the store at {}, a machine of one site", host);
  }

  static std::string host_of(std::string_view host_port) {
    return std::string(host_port.substr(0, host_port.rfind(':')));
  }

  /// The value that most nodes name, and the nodes that name another.
  struct Agreement {
    std::string value;
    std::vector<std::string> sites;
    std::vector<std::string> others;
    std::size_t asked = 0;
  };
  Agreement agreement(std::string_view key) const {
    std::map<std::string, int> votes;
    Agreement out;
    for (const auto& s : sites()) {
      for (const auto& n : s.nodes) {
        if (n.document.empty()) continue;
        ++out.asked;
        ++votes[text_of(n, key)];
      }
    }
    if (votes.empty()) return out;
    out.value = std::ranges::max_element(votes, {}, [](const auto& v) { return v.second; })->first;
    for (const auto& s : sites()) {
      bool has = false;
      for (const auto& n : s.nodes) {
        if (n.document.empty()) continue;
        if (text_of(n, key) == out.value) has = true;
        else out.others.push_back(n.url);
      }
      if (has) out.sites.push_back(s.site.name);
    }
    return out;
  }

  void alike(std::string name, std::string_view key, std::string_view otherwise) {
    auto a = agreement(key);
    auto& item = add(std::move(name), std::move(a.sites), 2, "the same at every node that answers",
                     a.asked == 0 ? "no node answers" : "are known to the nodes of one site only");
    if (a.others.empty()) return;
    item.holds = Holds::No;
    item.says = fmt::format("{} {} {}", joined(a.others), a.others.size() == 1 ? "has" : "have", otherwise);
  }

  void vault() {
    auto a = agreement("vault");
    auto& item = add("vault key", std::move(a.sites), 2, "the same key at every node that answers",
                     a.asked == 0 ? "no node answers" : "is in one site only");
    if (a.asked > 0 && a.value.empty()) {
      item.holds = Holds::No;
      item.says = "no node has a key: secrets in the database cannot be encrypted";
    } else if (!a.others.empty()) {
      item.holds = Holds::No;
      item.says =
          fmt::format("{} {} not the key that most have", joined(a.others), a.others.size() == 1 ? "has" : "have");
    }
  }

  void tools() {
    const auto a = agreement("version");
    auto& item = add("tools (this program, which switches over, evacuates, audits)", a.sites, 2,
                     fmt::format("version {} in each of these sites", a.value), "are in too few sites");
    if (item.holds == Holds::Yes && !a.others.empty()) {
      item.says = fmt::format("version {}; another one at {}: an upgrade is under way", a.value, joined(a.others));
    }
  }

  void status() {
    add("status page", where([](const SiteReport& s) { return std::ranges::any_of(s.nodes, &NodeReport::answers); }), 2,
        "each node of these sites serves it", "is served by too few sites");
  }

  void way_in() {
    auto& item = items_.emplace_back();
    item.name = "the clients' way in";
    if (f_.config.public_base_url.empty()) {
      item.says = "public_base_url is not set: by which address clients come cannot be seen";
      return;
    }
    const auto& all = f_.public_addresses;
    item.says = fmt::format("{} leads to {}", f_.config.public_base_url, joined(all));
    if (all.size() >= 2) {
      item.holds = Holds::Yes;
    } else if (all.empty()) {
      item.holds = Holds::No;
      item.says = f_.config.public_base_url + " leads nowhere: its name has no address";
    } else {
      item.says += ": one address, which must be able to move to another site";
    }
  }

  void backups();
  void capacity() {
    for (const auto& s : sites()) {
      const auto busy = cluster::busy_without(f_.survey, s.site.name);
      if (!busy) continue;
      if (!worst_ || *busy > *worst_) worst_ = busy;
    }
    auto& item = items_.emplace_back();
    item.name = "spare capacity";
    if (!worst_) {
      item.says = "no node says how busy its machine is";
      return;
    }
    item.holds = *worst_ <= kBusyMax ? Holds::Yes : Holds::No;
    item.says = fmt::format("the other sites' cores would be {:.0f} % busy with one site less{}", *worst_ * 100,
                            item.holds == Holds::Yes ? "" : fmt::format("; at most {:.0f} % is safe", kBusyMax * 100));
    if (item.holds == Holds::Yes) {
      item.sites = where([](const SiteReport& s) { return s.nodes_ready() > 0; });
    }
  }

  /// The sum of it all, site by site.
  void losses() {
    for (const auto& s : sites()) {
      const auto prospect = cluster::without(f_.survey, s.site.name);
      auto& item = items_.emplace_back();
      item.name = "the platform without site " + s.site.name;
      item.holds = prospect.survives ? Holds::Yes : Holds::No;
      item.says = prospect.survives ? "goes on" : prospect.why;
      for (const auto& other : sites()) {
        if (prospect.survives && other.site.name != s.site.name && !other.silent())
          item.sites.push_back(other.site.name);
      }
    }
  }

  const AuditFacts& f_;
  std::vector<AuditItem> items_;
  std::vector<std::string> copies_;
  std::optional<double> worst_;
};

AuditItem judge_backups(const BackupFacts& b, WallMs now_ms, std::size_t places_needed) {
  AuditItem item{.name = "backups"};
  item.sites = b.places;
  item.needed = places_needed;
  if (!b.seen) {
    item.says = b.why;
    return item;
  }
  item.holds = Holds::No;
  if (!b.newest_ms) {
    item.says = "there is none";
  } else if (const auto age = now_ms - *b.newest_ms; age > kBackupAgeMax) {
    item.says = fmt::format("the newest is {} hours old", age / 3'600'000);
  } else if (b.places.size() < places_needed) {
    item.says = "in one place only: " + joined(b.places);
  } else {
    item.holds = Holds::Yes;
    item.says = fmt::format("the newest is {} minutes old, in {}", age / 60'000, joined(b.places));
  }
  return item;
}

void Audit::backups() { items_.push_back(judge_backups(f_.backups, f_.now_ms, 2)); }

std::string_view mark(Holds holds) {
  switch (holds) {
    case Holds::Yes: return "ok";
    case Holds::No: return "LOST";
    case Holds::Unknown: return "?";
  }
  return "?";
}

}  // namespace

std::vector<AuditItem> audit(const AuditFacts& facts) { return Audit(facts).run(); }

std::vector<AuditItem> audit_one_machine(const Config& config, const BackupFacts& backups, WallMs now_ms) {
  std::vector<AuditItem> items;
  const auto here = [&](std::string name, std::string says) {
    items.push_back({.name = std::move(name), .sites = {"this machine"}, .holds = Holds::No, .says = std::move(says)});
  };
  if (config.shared_store()) {
    items.push_back({.name = "database",
                     .says = "in PostgreSQL at " + joined(config.store.hosts) + ", of which no sites are known"});
  } else {
    here("database", "one machine holds it, in " + config.data + ": its loss is the end of the data");
  }
  if (config.blobs.place == BlobPlace::Local) here("media", "one machine holds them, in " + config.data + "/media");
  if (!config.shared_store()) here("keys, tokens and settings", "one machine holds them, with the database");
  here("node and status page", "one machine serves them: its loss ends the service");
  items.push_back(judge_backups(backups, now_ms, 1));
  return items;
}

bool all_hold(const std::vector<AuditItem>& items) {
  return std::ranges::none_of(items, [](const AuditItem& i) { return i.holds == Holds::No; });
}

std::string audit_table(const std::vector<AuditItem>& items) {
  std::size_t name = 4, sites = 5;
  const auto places = [](const AuditItem& i) {
    return i.sites.empty() ? std::string("-") : fmt::format("{} ({})", i.sites.size(), joined(i.sites));
  };
  for (const auto& i : items) {
    name = std::max(name, i.name.size());
    sites = std::max(sites, places(i).size());
  }
  std::string out = fmt::format("{:<5} {:<{}}  {:<{}}  {}\n", "", "WHAT", name, "SITES", sites, "HOW IT STANDS");
  for (const auto& i : items) {
    out += fmt::format("{:<5} {:<{}}  {:<{}}  {}\n", mark(i.holds), i.name, name, places(i), sites, i.says);
  }
  return out;
}

json::object audit_json(const std::vector<AuditItem>& items) {
  json::array list;
  for (const auto& i : items) {
    json::array sites;
    for (const auto& s : i.sites) sites.push_back(json::string(s));
    list.push_back(
        json::object{{"name", i.name},
                     {"holds", i.holds == Holds::Unknown ? json::value(nullptr) : json::value(i.holds == Holds::Yes)},
                     {"sites", std::move(sites)},
                     {"needed", i.needed},
                     {"says", i.says}});
  }
  return {{"survives_any_site", all_hold(items)}, {"items", std::move(list)}};
}

}  // namespace haechi::app
