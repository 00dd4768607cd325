#include "cluster/view.hpp"

#include <algorithm>

#include "base/json.hpp"
#include "base/text.hpp"

namespace haechi::cluster {
namespace {

std::string_view last_part(std::string_view key) { return key.substr(key.rfind('/') + 1); }

std::string string_of(const json::object& o, std::string_view key) {
  return std::string(get_string(o, key).value_or(""));
}

std::string site_of(std::span<const Site> sites, const json::object& member, std::string_view name) {
  const auto api = host_port_of(string_of(member, "api_url"));
  const auto database = host_port_of(string_of(member, "conn_url"));
  for (const auto& s : sites) {
    if (host_port_of(s.patroni) == api || s.postgresql == database) return s.name;
  }
  const auto* same = find_site(sites, name);
  return same ? same->name : std::string();
}

PatroniMember member_of(const json::object& node, std::span<const Site> sites) {
  PatroniMember m;
  m.name = last_part(string_of(node, "key"));
  m.value = string_of(node, "value");
  m.index = get_int(node, "modifiedIndex").value_or(0);
  const auto data = parse_json_object(m.value);
  if (!data) return m;
  m.state = string_of(*data, "state");
  m.role = string_of(*data, "role");
  m.timeline = get_int(*data, "timeline").value_or(0);
  m.site = site_of(sites, *data, m.name);
  if (const auto* tags = get_object(*data, "tags")) {
    m.no_failover = get_flag(*tags, "nofailover");
    m.no_sync = get_flag(*tags, "nosync");
  }
  return m;
}

void read_leaf(View& view, const json::object& node) {
  const auto name = last_part(get_string(node, "key").value_or(""));
  const auto value = string_of(node, "value");
  if (name == "leader") {
    view.leader = value;
    view.leader_index = get_int(node, "modifiedIndex").value_or(0);
  } else if (name == "sync") {
    const auto sync = parse_json_object(value);
    if (!sync) return;
    view.sync_leader = string_of(*sync, "leader");
    for (const auto part : split(get_string(*sync, "sync_standby").value_or(""), ',')) {
      if (const auto standby = trim(part); !standby.empty()) view.sync_standbys.emplace_back(standby);
    }
  } else if (name == "config") {
    const auto config = parse_json_object(value);
    if (!config) return;
    view.loop_wait = get_int(*config, "loop_wait").value_or(view.loop_wait);
    view.strict_sync = get_flag(*config, "synchronous_mode") && get_flag(*config, "synchronous_mode_strict");
  } else if (name == "failover") {
    view.failover_pending = true;
  }
}

}  // namespace

const PatroniMember* View::member(std::string_view name) const {
  const auto at = std::ranges::find(members, name, &PatroniMember::name);
  return at == members.end() ? nullptr : &*at;
}

const PatroniMember* View::at_site(std::string_view site) const {
  const auto at = std::ranges::find(members, site, &PatroniMember::site);
  return at == members.end() ? nullptr : &*at;
}

std::string View::leader_site() const {
  const auto* m = member(leader);
  return m ? m->site : std::string();
}

std::string View::sync_site() const {
  const auto* m = sync_standbys.empty() ? nullptr : member(sync_standbys.front());
  return m ? m->site : std::string();
}

Result<View> parse_view(std::string_view body, std::span<const Site> sites) {
  TRY(const auto answer, parse_json_object(body));
  const auto* root = get_object(answer, "node");
  const auto* nodes = root ? get_array(*root, "nodes") : nullptr;
  if (!nodes) return fail(Errc::NotFound, "etcd holds nothing of Patroni");
  View view;
  for (const auto& item : *nodes) {
    const auto* node = item.if_object();
    if (!node) continue;
    if (last_part(get_string(*node, "key").value_or("")) != "members") {
      read_leaf(view, *node);
      continue;
    }
    const auto* members = get_array(*node, "nodes");
    if (!members) continue;
    for (const auto& m : *members) {
      if (const auto* o = m.if_object()) view.members.push_back(member_of(*o, sites));
    }
  }
  std::ranges::sort(view.members, {}, &PatroniMember::name);
  return view;
}

std::optional<std::string> with_tag(std::string_view value, std::string_view tag) {
  auto data = parse_json_object(value);
  if (!data) return std::nullopt;
  auto& tags = (*data)["tags"];
  if (!tags.is_object()) tags = json::object();
  tags.as_object()[tag] = true;
  return to_text(*data);
}

std::map<std::string, SiteMark, std::less<>> parse_marks(std::string_view body) {
  std::map<std::string, SiteMark, std::less<>> marks;
  const auto answer = parse_json_object(body);
  const auto* root = answer ? get_object(*answer, "node") : nullptr;
  const auto* nodes = root ? get_array(*root, "nodes") : nullptr;
  if (!nodes) return marks;
  for (const auto& item : *nodes) {
    const auto* node = item.if_object();
    const auto value = node ? parse_json_object(get_string(*node, "value").value_or("")) : parse_json_object("");
    if (!value) continue;
    marks[std::string(last_part(get_string(*node, "key").value_or("")))] = {
        .state = site_state_of(get_string(*value, "state").value_or("")), .since = string_of(*value, "since")};
  }
  return marks;
}

std::int64_t modified_index(std::string_view body) {
  const auto answer = parse_json_object(body);
  const auto* node = answer ? get_object(*answer, "node") : nullptr;
  return node ? get_int(*node, "modifiedIndex").value_or(0) : 0;
}

std::int64_t etcd_error(std::string_view body) {
  const auto answer = parse_json_object(body);
  return answer ? get_int(*answer, "errorCode").value_or(0) : 0;
}

}  // namespace haechi::cluster
