#include "messenger/sliding/api.hpp"

#include "base/text.hpp"
#include "messenger/errc.hpp"

namespace haechi::messenger {
namespace {
constexpr std::int64_t kTimeoutMaxMs = 10 * 60 * 1000;
}

void SlidingSyncApi::routes(net::Router& router) {
  for (const auto* path : {"/_matrix/client/unstable/org.matrix.simplified_msc3575/sync", "/_matrix/client/v4/sync"}) {
    router.add(net::Method::Post, path, [this](net::Request& req) { return post_sync(req); });
  }
}

Task<Result<net::Response>> SlidingSyncApi::post_sync(net::Request& req) {
  SlidingSyncRequest request;
  request.session = gate_.at_hand(req, Memory::MayLag);
  if (!request.session) {
    CO_TRY(request.session, co_await gate_.require(req, Guests::Allowed));
  }
  CO_TRY(const auto body, read_body(req, EmptyBody::IsObject));
  CO_TRY(request.body, sliding::Request::parse(body));
  request.pos = req.param("pos").value_or("");
  if (const auto timeout = req.param("timeout")) {
    const auto ms = parse_int(*timeout);
    if (!ms || *ms < 0) co_return fail(Errc::InvalidParam, "timeout must be a number of milliseconds");
    request.timeout = std::chrono::milliseconds(std::min(*ms, kTimeoutMaxMs));
  }
  if (const auto presence = req.param("set_presence")) {
    if (*presence != "online" && *presence != "offline" && *presence != "unavailable") {
      co_return fail(Errc::InvalidParam, "set_presence must be online, unavailable or offline");
    }
    request.set_presence = *presence;
  }
  CO_TRY(auto text, co_await sync_.sync(std::move(request), req.canceller));
  co_return reply_text(std::move(text));
}

}  // namespace haechi::messenger
