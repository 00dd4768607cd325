#include "cluster/survey.hpp"

#include <algorithm>
#include <set>

#include "base/text.hpp"

namespace haechi::cluster {
namespace {

json::object object_of(const Answer& answer) {
  if (!answer.answered()) return {};
  return parse_json_object(answer.body).value_or(json::object());
}

Task<void> ask_ready(Asker& asker, NodeReport& out, Duration each) {
  const auto answer = co_await asker.ask({.url = out.url + "/health/ready", .timeout = each});
  out.answers = answer.answered();
  out.ready = answer.ok();
  if (!out.ready) out.why = std::string(get_string(object_of(answer), "why").value_or(""));
}

Task<void> ask_document(Asker& asker, NodeReport& out, Duration each) {
  const auto answer = co_await asker.ask({.url = out.url + "/_haechi/v1/node", .timeout = each});
  if (answer.ok()) out.document = object_of(answer);
}

/// `streaming` collects the standbys that a primary feeds.
Task<void> ask_patroni(Asker& asker, const Site& site, DatabaseReport& out, std::set<std::string>& streaming,
                       Duration each) {
  const auto answer = co_await asker.ask({.url = site.patroni + "/patroni", .timeout = each});
  out.answers = answer.answered();
  const auto o = object_of(answer);
  out.state = std::string(get_string(o, "state").value_or(""));
  out.timeline = get_int(o, "timeline").value_or(0);
  const auto role = get_string(o, "role").value_or("");
  if (role == "master" || role == "primary") out.role = "primary";
  else if (role == "replica") out.role = get_flag(o, "sync_standby") ? "sync standby" : "standby";
  else out.role = std::string(role);
  if (const auto* log = get_object(o, "xlog")) {
    out.position = get_int(*log, "location").value_or(get_int(*log, "received_location").value_or(0));
  }
  const auto* fed = get_array(o, "replication");
  if (!fed) co_return;
  for (const auto& standby : *fed) {
    const auto* s = standby.if_object();
    if (s && get_string(*s, "state") == "streaming") streaming.emplace(get_string(*s, "application_name").value_or(""));
  }
}

Task<void> ask_etcd_health(Asker& asker, const Site& site, EtcdReport& out, Duration each) {
  const auto answer = co_await asker.ask({.url = site.etcd + "/health", .timeout = each});
  out.answers = out.answers || answer.answered();
  const auto o = object_of(answer);
  out.healthy = answer.ok() && (get_string(o, "health") == "true" || get_flag(o, "health"));
}

Task<void> ask_etcd_role(Asker& asker, const Site& site, EtcdReport& out, Duration each) {
  const auto answer = co_await asker.ask({.url = site.etcd + "/v2/stats/self", .timeout = each});
  out.answers = out.answers || answer.answered();
  out.leader = get_string(object_of(answer), "state") == "StateLeader";
}

/// The first etcd that answers in time is believed.
Task<void> ask_view(Asker& asker, const Site& site, const std::vector<Site>& sites, std::string scope,
                    std::optional<View>& out, Duration each) {
  const auto answer =
      co_await asker.ask({.url = site.etcd + "/v2/keys/service/" + scope + "?recursive=true", .timeout = each});
  if (!answer.ok() || out) co_return;
  if (auto view = parse_view(answer.body, sites)) out = *std::move(view);
}

Task<void> ask_marks(Asker& asker, const Site& site, std::map<std::string, SiteMark, std::less<>>& out, Duration each) {
  const auto answer = co_await asker.ask({.url = site.etcd + "/v2/keys/haechi/sites?recursive=true", .timeout = each});
  if (answer.ok() && out.empty()) out = parse_marks(answer.body);
}

}  // namespace

double NodeReport::busy() const {
  const auto* v = document.if_contains("machine_busy");
  return v && v->is_number() ? v->to_number<double>() : -1;
}
std::int64_t NodeReport::cores() const { return get_int(document, "cores").value_or(0); }

std::size_t SiteReport::nodes_ready() const {
  return static_cast<std::size_t>(std::ranges::count_if(nodes, &NodeReport::ready));
}
bool SiteReport::silent() const {
  return !database.answers && !etcd.answers && std::ranges::none_of(nodes, &NodeReport::answers);
}

const SiteReport* Survey::site(std::string_view name) const {
  const auto at = std::ranges::find_if(sites, [&](const SiteReport& s) { return s.site.name == name; });
  return at == sites.end() ? nullptr : &*at;
}
std::size_t Survey::etcd_healthy() const {
  return static_cast<std::size_t>(std::ranges::count_if(sites, [](const SiteReport& s) { return s.etcd.healthy; }));
}

Task<Survey> survey(Dcs& dcs, Duration each) {
  Survey out;
  auto& asker = dcs.asker();
  std::set<std::string> streaming;
  std::map<std::string, SiteMark, std::less<>> marks;
  for (const auto& site : dcs.sites()) {
    out.sites.push_back({.site = site});
    for (const auto& url : site.nodes) out.sites.back().nodes.push_back({.url = url});
  }
  Scope questions;
  for (auto& s : out.sites) {
    for (auto& node : s.nodes) {
      questions.spawn(ask_ready(asker, node, each));
      questions.spawn(ask_document(asker, node, each));
    }
    questions.spawn(ask_patroni(asker, s.site, s.database, streaming, each));
    questions.spawn(ask_etcd_health(asker, s.site, s.etcd, each));
    questions.spawn(ask_etcd_role(asker, s.site, s.etcd, each));
    questions.spawn(ask_view(asker, s.site, dcs.sites(), dcs.scope(), out.view, each));
    questions.spawn(ask_marks(asker, s.site, marks, each));
  }
  co_await questions.join();

  std::int64_t newest = 0;
  for (auto& s : out.sites) newest = std::max(newest, s.database.position);
  for (auto& s : out.sites) {
    if (const auto mark = marks.find(s.site.name); mark != marks.end()) {
      s.state = mark->second.state;
      s.since = mark->second.since;
    }
    auto& db = s.database;
    if (const auto* member = out.view ? out.view->at_site(s.site.name) : nullptr) {
      db.member = member->name;
      // Who holds the key leads; an old primary that was cut off may still think that it does.
      if (db.role == "primary" && out.view->leader != member->name) db.role = "former primary";
    }
    db.streaming = streaming.contains(db.member);
    if (db.answers && db.position > 0) db.lag = newest - db.position;
  }
  co_return out;
}

std::optional<double> busy_without(const Survey& survey, std::string_view site) {
  double busy = 0, left = 0;
  std::set<std::string> machines;
  for (const auto& s : survey.sites) {
    for (const auto& node : s.nodes) {
      if (node.busy() < 0 || node.cores() <= 0) continue;
      const auto host = host_port_of(node.url);
      if (!machines.insert(host.substr(0, host.rfind(':'))).second) continue;
      busy += node.busy() * static_cast<double>(node.cores());
      if (s.site.name != site) left += static_cast<double>(node.cores());
    }
  }
  if (left <= 0) return std::nullopt;
  return busy / left;
}

Prospect without(const Survey& survey, std::string_view site) {
  const auto no = [](std::string why) { return Prospect{false, std::move(why)}; };
  std::size_t etcd = 0, ready = 0, copies = 0;
  bool primary_elsewhere = false, sync_elsewhere = false;
  for (const auto& s : survey.sites) {
    if (s.site.name == site) continue;
    etcd += s.etcd.healthy ? 1 : 0;
    ready += s.nodes_ready();
    const bool running = s.database.answers && s.database.state == "running";
    if (running && s.database.role == "primary") primary_elsewhere = true;
    if (running && s.database.role == "sync standby") sync_elsewhere = true;
    if (running && (s.database.role == "primary" || s.database.streaming)) ++copies;
  }
  if (!survey.view) return no("no etcd member answers: nobody knows who leads the database");
  if (survey.view->leader.empty()) return no("the database has no leader");
  if (etcd * 2 <= survey.sites.size()) return no("etcd would have no majority");
  if (!primary_elsewhere && !sync_elsewhere) {
    return no("no synchronous standby stands in another site");
  }
  if (copies < 2) return no("only one copy of the database would be left: it would not accept writes");
  if (ready == 0) return no("no node in another site is ready");
  return {true, {}};
}

}  // namespace haechi::cluster
