#pragma once
// Three sites on one machine: their folders, their configuration (deploy/, filled
// in), their processes. What runs in a site is what runs in a real one: etcd,
// Patroni with PostgreSQL, two Haechi nodes.

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "drill/network.hpp"
#include "drill/process.hpp"
#include "drill/run.hpp"
#include "drill/site_init.hpp"
#include "drill/templates.hpp"

namespace haechi::drill {

inline constexpr int kSites = 3;
inline constexpr int kClients = kSites;  ///< index of the clients' network

struct SitesOptions {
  Ground ground = Ground::Loopback;
  std::string folder;                         ///< the drill's own, on a disk
  std::array<std::uint32_t, kSites> users{};  ///< whom a site's services run as; 0: as the drill itself
  bool limited_volumes = false;  ///< PostgreSQL's folder is a file system of its own, so that it can be full
  bool nodes = true;             ///< Haechi nodes, too
};

/// One site. Orchestrator's thread only.
class Site {
 public:
  std::string name;  ///< a, b, c
  int index = 0;
  std::string address;
  std::string folder;

  std::string patroni() const { return "http://" + address + ":8009"; }
  std::string etcd() const { return "http://" + address + ":2379"; }
  std::vector<std::string> nodes() const { return {"http://" + address + ":8008", "http://" + address + ":8018"}; }
  std::string postgres_folder() const { return folder + "/pg"; }
  std::string log(std::string_view service) const { return folder + "/" + std::string(service) + ".log"; }

  SiteProcess process;
  bool frozen = false;
};

class Sites {
 public:
  /// Folders, keys, configuration; nothing runs yet. `network` may be null on loopback.
  static Result<std::unique_ptr<Sites>> create(SitesOptions options, const Network* network);
  ~Sites();
  Sites(const Sites&) = delete;
  Sites& operator=(const Sites&) = delete;

  Site& operator[](int i) { return sites_[static_cast<std::size_t>(i)]; }
  const Site& operator[](int i) const { return sites_[static_cast<std::size_t>(i)]; }
  auto begin() { return sites_.begin(); }
  auto end() { return sites_.end(); }
  auto begin() const { return sites_.begin(); }
  auto end() const { return sites_.end(); }

  /// As switching the machine on.
  Result<> start(int site);
  /// As a fire.
  Result<> kill(int site);
  Result<> freeze(int site);
  void thaw(int site);
  /// New disks: nothing of the site's data is left. Its processes must be dead.
  Result<> wipe(int site);
  /// Takes all free space of PostgreSQL's volume, and gives it back.
  Result<> fill_volume(int site);
  Result<> free_volume(int site);

  /// How a site's etcd joins when it starts: "new" or "existing".
  void set_etcd_state(int site, std::string state);

  /// For commands that an operator runs: a configuration file as it stands in `site`.
  std::string config_of(int site) const { return (*this)[site].folder + "/haechi.toml"; }
  const std::string& program() const { return program_; }
  const SitesOptions& options() const { return options_; }
  Place place() const;

 private:
  Sites() = default;
  Result<> prepare();
  Result<> prepare_site(Site& site);
  Result<> write_spec(const Site& site);
  Result<> make_volume(const Site& site);
  Values values(const Site& site) const;
  std::uint32_t user_of(const Site& site) const { return options_.users[static_cast<std::size_t>(site.index)]; }

  SitesOptions options_;
  const Network* network_ = nullptr;
  std::string program_;  ///< a copy of this program that every user may run
  std::string passwords_[4];
  std::array<Site, kSites> sites_;
  std::array<int, kSites> generations_{};
  std::array<std::string, kSites> etcd_state_{"new", "new", "new"};
};

/// The last lines of a file, for people.
std::string tail(const std::string& path, std::size_t lines);

}  // namespace haechi::drill
