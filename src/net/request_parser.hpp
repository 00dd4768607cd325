#pragma once
// Private to net/: Beast's request parser, told to fill our plain Request with
// views instead of a container of its own. Works on bytes alone, without a socket.

#include <boost/beast/http/basic_parser.hpp>

#include "net/router.hpp"

namespace haechi::net {

/// Where the request's head ends (behind the empty line), searching from `from`; npos while it is incomplete.
std::size_t find_head_end(std::string_view bytes, std::size_t from);

/// One message; make a new parser for the next.
class RequestParser final : private boost::beast::http::basic_parser<true> {
 public:
  RequestParser();

  /// `text` is a whole head (see find_head_end); `request` gets views into it.
  /// Errc::BadRequest says what was wrong.
  Result<> parse_head(std::string_view text, Request& request);

  struct Piece {
    std::size_t consumed = 0;  ///< 0: more bytes are needed
    std::string_view data;     ///< body bytes among the consumed ones; a view into the input
  };
  /// Takes the next piece of the body. Call only until done().
  Result<Piece> parse_body(std::string_view bytes);

  bool done() const { return is_done(); }
  bool keep_alive() const { return basic_parser::keep_alive(); }
  bool http_1_0() const { return version_ == 10; }
  bool expects_continue() const { return expects_continue_ && version_ == 11; }
  std::optional<std::uint64_t> content_length() const;

 private:
  using base_view = boost::beast::string_view;
  using error_code = boost::beast::error_code;

  void on_request_impl(boost::beast::http::verb verb, base_view method, base_view target, int version,
                       error_code& ec) override;
  void on_response_impl(int, base_view, int, error_code&) override {}
  void on_field_impl(boost::beast::http::field field, base_view name, base_view value, error_code& ec) override;
  void on_header_impl(error_code&) override { head_done_ = true; }
  void on_body_init_impl(const boost::optional<std::uint64_t>&, error_code&) override {}
  std::size_t on_body_impl(base_view body, error_code&) override;
  void on_chunk_header_impl(std::uint64_t size, base_view, error_code&) override { chunk_left_ = size; }
  std::size_t on_chunk_body_impl(std::uint64_t, base_view body, error_code&) override;
  void on_finish_impl(error_code&) override {}

  Result<> refuse(std::string_view why);

  Request* request_ = nullptr;
  std::string_view text_;
  std::string_view data_;
  std::uint64_t chunk_left_ = 0;
  const char* wrong_ = nullptr;
  int version_ = 11;
  int hosts_ = 0;
  bool head_done_ = false;
  bool expects_continue_ = false;
};

}  // namespace haechi::net
