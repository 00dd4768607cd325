#include "net/request_parser.hpp"

#include <cstring>

#include "base/text.hpp"

namespace haechi::net {
namespace http = boost::beast::http;

std::size_t find_head_end(std::string_view bytes, std::size_t from) {
  // memchr for the rarer byte of the four is what makes this quick.
  while (from < bytes.size()) {
    const void* hit = std::memchr(bytes.data() + from, '\n', bytes.size() - from);
    if (!hit) return std::string_view::npos;
    const auto at = static_cast<std::size_t>(static_cast<const char*>(hit) - bytes.data());
    if (at >= 3 && bytes[at - 1] == '\r' && bytes[at - 2] == '\n' && bytes[at - 3] == '\r') return at + 1;
    from = at + 1;
  }
  return std::string_view::npos;
}

RequestParser::RequestParser() {
  // Both limits are the connection's to keep: it knows the route.
  header_limit(std::numeric_limits<std::uint32_t>::max());
  body_limit(boost::none);
}

namespace {

Method method_of(http::verb verb) {
  switch (verb) {
    case http::verb::get: return Method::Get;
    case http::verb::head: return Method::Head;
    case http::verb::put: return Method::Put;
    case http::verb::post: return Method::Post;
    case http::verb::delete_: return Method::Delete;
    case http::verb::patch: return Method::Patch;
    case http::verb::options: return Method::Options;
    default: return Method::Other;
  }
}

std::string_view view(boost::beast::string_view text) { return {text.data(), text.size()}; }

}  // namespace

Result<> RequestParser::refuse(std::string_view why) {
  return fail(Errc::BadRequest, "not a well-formed HTTP request: " + std::string(why));
}

Result<> RequestParser::parse_head(std::string_view text, Request& request) {
  request_ = &request;
  text_ = text;
  error_code ec;
  const std::size_t taken = put(boost::asio::const_buffer(text.data(), text.size()), ec);
  if (wrong_) return refuse(wrong_);
  if (ec) return refuse(ec.message());
  if (!head_done_ || taken != text.size()) return refuse("the header ends early");
  // RFC 9112, 3.2: exactly one Host in HTTP/1.1.
  if (hosts_ > 1 || (hosts_ == 0 && version_ == 11)) return refuse("there must be one Host header");
  return {};
}

Result<RequestParser::Piece> RequestParser::parse_body(std::string_view bytes) {
  data_ = {};
  // Beast 1.81 asserts when it meets an incomplete last chunk again with fewer than five
  // bytes; between chunks at least those of "0\r\n\r\n" must follow anyway.
  if (chunked() && chunk_left_ == 0 && bytes.size() < 5) return Piece{};
  error_code ec;
  const std::size_t taken = put(boost::asio::const_buffer(bytes.data(), bytes.size()), ec);
  if (ec && ec != http::error::need_more) return std::unexpected(refuse(ec.message()).error());
  return Piece{taken, data_};
}

std::optional<std::uint64_t> RequestParser::content_length() const {
  const auto length = basic_parser::content_length();
  return length ? std::optional<std::uint64_t>(*length) : std::nullopt;
}

void RequestParser::on_request_impl(http::verb verb, base_view, base_view target, int version, error_code& ec) {
  version_ = version;
  request_->method = method_of(verb);
  request_->target = view(target);
  std::string_view rest = request_->target;
  // RFC 9112, 3.2.2: a server accepts the absolute form too.
  const bool absolute = rest.starts_with("http://") || rest.starts_with("https://");
  if (absolute) {
    rest.remove_prefix(rest.find("//") + 2);
    rest.remove_prefix(std::min(rest.find_first_of("/?"), rest.size()));
  }
  const auto question = std::min(rest.find('?'), rest.size());
  request_->path = rest.substr(0, question);
  request_->query = question < rest.size() ? rest.substr(question + 1) : std::string_view{};
  if (absolute && request_->path.empty()) request_->path = "/";
  if (!request_->path.starts_with('/') && !(rest == "*" && request_->method == Method::Options)) {
    wrong_ = "the target is no path";
    ec = http::error::bad_target;
  }
}

void RequestParser::on_field_impl(http::field field, base_view name, base_view value, error_code& ec) {
  if (head_done_) return;  // trailers of a chunked body: nobody asks for them
  // A folded line is handed over in Beast's own short-lived copy, and is obsolete (RFC 9112, 5.2).
  if (!value.empty() && (value.data() < text_.data() || value.data() >= text_.data() + text_.size())) {
    wrong_ = "a header line is folded";
    ec = http::error::bad_value;
    return;
  }
  switch (field) {
    case http::field::host: ++hosts_; break;
    case http::field::expect: expects_continue_ = iequals_ascii(view(value), "100-continue"); break;
    case http::field::transfer_encoding:
      // Anything else would leave the end of the body to guesswork, which is how requests are smuggled.
      if (version_ == 10 || !iequals_ascii(view(value), "chunked")) {
        wrong_ = "this transfer encoding is not understood";
        ec = http::error::bad_transfer_encoding;
      }
      break;
    default: break;
  }
  request_->headers.emplace_back(view(name), view(value));
}

std::size_t RequestParser::on_body_impl(base_view body, error_code&) {
  data_ = view(body);
  return body.size();
}

std::size_t RequestParser::on_chunk_body_impl(std::uint64_t, base_view body, error_code&) {
  chunk_left_ -= body.size();
  data_ = view(body);
  return body.size();
}

}  // namespace haechi::net
