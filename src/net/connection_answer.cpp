#include "base/log.hpp"
#include "net/body_stream.hpp"
#include "net/connection.hpp"
#include "net/gzip.hpp"

namespace haechi::net {
namespace {

/// Longer compressions would keep the loop from everybody else.
constexpr std::size_t kCompressOnLoopMax = 256 * 1024;

std::string_view text_of(const Response& response) {
  if (const auto* text = std::get_if<std::string>(&response.body)) return *text;
  if (const auto* shared = std::get_if<SharedBytes>(&response.body); shared && *shared) return **shared;
  return {};
}

bool compressible(const Response& response, std::size_t bytes_min) {
  if (text_of(response).size() < std::max<std::size_t>(bytes_min, 1) || !worth_compressing(response.content_type))
    return false;
  for (const auto& [name, value] : response.headers) {
    if (name == "Content-Encoding") return false;
  }
  return true;
}

}  // namespace

void Connection::start_handler(Exchange& exchange) {
  if (exchange.route) return core_->handlers.spawn(serve(shared_from_this(), exchange));
  const Request& request = exchange.request;
  if (request.method == Method::Options && core_->options.cors) {
    return answer(exchange, {.status = 204, .content_type = {}});
  }
  if (!exchange.path_known) {
    return answer(exchange,
                  core_->router.render(request.path, Error(Errc::UnknownPath, "there is nothing at this path")));
  }
  Response response =
      core_->router.render(request.path, Error(Errc::WrongMethod, "this path does not answer that method"));
  response.headers.emplace_back("Allow", exchange.allow);
  answer(exchange, std::move(response));
}

// Parked long polls hold this frame: what needs room happens in plain functions.
Task<void> Connection::serve(std::shared_ptr<Connection> self, Exchange& exchange) {
  std::exception_ptr failed;
  try {
    self->take_result(exchange, co_await exchange.route->handler(exchange.request));
  } catch (...) {
    failed = std::current_exception();
  }
  if (failed) self->handler_failed(exchange, failed);
  if (self->wants_gzip(exchange)) co_await self->compress(exchange);
  self->handler_done(exchange);
}

void Connection::take_result(Exchange& exchange, Result<Response> result) {
  exchange.response = result ? *std::move(result) : core_->router.render(exchange.request.path, result.error());
}

void Connection::handler_failed(Exchange& exchange, const std::exception_ptr& failed) {
  std::string what = "something that is no std::exception";
  try {
    std::rethrow_exception(failed);
  } catch (const std::exception& e) {
    what = e.what();
  } catch (...) {
  }
  const Request& request = exchange.request;
  log::error("a handler failed", {{"method", to_string(request.method)}, {"route", request.route}, {"what", what}});
  exchange.response = core_->router.render(request.path, Error(haechi::Errc::Broken, "something went wrong inside"));
}

bool Connection::wants_gzip(Exchange& exchange) const {
  if (!compressible(exchange.response, core_->options.gzip_bytes_min)) return false;
  exchange.vary = true;
  return accepts_gzip(exchange.request.header("Accept-Encoding"));
}

// Inlined, its frame would become part of every parked request's.
[[gnu::noinline]] Task<void> Connection::compress(Exchange& exchange) {
  const std::string_view text = text_of(exchange.response);
  std::string packed;
  if (text.size() <= kCompressOnLoopMax) {
    packed = gzip(text);
  } else {
    auto result = co_await core_->compressors().run([text]() -> Result<std::string> { return gzip(text); });
    if (result) packed = *std::move(result);
  }
  // A full queue or a broken zlib costs bandwidth, not the answer.
  if (packed.empty() || packed.size() >= text.size()) co_return;
  exchange.response.body = std::move(packed);
  exchange.gzipped = true;
}

void Connection::handler_done(Exchange& exchange) {
  if (stream_ && &stream_->exchange() == &exchange) end_stream(exchange);
  exchange.done = true;
  if (core_->draining) core_->emptied.notify();
  if (!receiving_) core_->flush_soon(shared_from_this());
}

void Connection::end_stream(Exchange& exchange) {
  const bool whole = parser_->done();
  if (whole && exchange.keep_alive && !core_->draining) {
    phase_ = Phase::Head;
    pending_ = stream_->take_rest();
    parse_again_ = !pending_.empty();
  } else {
    phase_ = Phase::Closed;
  }
  if (!whole) {
    // The rest of the upload would be taken for the next request.
    exchange.keep_alive = false;
    linger_after_output_ = true;
  }
  exchange.request.stream = nullptr;
  parser_.reset();
  stream_.reset();
}

void Connection::answer(Exchange& exchange, Response response) {
  exchange.response = std::move(response);
  handler_done(exchange);
}

void Connection::want_continue(Exchange& exchange) {
  if (!exchange.continue_owed) return;
  exchange.continue_wanted = true;
  if (!receiving_) core_->flush_soon(shared_from_this());
}

void Connection::flush() {
  if (receiving_) return;
  const auto self = shared_from_this();
  write_ready_answers();
  send_output();
  // While we wanted none, bytes may have been left where the socket does not tell of them.
  if ((parse_again_ || transport_->has_buffered()) && wants_bytes()) return receive();
  settle();
}

void Connection::write_ready_answers() {
  std::size_t n = 0;
  if (closed_) {
    // Nobody hears them; what they hold goes.
    std::erase_if(exchanges_, [](const auto& e) { return e->done; });
    return;
  }
  if (!exchanges_.empty() && exchanges_.front()->done) {
    const Instant at = now();
    for (; n < exchanges_.size() && exchanges_[n]->done && !close_after_output_; ++n) {
      write_answer(*exchanges_[n], n + 1 == exchanges_.size(), at);
      core_->give_back(std::move(exchanges_[n]));
    }
    exchanges_.erase(exchanges_.begin(), exchanges_.begin() + static_cast<std::ptrdiff_t>(n));
    if (phase_ == Phase::Head && searched_ == 0) phase_since_ = at;
    if (!pending_.empty()) parse_again_ = true;
  }
  if (!exchanges_.empty() && exchanges_.front()->continue_wanted) {
    exchanges_.front()->continue_owed = exchanges_.front()->continue_wanted = false;
    out_.text() += "HTTP/1.1 100 Continue\r\n\r\n";
  }
}

void Connection::write_answer(Exchange& exchange, bool last, Instant at) {
  Response& response = exchange.response;
  const bool close = !exchange.keep_alive || (last && core_->draining);
  const auto length = body_length(response);
  core_->head.append(out_.text(), response, length,
                     {.persist = close               ? Persist::Close
                                 : exchange.http_1_0 ? Persist::KeepAlive
                                                     : Persist::Default,
                      .gzipped = exchange.gzipped,
                      .vary = exchange.vary},
                     at);
  const bool has_body = exchange.request.method != Method::Head && response.status != 204 && response.status != 304;
  if (has_body) out_.body(std::move(response.body));
  core_->count(exchange, exchange.request.peer.empty() ? std::string_view(peer_) : exchange.request.peer,
               has_body ? length : 0, at);
  if (close) close_after_output_ = true;
}

void Connection::send_output() {
  if (closed_ || out_.empty()) return;
  const auto before = written_;
  const Io io = out_.flush(*transport_, written_);
  if (io == Io::Ok) return;
  if (io == Io::Failed || io == Io::Eof) return close();
  if (written_ != before || !write_waiting_) written_at_ = now();
  io == Io::BlockedOther ? wait_read() : wait_write();
}

void Connection::settle() {
  if (closed_) return;
  if (exchanges_.empty() && out_.empty() && phase_ != Phase::Linger) {
    if (linger_after_output_ && !input_ended_) {
      begin_linger();
    } else if (close_after_output_ || input_ended_ || core_->draining) {
      return close();
    }
  }
  if (wants_bytes()) wait_read();
  set_deadline();
}

void Connection::begin_linger() {
  // Closing with unread bytes would send a reset, which can overtake the answer.
  transport_->shutdown_write();
  phase_ = Phase::Linger;
  phase_since_ = now();
}

}  // namespace haechi::net
