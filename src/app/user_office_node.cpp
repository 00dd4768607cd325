#include <curl/curl.h>

#include "app/node_file.hpp"
#include "app/user_office.hpp"
#include "base/json.hpp"
#include "base/text.hpp"

namespace haechi::app {
namespace {

constexpr long kTimeoutMs = 60'000;
constexpr std::size_t kAnswerBytesMax = 16 << 20;

std::string base_url(const NodeFile& node) {
  // Nobody can connect to the wildcard address.
  std::string host = node.address == "0.0.0.0" ? "127.0.0.1" : node.address == "::" ? "::1" : node.address;
  if (host.contains(':')) host = "[" + host + "]";
  return (node.tls ? "https://" : "http://") + host + ':' + std::to_string(node.port);
}

std::size_t take_bytes(char* data, std::size_t size, std::size_t count, void* out) {
  auto& text = *static_cast<std::string*>(out);
  if (text.size() + size * count > kAnswerBytesMax) return 0;
  text.append(data, size * count);
  return size * count;
}

struct FreeCurl {
  void operator()(CURL* handle) const { curl_easy_cleanup(handle); }
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};

class NodeOffice final : public UserOffice {
 public:
  explicit NodeOffice(NodeFile node) : node_(std::move(node)) {}

  Result<std::string> add(NewUser user) override {
    const json::object body{{"name", user.name}, {"password", user.password}, {"admin", user.admin}};
    TRY(const auto answer, call("POST", "users", &body));
    return std::string(get_string(answer, "user_id").value_or(""));
  }

  Result<> set_password(const std::string& name, const std::string& password) override {
    const json::object body{{"password", password}};
    TRY_DO(call("PUT", "users/" + percent_encode(name) + "/password", &body));
    return {};
  }

  Result<> deactivate(const std::string& name, EraseProfile erase) override {
    const json::object body{{"erase", erase == EraseProfile::Yes}};
    TRY_DO(call("POST", "users/" + percent_encode(name) + "/deactivate", &body));
    return {};
  }

  Result<std::string> make_token(NewToken wanted) override {
    json::object body;
    if (wanted.uses_allowed) body["uses_allowed"] = *wanted.uses_allowed;
    if (wanted.expires_ms) body["expires_ms"] = *wanted.expires_ms;
    TRY(const auto answer, call("POST", "registration_tokens", &body));
    return std::string(get_string(answer, "token").value_or(""));
  }

  Result<> list(const std::function<void(const ListedUser&)>& show) override {
    for (std::optional<std::int64_t> from = 0; from;) {
      TRY(const auto page, call("GET", "users?limit=500&from=" + std::to_string(*from), nullptr));
      const auto* users = get_array(page, "users");
      if (!users) return fail(Errc::Invalid, "the node's answer holds no users");
      for (const auto& entry : *users) {
        const auto& u = entry.as_object();
        show({.user_id = std::string(get_string(u, "user_id").value_or("")),
              .admin = get_flag(u, "admin"),
              .guest = get_string(u, "kind") == "guest",
              .deactivated = get_flag(u, "deactivated"),
              .locked = get_flag(u, "locked"),
              .suspended = get_flag(u, "suspended")});
      }
      from = get_int(page, "next");
    }
    return {};
  }

 private:
  Result<json::object> call(const char* method, const std::string& path, const json::object* body) const {
    const std::unique_ptr<CURL, FreeCurl> handle(curl_easy_init());
    if (!handle) return fail(Errc::Io, "libcurl cannot be used");
    CURL* const c = handle.get();
    const auto url = base_url(node_) + "/_haechi/v1/admin/" + path;
    const auto text = body ? to_text(*body) : std::string();
    std::string answer;
    std::unique_ptr<curl_slist, FreeCurl> headers(
        curl_slist_append(nullptr, ("Authorization: Bearer " + node_.token).c_str()));
    curl_slist_append(headers.get(), "Content-Type: application/json");
    curl_easy_setopt(c, CURLOPT_URL, url.c_str());
    curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, method);
    curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers.get());
    curl_easy_setopt(c, CURLOPT_PROXY, "");
    curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, kTimeoutMs);
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, take_bytes);
    curl_easy_setopt(c, CURLOPT_WRITEDATA, &answer);
    // The node's own socket on this machine, held while its folder is locked: its
    // certificate is for the name that the world uses, not for this address.
    curl_easy_setopt(c, CURLOPT_SSL_VERIFYPEER, 0L);
    curl_easy_setopt(c, CURLOPT_SSL_VERIFYHOST, 0L);
    if (body) {
      curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE, static_cast<long>(text.size()));
      curl_easy_setopt(c, CURLOPT_POSTFIELDS, text.c_str());
    }
    if (const auto code = curl_easy_perform(c); code != CURLE_OK) {
      return fail(Errc::Unavailable,
                  "the node at " + base_url(node_) + " cannot be reached: " + curl_easy_strerror(code));
    }
    long status = 0;
    curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &status);
    auto parsed = parse_json_object(answer);
    if (status >= 200 && status < 300) {
      if (!parsed) return fail(Errc::Invalid, "the node's answer is no JSON object");
      return *std::move(parsed);
    }
    const auto detail = parsed ? get_string(*parsed, "detail") : std::nullopt;
    return fail(Errc::Invalid,
                detail ? std::string(*detail) : "the node answered with HTTP status " + std::to_string(status));
  }

  NodeFile node_;
};

}  // namespace

Result<std::unique_ptr<UserOffice>> open_node_office(const std::string& data) {
  TRY(auto node, read_node_file(data));
  return std::make_unique<NodeOffice>(std::move(node));
}

}  // namespace haechi::app
