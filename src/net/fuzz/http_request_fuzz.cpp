// Feeds bytes from outside to everything that reads a request before its handler does.

#include "base/text.hpp"
#include "net/request_parser.hpp"

namespace {

using namespace haechi;
using namespace haechi::net;

const Router& router() {
  static const Router* const r = [] {
    auto* out = new Router;
    const auto ok = [](Request&) -> Task<Result<Response>> { co_return Response::empty_object(); };
    out->add(Method::Get, "/_matrix/client/v3/sync", ok);
    out->add(Method::Put, "/_matrix/client/v3/rooms/{roomId}/send/{eventType}/{txnId}", ok);
    out->add(Method::Put, "/_matrix/client/v3/rooms/{roomId}/state/{eventType}/", ok);
    out->add(Method::Put, "/_matrix/client/v3/rooms/{roomId}/state/{eventType}/{stateKey}", ok);
    out->add(Method::Get, "/files/{name...}", ok);
    out->alias("/_matrix/client/r0", "/_matrix/client/v3");
    return out;
  }();
  return *r;
}

void require(bool what) {
  if (!what) __builtin_trap();
}

bool within(std::string_view part, std::string_view whole) {
  return part.empty() || (part.data() >= whole.data() && part.data() + part.size() <= whole.data() + whole.size());
}

void read_request(const Request& request, std::string_view head) {
  // "http://host" means the path "/", which stands nowhere in the head.
  require((within(request.path, head) || request.path == "/") && within(request.query, head));
  for (const auto& [name, value] : request.headers) require(!name.empty() && within(name, head) && within(value, head));
  (void)request.header("Accept-Encoding");
  if (const auto value = request.param("a")) require(is_valid_utf8(*value));
  (void)request.params_all("since");
  (void)request.param_int("limit");
  const auto match = router().match(request.method, request.path);
  for (const auto& param : match.params) require(is_valid_utf8(param));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view bytes(reinterpret_cast<const char*>(data), size);
  while (!bytes.empty()) {
    const std::size_t end = find_head_end(bytes, 0);
    if (end == std::string_view::npos) break;
    const std::string_view head = bytes.substr(0, end);
    bytes.remove_prefix(end);
    Request request;
    RequestParser parser;
    if (!parser.parse_head(head, request)) break;
    read_request(request, head);
    std::uint64_t body = 0;
    while (!parser.done()) {
      // In pieces, as a network would deliver them; a stuck parser gets all there is.
      auto piece = parser.parse_body(bytes.substr(0, 7));
      if (piece && piece->consumed == 0) piece = parser.parse_body(bytes);
      if (!piece || (piece->consumed == 0 && piece->data.empty())) return 0;
      require(piece->consumed <= bytes.size());
      body += piece->data.size();
      bytes.remove_prefix(piece->consumed);
    }
    require(body <= size);
  }
  return 0;
}
