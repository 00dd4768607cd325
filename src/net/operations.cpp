#include "net/operations.hpp"

#include "base/text.hpp"

namespace haechi::net {
namespace {

Task<Result<Response>> reply(Response response) { co_return response; }

Response health(bool good, std::string_view why) {
  std::string body = good ? R"({"status":"ok")" : R"({"status":"unavailable")";
  if (!why.empty()) {
    body += R"(,"why":)";
    append_json_string(body, why);
  }
  Response out{.status = good ? 200 : 503, .body = body + "}"};
  out.headers.emplace_back("Cache-Control", "no-store");
  return out;
}

}  // namespace

void add_operations_routes(Router& router, Metrics& metrics, std::function<Result<>()> ready) {
  router.add(Method::Get, "/metrics", [&metrics](Request&) {
    return reply({.content_type = "text/plain; version=0.0.4; charset=utf-8", .body = metrics.render()});
  });
  router.add(Method::Get, "/health/live", [](Request&) { return reply(health(true, {})); });
  router.add(Method::Get, "/health/ready", [ready = std::move(ready)](Request&) {
    const auto state = ready();
    return reply(health(state.has_value(), state ? std::string_view{} : std::string_view(state.error().message)));
  });
}

}  // namespace haechi::net
