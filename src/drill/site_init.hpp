#pragma once
// The first process of a site: what systemd is to a server. It mounts what the
// site needs, starts its services in order, starts again what ended, and reaps
// every orphan: a postmaster that stays a zombie looks alive to Patroni.

#include <map>
#include <string>
#include <vector>

#include "base/json.hpp"
#include "base/result.hpp"

namespace haechi::drill {

struct Service {
  std::string name;
  std::vector<std::string> argv;
  std::map<std::string, std::string> environment;
  std::string log;
  /// Started once one of these URLs answers with 200, or after `wait_s`.
  std::vector<std::string> wait_for;
  int wait_s = 30;
  int nice = 0;  ///< as Nice= in a unit; without the right to it: 0
};

struct SiteSpec {
  std::string name;
  bool namespaces = false;  ///< this process is the first of a PID namespace, with mounts of its own
  std::uint32_t user = 0;   ///< 0: as the drill
  std::uint32_t group = 0;
  /// Files of the machine with what stands over them in the site: its users, its names.
  std::map<std::string, std::string> files_over;
  /// Settings of the kernel for the site's network, "net.ipv4.x" and its value.
  std::map<std::string, std::string> sysctls;
  std::string folder;  ///< where services start
  int generation = 0;  ///< how often the site was started before: process ids do not repeat those of its last life
  std::vector<Service> services;
};

json::object to_json(const SiteSpec& spec);
Result<SiteSpec> parse_site_spec(std::string_view text);

/// Runs until SIGTERM (then it ends what it started, PostgreSQL so that it frees its shared memory) or SIGKILL. Returns
/// an exit code.
int run_site(const std::string& spec_file);

}  // namespace haechi::drill
