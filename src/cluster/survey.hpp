#pragma once
// How the platform stands: every member of every site is asked at once, each for a
// second at most, and what they say is put together by site.

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/json.hpp"
#include "cluster/dcs.hpp"

namespace haechi::cluster {

struct NodeReport {
  std::string url;
  bool answers = false;
  bool ready = false;
  std::string why;        ///< not ready
  json::object document;  ///< GET /_haechi/v1/node; empty when it has none
  double busy() const;    ///< share of its machine, 0 to 1; negative when unknown
  std::int64_t cores() const;
};

struct DatabaseReport {
  bool answers = false;  ///< Patroni
  std::string member;
  std::string role;   ///< "primary", "sync standby", "standby", or empty
  std::string state;  ///< "running", ...
  std::int64_t timeline = 0;
  std::int64_t position = 0;  ///< in the log, bytes
  std::int64_t lag = 0;       ///< bytes behind the primary
  bool streaming = false;     ///< as the primary sees it
};

struct EtcdReport {
  bool answers = false;
  bool healthy = false;  ///< it has a leader and a majority
  bool leader = false;
};

struct SiteReport {
  Site site;
  SiteState state = SiteState::InService;
  std::string since;
  std::vector<NodeReport> nodes;
  DatabaseReport database;
  EtcdReport etcd;
  std::size_t nodes_ready() const;
  bool silent() const;  ///< nothing in it answers
};

struct Survey {
  std::vector<SiteReport> sites;
  std::optional<View> view;  ///< nothing when etcd says nothing
  const SiteReport* site(std::string_view name) const;
  std::size_t etcd_healthy() const;
};

Task<Survey> survey(Dcs& dcs, Duration each = std::chrono::milliseconds(1000));

/// Whether the platform goes on when a site is gone, and the first reason why not. (Whether it is quick
/// enough then is another question: busy_without().)
struct Prospect {
  bool survives = false;
  std::string why;
};
Prospect without(const Survey& survey, std::string_view site);

/// Of all machines' cores, the share that is busy once `site` is gone and its load is spread over the
/// others; nothing when no node says. Nodes on one machine (the same host in their URL) count it once.
std::optional<double> busy_without(const Survey& survey, std::string_view site);

/// Tables and JSON for people and programs.
std::string to_table(const Survey& survey);
json::object to_json(const Survey& survey);

}  // namespace haechi::cluster
