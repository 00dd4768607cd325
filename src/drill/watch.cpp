#include "drill/watch.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/json.hpp"
#include "drill/http.hpp"

namespace haechi::drill {
namespace {

using namespace std::chrono_literals;

constexpr auto kPatience = 700ms;
constexpr int kNodes = 2 * kSites;

int index_of(std::string_view name) {
  return name.size() == 1 && name[0] >= 'a' && name[0] < 'a' + kSites ? name[0] - 'a' : -1;
}

}  // namespace

Roles parse_cluster(std::string_view text) {
  Roles roles;
  const auto o = parse_json_object(text);
  const auto* members = o ? get_array(*o, "members") : nullptr;
  if (!members) return roles;
  for (const auto& v : *members) {
    const auto* m = v.if_object();
    if (!m) continue;
    const int site = index_of(get_string(*m, "name").value_or(""));
    const auto role = get_string(*m, "role").value_or("");
    if (role == "leader" || role == "master" || role == "primary") roles.primary = site;
    else if (role == "sync_standby") roles.standby = site;
    else roles.third = site;
  }
  return roles;
}

Replication parse_replication(std::string_view text) {
  Replication out;
  const auto o = parse_json_object(text);
  const auto* list = o ? get_array(*o, "replication") : nullptr;
  if (!list) return out;
  for (const auto& v : *list) {
    const auto* r = v.if_object();
    if (!r || get_string(*r, "state") != "streaming" || index_of(get_string(*r, "application_name").value_or("")) < 0)
      continue;
    ++out.streaming;
    if (get_string(*r, "sync_state") == "sync") out.synchronous = true;
  }
  return out;
}

Roles ask_roles(const Sites& sites, std::span<const int> but, std::chrono::milliseconds patience) {
  for (const auto& site : sites) {
    if (!site.process.running() || site.frozen || std::ranges::find(but, site.index) != but.end()) continue;
    const auto reply = http("GET", site.patroni() + "/cluster", {}, patience);
    if (!reply || reply->status != 200) continue;
    if (const auto roles = parse_cluster(reply->body); roles.primary >= 0) return roles;
  }
  return {};
}

std::string Health::lacking() const {
  std::vector<std::string> out;
  for (const int site : etcds) out.push_back(fmt::format("etcd in {}", static_cast<char>('a' + site)));
  if (!primary) out.push_back("a primary");
  if (standbys_missing > 0) out.push_back(fmt::format("{} of {} standbys", standbys_missing, kSites - 1));
  if (!synchronous) out.push_back("a synchronous standby");
  if (!nodes.empty()) out.push_back(fmt::format("{} of {} nodes", nodes.size(), kNodes));
  return fmt::format("{}", fmt::join(out, ", "));
}

Health ask_health(const Sites& sites, Nodes nodes) {
  Health health;
  for (const auto& site : sites) {
    if (!answers_ok(site.etcd() + "/health", kPatience)) health.etcds.push_back(site.index);
  }
  const Roles roles = ask_roles(sites);
  health.primary = roles.primary >= 0;
  if (health.primary) {
    const auto reply = http("GET", sites[roles.primary].patroni() + "/patroni", {}, kPatience);
    const auto replication = reply ? parse_replication(reply->body) : Replication{};
    health.standbys_missing = std::max(0, kSites - 1 - replication.streaming);
    // PostgreSQL waits for it, and Patroni would promote it.
    health.synchronous = replication.synchronous && roles.standby >= 0;
  }
  if (nodes == Nodes::Included) {
    for (const auto& site : sites) {
      const auto urls = site.nodes();
      for (int n = 0; n < static_cast<int>(urls.size()); ++n) {
        if (!answers_ok(urls[static_cast<std::size_t>(n)] + "/health/ready", kPatience)) {
          health.nodes.push_back({site.index, n});
        }
      }
    }
  }
  return health;
}

Result<> replace_etcd_member(const Sites& sites, int lost) {
  const auto& site = sites[lost];
  const std::string peer = "http://" + site.address + ":2380";
  std::string why = "no etcd answers";
  for (int attempt = 0; attempt < 40; ++attempt, std::this_thread::sleep_for(250ms)) {
    for (const auto& other : sites) {
      if (other.index == lost) continue;
      const auto list = http("GET", other.etcd() + "/v2/members", {}, 1s);
      if (!list || list->status != 200) continue;
      const auto o = parse_json_object(list->body);
      const auto* members = o ? get_array(*o, "members") : nullptr;
      if (!members) continue;
      for (const auto& v : *members) {
        const auto* m = v.if_object();
        const auto* urls = m ? get_array(*m, "peerURLs") : nullptr;
        if (!urls || urls->empty() || get_string(*m, "id") == std::nullopt || !(*urls)[0].is_string() ||
            sv((*urls)[0].get_string()) != peer) {
          continue;
        }
        (void)http("DELETE", other.etcd() + "/v2/members/" + std::string(*get_string(*m, "id")), {}, 2s);
      }
      const auto added = http("POST", other.etcd() + "/v2/members",
                              to_text(json::object{{"peerURLs", json::array{json::value(peer)}}}), 2s);
      if (added && added->status == 201) return {};
      why = added ? fmt::format("etcd in {} answers {}: {}", other.name, added->status, added->body)
                  : added.error().message;
    }
  }
  return fail(Errc::Unavailable, "the site cannot join etcd again: " + why);
}

}  // namespace haechi::drill
