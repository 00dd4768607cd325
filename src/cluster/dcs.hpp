#pragma once
// Patroni's and our own keys in etcd, and Patroni's REST API, by whichever member answers.

#include <functional>
#include <string>
#include <vector>

#include "cluster/asker.hpp"
#include "cluster/view.hpp"

namespace haechi::cluster {

enum class Quorum : bool { No, Yes };

/// Whether a compare-and-change found what it compared with.
enum class Changed { Yes, No, Gone, Unknown };

class Dcs {
 public:
  Dcs(Asker& asker, std::vector<Site> sites, std::string scope);

  /// Members of these sites are asked, the first first. The default is all, in the order of the file.
  void prefer(std::function<std::vector<const Site*>()> order) { order_ = std::move(order); }

  /// `quorum`: as of now, for which a majority of etcd must agree. Errc::Unavailable when nobody answers.
  Task<Result<View>> view(Quorum quorum, Duration each = std::chrono::milliseconds(500));
  Task<Result<std::map<std::string, SiteMark, std::less<>>>> marks();
  Task<Result<>> mark(std::string site, SiteState state, std::string since);

  /// Deletes the leader key if it is still `member`'s and was not renewed since `index`.
  Task<Changed> release_leader(std::string member, std::int64_t index);
  /// Sets a tag in a member's key if it was not written since `member` was read; see with_tag().
  Task<Changed> tag_member(PatroniMember member, std::string tag);
  /// Deletes a switchover request that was never taken up.
  Task<void> withdraw_failover();

  /// Makes the Patroni of a site run its loop now rather than at the next second.
  Task<bool> wake(const Site& site, std::int64_t loop_wait);

  const std::vector<Site>& sites() const { return sites_; }
  const std::string& scope() const { return scope_; }
  Asker& asker() { return asker_; }

 private:
  Task<Answer> etcd(std::string method, std::string path, std::string body, Duration each);
  Task<Changed> change(std::string method, std::string path, std::string body);
  Asker& asker_;
  const std::vector<Site> sites_;
  const std::string scope_;
  const std::string root_;
  std::function<std::vector<const Site*>()> order_;
};

}  // namespace haechi::cluster
