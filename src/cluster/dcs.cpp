#include "cluster/dcs.hpp"

#include <fmt/format.h>

#include "base/json.hpp"
#include "base/text.hpp"

namespace haechi::cluster {
namespace {

constexpr auto kChange = std::chrono::milliseconds(700);
constexpr std::string_view kMarks = "/v2/keys/haechi/sites";
constexpr std::int64_t kMemberTtl = 20;
constexpr std::string_view kForm = "application/x-www-form-urlencoded";

/// etcd speaks of a missing leader or a time-out by 5xx: another member may know better.
bool settles(const Answer& a) { return a.answered() && a.status < 500; }

}  // namespace

Dcs::Dcs(Asker& asker, std::vector<Site> sites, std::string scope)
    : asker_(asker), sites_(std::move(sites)), scope_(std::move(scope)), root_("/v2/keys/service/" + scope_) {
  order_ = [this] {
    std::vector<const Site*> all;
    for (const auto& s : sites_) all.push_back(&s);
    return all;
  };
}

Task<Answer> Dcs::etcd(std::string method, std::string path, std::string body, Duration each) {
  Answer last;
  for (const auto* site : order_()) {
    Question q{.method = method, .url = site->etcd + path, .body = body, .timeout = each};
    if (!body.empty()) q.content_type = kForm;
    last = co_await asker_.ask(std::move(q));
    if (settles(last)) break;
  }
  co_return last;
}

Task<Result<View>> Dcs::view(Quorum quorum, Duration each) {
  const auto answer =
      co_await etcd("GET", root_ + "?recursive=true" + (quorum == Quorum::Yes ? "&quorum=true" : ""), "", each);
  if (!settles(answer)) co_return fail(Errc::Unavailable, "no etcd member answers");
  co_return parse_view(answer.body, sites_);
}

Task<Result<std::map<std::string, SiteMark, std::less<>>>> Dcs::marks() {
  const auto answer = co_await etcd("GET", std::string(kMarks) + "?recursive=true", "", kChange);
  if (!settles(answer)) co_return fail(Errc::Unavailable, "no etcd member answers");
  co_return parse_marks(answer.body);
}

Task<Result<>> Dcs::mark(std::string site, SiteState state, std::string since) {
  const auto value = to_text(json::object{{"state", name_of(state)}, {"since", since}});
  const auto answer = co_await etcd("PUT", fmt::format("{}/{}", kMarks, site), "value=" + percent_encode(value),
                                    std::chrono::seconds(2));
  if (!answer.ok()) co_return fail(Errc::Unavailable, "etcd does not take the mark: is a majority of its members up?");
  co_return Result<>{};
}

Task<Changed> Dcs::change(std::string method, std::string path, std::string body) {
  const auto answer = co_await etcd(std::move(method), std::move(path), std::move(body), kChange);
  if (answer.ok()) co_return Changed::Yes;
  if (!settles(answer)) co_return Changed::Unknown;
  const auto code = etcd_error(answer.body);
  if (code == etcd_code::kNotFound) co_return Changed::Gone;
  co_return code == etcd_code::kCompareFailed ? Changed::No : Changed::Unknown;
}

Task<Changed> Dcs::release_leader(std::string member, std::int64_t index) {
  co_return co_await change(
      "DELETE", fmt::format("{}/leader?prevValue={}&prevIndex={}", root_, percent_encode(member), index), "");
}

Task<Changed> Dcs::tag_member(PatroniMember member, std::string tag) {
  const auto value = with_tag(member.value, tag);
  if (!value) co_return Changed::No;
  co_return co_await change(
      "PUT", fmt::format("{}/members/{}", root_, percent_encode(member.name)),
      fmt::format("value={}&prevIndex={}&ttl={}", percent_encode(*value), member.index, kMemberTtl));
}

Task<void> Dcs::withdraw_failover() { co_await change("DELETE", root_ + "/failover", ""); }

Task<bool> Dcs::wake(const Site& site, std::int64_t loop_wait) {
  // Setting what is set already changes nothing; the request itself wakes the loop.
  const auto answer = co_await asker_.ask({.method = "PATCH",
                                           .url = site.patroni + "/config",
                                           .body = fmt::format(R"({{"loop_wait":{}}})", loop_wait),
                                           .content_type = "application/json",
                                           .timeout = std::chrono::seconds(1)});
  co_return answer.ok();
}

}  // namespace haechi::cluster
