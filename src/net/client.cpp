#include "net/client.hpp"

#include <curl/curl.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <mutex>

#include "base/pool.hpp"
#include "net/target_guard.hpp"

namespace haechi::net {
namespace {

/// One exchange, as curl's callbacks see it.
struct Transfer {
  const ClientRequest& request;
  const std::atomic<bool>& stopping;
  std::string body;
  bool refused = false;
  bool too_large = false;
};

/// The one place that every connection passes: after resolution, after each redirect.
curl_socket_t open_socket(void* user, curlsocktype purpose, curl_sockaddr* address) {
  auto& transfer = *static_cast<Transfer*>(user);
  if (purpose != CURLSOCKTYPE_IPCXN || !target_allowed(address->addr, transfer.request.allowed_private_ranges)) {
    transfer.refused = true;
    return CURL_SOCKET_BAD;
  }
  return ::socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

std::size_t take_body(char* data, std::size_t, std::size_t size, void* user) {
  auto& transfer = *static_cast<Transfer*>(user);
  if (transfer.body.size() + size > transfer.request.response_bytes_max) {
    transfer.too_large = true;
    return 0;
  }
  transfer.body.append(data, size);
  return size;
}

/// Called about once a second, also while nothing moves.
int go_on(void* user, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
  return static_cast<const Transfer*>(user)->stopping ? 1 : 0;
}

/// The extra CA stands beside the system's; CURLOPT_CAINFO would replace them.
CURLcode trust_also(CURL*, void* context, void* user) {
  const auto& file = *static_cast<const std::string*>(user);
  const int ok = SSL_CTX_load_verify_locations(static_cast<SSL_CTX*>(context), file.c_str(), nullptr);
  return ok == 1 ? CURLE_OK : CURLE_SSL_CACERT_BADFILE;
}

struct CurlDeleter {
  void operator()(CURL* c) const { curl_easy_cleanup(c); }
  void operator()(curl_slist* l) const { curl_slist_free_all(l); }
};

bool one_line(std::string_view text) {
  return text.find_first_of(std::string_view("\r\n\0", 3)) == std::string_view::npos;
}

Result<ClientResponse> perform(const ClientRequest& request, const ClientOptions& options,
                               const std::atomic<bool>& stopping) {
  if (stopping) return fail(haechi::Errc::Cancelled, "shutting down");
  const std::unique_ptr<CURL, CurlDeleter> curl(curl_easy_init());
  if (!curl) return fail(haechi::Errc::Io, "curl cannot start");
  CURL* const c = curl.get();
  if (!one_line(request.url) || !one_line(request.method))
    return fail(haechi::Errc::Invalid, "a URL stands on one line");

  std::unique_ptr<curl_slist, CurlDeleter> headers;
  const auto add_header = [&](const std::string& line) {
    if (auto* more = curl_slist_append(headers.get(), line.c_str())) {
      (void)headers.release();
      headers.reset(more);
    }
  };
  for (const auto& [name, value] : request.headers) {
    if (!one_line(name) || !one_line(value)) return fail(haechi::Errc::Invalid, "a header stands on one line");
    add_header(name + ": " + value);
  }
  add_header("Expect:");  // no second round trip before small bodies

  Transfer transfer{request, stopping, {}};
  char why[CURL_ERROR_SIZE] = "";
  const auto timeout_ms = std::chrono::duration_cast<std::chrono::milliseconds>(request.timeout).count();
  curl_easy_setopt(c, CURLOPT_URL, request.url.c_str());
  curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, request.method.c_str());
  if (request.method == "HEAD") curl_easy_setopt(c, CURLOPT_NOBODY, 1L);
  if (!request.body.empty() || request.method == "POST" || request.method == "PUT") {
    curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request.body.size()));
    curl_easy_setopt(c, CURLOPT_POSTFIELDS, request.body.c_str());
  }
  curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers.get());
  curl_easy_setopt(c, CURLOPT_USERAGENT, options.user_agent.c_str());
  curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(c, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, request.redirects_max > 0 ? 1L : 0L);
  curl_easy_setopt(c, CURLOPT_MAXREDIRS, static_cast<long>(request.redirects_max));
  curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, static_cast<long>(std::max<std::int64_t>(timeout_ms, 1)));
  curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(std::max<std::int64_t>(timeout_ms, 1)));
  curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
  // A proxy from the environment would connect for us, out of the guard's sight.
  curl_easy_setopt(c, CURLOPT_PROXY, "");
  curl_easy_setopt(c, CURLOPT_NETRC, static_cast<long>(CURL_NETRC_IGNORED));
  curl_easy_setopt(c, CURLOPT_ACCEPT_ENCODING, "");
  curl_easy_setopt(c, CURLOPT_ERRORBUFFER, why);
  curl_easy_setopt(c, CURLOPT_OPENSOCKETFUNCTION, open_socket);
  curl_easy_setopt(c, CURLOPT_OPENSOCKETDATA, &transfer);
  curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, take_body);
  curl_easy_setopt(c, CURLOPT_WRITEDATA, &transfer);

  curl_easy_setopt(c, CURLOPT_NOPROGRESS, 0L);
  curl_easy_setopt(c, CURLOPT_XFERINFOFUNCTION, go_on);
  curl_easy_setopt(c, CURLOPT_XFERINFODATA, &transfer);

  if (!options.extra_ca_file.empty()) {
    curl_easy_setopt(c, CURLOPT_SSL_CTX_DATA, &options.extra_ca_file);
    curl_easy_setopt(c, CURLOPT_SSL_CTX_FUNCTION, trust_also);
  }

  const CURLcode code = curl_easy_perform(c);
  if (transfer.too_large) return fail(haechi::Errc::TooLarge, "the answer is larger than is allowed");
  if (transfer.refused && code != CURLE_OK) return fail(haechi::Errc::Invalid, "this address must not be connected to");
  switch (code) {
    case CURLE_OK: break;
    case CURLE_ABORTED_BY_CALLBACK: return fail(haechi::Errc::Cancelled, "shutting down");
    case CURLE_OPERATION_TIMEDOUT: return fail(haechi::Errc::Timeout, "no answer in time");
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL: return fail(haechi::Errc::Invalid, "not an http or https URL");
    default: return fail(haechi::Errc::Unavailable, why[0] ? why : curl_easy_strerror(code));
  }

  ClientResponse out;
  long status = 0;
  const char* text = nullptr;
  curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &status);
  out.status = static_cast<int>(status);
  if (curl_easy_getinfo(c, CURLINFO_CONTENT_TYPE, &text) == CURLE_OK && text) out.content_type = text;
  if (curl_easy_getinfo(c, CURLINFO_EFFECTIVE_URL, &text) == CURLE_OK && text) out.final_url = text;
  out.body = std::move(transfer.body);
  return out;
}

}  // namespace

struct Client::Impl {
  Impl(Loop& loop, ClientOptions o)
      : options(std::move(o)), pool(loop, "http-client", options.threads, options.queue_max) {}
  const ClientOptions options;
  std::atomic<bool> stopping = false;
  BlockingPool pool;
};

Client::Client(Loop& loop, ClientOptions options) {
  static std::once_flag once;
  std::call_once(once, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
  impl_ = std::make_unique<Impl>(loop, std::move(options));
}

Client::~Client() = default;

void Client::stop() { impl_->stopping = true; }

Task<Result<ClientResponse>> Client::send(ClientRequest request) {
  co_return co_await impl_->pool.run([request = std::move(request), &impl = *impl_]() -> Result<ClientResponse> {
    return perform(request, impl.options, impl.stopping);
  });
}

}  // namespace haechi::net
