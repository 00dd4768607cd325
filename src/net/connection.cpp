#include "net/connection.hpp"

#include "net/body_stream.hpp"

namespace haechi::net {
namespace {
constexpr std::uint64_t kDroppedBytesMax = 64 * 1024 * 1024;
constexpr auto kLingerTime = std::chrono::seconds(5);
}  // namespace

Connection::Connection(std::shared_ptr<ServerCore> core, asio::ip::tcp::socket socket, std::string peer)
    : core_(std::move(core)),
      socket_(std::move(socket)),
      transport_(core_->tls ? make_tls_transport(socket_.native_handle(), *core_->tls)
                            : make_plain_transport(socket_.native_handle())),
      peer_(std::move(peer)),
      out_(core_->spare_output) {}

Connection::~Connection() = default;

void Connection::start() {
  phase_since_ = now();
  receive();
}

bool Connection::wants_bytes() const {
  if (closed_ || input_ended_ || stream_) return false;
  // While output is stuck or too much is under way, more requests wait in the client's send buffer.
  return phase_ != Phase::Head || (out_.empty() && exchanges_.size() < core_->options.pipelined_max);
}

void Connection::receive() {
  if (receiving_ || closed_) return;
  if (stream_) return stream_->wake();
  const auto self = shared_from_this();
  receiving_ = true;
  do {
    read_all();
    write_ready_answers();
    send_output();
  } while (parse_again_ && wants_bytes());
  receiving_ = false;
  settle();
}

void Connection::read_all() {
  while (wants_bytes()) {
    if (std::exchange(parse_again_, false) && !pending_.empty()) {
      consume({});
      continue;
    }
    auto& scratch = core_->scratch;
    const IoResult r = transport_->read(scratch);
    if (r.io == Io::Ok) {
      consume({scratch.data(), r.bytes});
      if (r.bytes < scratch.size() && transport_->short_read_means_empty()) return;
      continue;
    }
    if (r.io == Io::BlockedOther) wait_write();
    if (r.io == Io::Failed) close();
    if (r.io == Io::Eof) end_of_input();
    return;
  }
}

void Connection::consume(std::string_view bytes) {
  if (phase_ == Phase::Linger || phase_ == Phase::Closed) {
    dropped_ += bytes.size();
    if (dropped_ > kDroppedBytesMax) close();
    return;
  }
  if (pending_.empty()) {
    const std::size_t used = parse(bytes);
    pending_.assign(bytes.substr(used));
  } else {
    pending_.append(bytes);
    const std::size_t used = parse(pending_);
    // An idle connection holds no buffer.
    used == pending_.size() ? release(pending_) : void(pending_.erase(0, used));
  }
  if (std::exchange(stream_starts_, false)) {
    Exchange& exchange = *std::exchange(incoming_, nullptr);
    stream_ = std::make_unique<BodyStream>(*this, exchange, std::exchange(pending_, std::string()));
    exchange.request.stream = stream_.get();
    start_handler(exchange);
  }
}

std::size_t Connection::parse(std::string_view bytes) {
  std::size_t at = 0;
  while (at < bytes.size()) {
    if (phase_ == Phase::Body) {
      if (!parse_body(bytes, at)) break;
      continue;
    }
    if (phase_ != Phase::Head) return phase_ == Phase::Stream ? at : bytes.size();
    if (exchanges_.size() >= core_->options.pipelined_max) break;
    // RFC 9112, 2.2: empty lines before a request are passed over.
    while (at < bytes.size() && (bytes[at] == '\r' || bytes[at] == '\n')) ++at;
    const std::size_t end = find_head_end(bytes, at == 0 ? searched_ : at);
    const std::size_t size = (end == std::string_view::npos ? bytes.size() : end) - at;
    if (size > core_->options.header_bytes_max) {
      refuse(Error(Errc::HeaderTooLarge, "the request header is too large"));
      return bytes.size();
    }
    if (end == std::string_view::npos) {
      if (at < bytes.size()) head_incomplete(bytes.substr(at));
      break;
    }
    searched_ = 0;
    begin_request(bytes.substr(at, size));
    at = end;
  }
  return at;
}

void Connection::head_incomplete(std::string_view bytes) {
  // What can never become a request is answered now, not at the header's deadline.
  const auto line = bytes.find('\n');
  const bool starts_well = (bytes[0] >= 'A' && bytes[0] <= 'Z') || (bytes[0] >= 'a' && bytes[0] <= 'z');
  if (!starts_well || (line != std::string_view::npos && (line == 0 || bytes[line - 1] != '\r'))) {
    return refuse(Error(Errc::BadRequest, "this is not a well-formed HTTP request"));
  }
  if (searched_ == 0) phase_since_ = now();
  // The end may straddle the border: the last three bytes are looked at again.
  searched_ = std::max<std::size_t>(bytes.size(), 4) - 3;
}

void Connection::begin_request(std::string_view head) {
  exchanges_.push_back(core_->take_exchange());
  Exchange& exchange = *exchanges_.back();
  incoming_ = &exchange;
  exchange.head.assign(head);
  exchange.started = now();
  exchange.canceller.emplace();
  Request& request = exchange.request;
  parser_.emplace();
  if (auto ok = parser_->parse_head(exchange.head, request); !ok) return refuse(ok.error());

  exchange.keep_alive = parser_->keep_alive() && !core_->sending_away;
  exchange.http_1_0 = parser_->http_1_0();
  exchange.continue_owed = parser_->expects_continue();
  request.canceller = &*exchange.canceller;
  request.tls = core_->tls != nullptr;
  request.peer = peer_;
  if (core_->options.trust_forwarded_for) {
    // The last address is the one that the proxy in front of us has seen.
    std::string_view forwarded = request.header("X-Forwarded-For");
    forwarded = forwarded.substr(forwarded.rfind(',') + 1);
    while (forwarded.starts_with(' ')) forwarded.remove_prefix(1);
    if (!forwarded.empty()) request.peer = forwarded;
  }

  Router::Match match = core_->router.match(request.method, request.path);
  exchange.route = match.route;
  exchange.path_known = match.path_known;
  exchange.allow = std::move(match.allow);
  request.params = std::move(match.params);
  exchange.body_bytes_max = core_->options.body_bytes_max;
  if (match.route) {
    request.route = match.route->pattern;
    if (match.route->options.body_bytes_max) exchange.body_bytes_max = match.route->options.body_bytes_max;
  }
  const auto length = parser_->content_length().value_or(0);
  if (length > exchange.body_bytes_max) return refuse(Error(Errc::BodyTooLarge, "the request body is too large"));
  if (match.route && match.route->options.body == Body::Stream) {
    phase_ = Phase::Stream;
    stream_starts_ = true;
  } else if (parser_->done()) {
    body_complete();
  } else {
    phase_ = Phase::Body;
    phase_since_ = exchange.started;
    // The sender's word is not enough to set a large buffer aside.
    exchange.body.reserve(static_cast<std::size_t>(std::min<std::uint64_t>(length, 64 * 1024)));
    want_continue(exchange);
  }
}

bool Connection::parse_body(std::string_view bytes, std::size_t& at) {
  Exchange& exchange = *incoming_;
  exchange.continue_owed = exchange.continue_wanted = false;
  phase_since_ = now();
  auto piece = parser_->parse_body(bytes.substr(at));
  if (!piece) {
    refuse(piece.error());
    return true;
  }
  at += piece->consumed;
  exchange.body_bytes += piece->data.size();
  if (exchange.body_bytes > exchange.body_bytes_max) {
    refuse(Error(Errc::BodyTooLarge, "the request body is too large"));
    return true;
  }
  // Nobody will read the body of a request that has no handler.
  if (exchange.route) exchange.body.append(piece->data);
  if (parser_->done()) {
    body_complete();
    return true;
  }
  if (piece->consumed == 0 && bytes.size() - at > core_->options.header_bytes_max) {
    refuse(Error(Errc::BadRequest, "a chunk header is too large"));
  }
  return piece->consumed > 0;
}

void Connection::body_complete() {
  Exchange& exchange = *std::exchange(incoming_, nullptr);
  phase_ = exchange.keep_alive && !core_->draining ? Phase::Head : Phase::Closed;
  parser_.reset();
  exchange.request.body = exchange.body;
  start_handler(exchange);
}

void Connection::refuse(const Error& error) {
  // An error within a request is that request's answer, else it stands for one of its own.
  if (!incoming_) {
    exchanges_.push_back(core_->take_exchange());
    incoming_ = exchanges_.back().get();
    incoming_->started = now();
  }
  Exchange& exchange = *std::exchange(incoming_, nullptr);
  exchange.keep_alive = false;
  phase_ = Phase::Closed;
  searched_ = 0;
  linger_after_output_ = true;
  answer(exchange, core_->router.render(exchange.request.path, error));
}

void Connection::end_of_input() {
  if (input_ended_ || closed_) return;
  input_ended_ = true;
  // A client that only closed its sending side still gets the short answers; whoever waits long is told to stop.
  if (std::exchange(incoming_, nullptr)) exchanges_.pop_back();
  if (phase_ != Phase::Stream) phase_ = Phase::Closed;
  for (std::size_t i = 0; i < exchanges_.size(); ++i) {
    if (exchanges_[i]->canceller) exchanges_[i]->canceller->cancel();
  }
  if (stream_) stream_->wake();
}

void Connection::close() {
  if (closed_) return;
  const auto self = shared_from_this();
  end_of_input();
  closed_ = true;
  out_.clear();
  if (!receiving_) release(pending_);  // else it is being parsed
  core_->loop.timers().disarm(timer_);
  boost::system::error_code ignored;
  socket_.close(ignored);
  core_->remove(*this);
}

void Connection::drain() {
  const auto self = shared_from_this();
  if (exchanges_.empty() && out_.empty() && phase_ != Phase::Linger) return close();
  if (phase_ == Phase::Head) phase_ = Phase::Closed;
  if (!receiving_) release(pending_);
  for (std::size_t i = 0; i < exchanges_.size(); ++i) {
    if (exchanges_[i]->canceller) exchanges_[i]->canceller->cancel();
  }
}

void Connection::hurry(Instant before) {
  const auto self = shared_from_this();
  for (std::size_t i = 0; i < exchanges_.size(); ++i) {
    if (exchanges_[i]->canceller && exchanges_[i]->started <= before) exchanges_[i]->canceller->cancel();
  }
}

void Connection::wait_read() {
  if (read_waiting_ || closed_ || input_ended_) return;
  read_waiting_ = true;
  socket_.async_wait(asio::ip::tcp::socket::wait_read,
                     [self = shared_from_this()](const boost::system::error_code& ec) {
                       self->read_waiting_ = false;
                       if (!ec) self->receive();
                     });
}

void Connection::wait_write() {
  if (write_waiting_ || closed_) return;
  write_waiting_ = true;
  socket_.async_wait(asio::ip::tcp::socket::wait_write,
                     [self = shared_from_this()](const boost::system::error_code& ec) {
                       self->write_waiting_ = false;
                       if (ec) return;
                       self->flush();
                       self->receive();  // TLS may have had to write before it could read
                     });
}

void Connection::set_deadline() {
  const ServerOptions& options = core_->options;
  if (phase_ == Phase::Linger) {
    deadline_ = phase_since_ + kLingerTime;
  } else if (!out_.empty()) {
    deadline_ = written_at_ + options.write_timeout;
  } else if (phase_ == Phase::Body) {
    deadline_ = phase_since_ + options.body_timeout;
  } else if (phase_ == Phase::Head && searched_ > 0) {
    deadline_ = phase_since_ + options.header_timeout;
  } else if (!exchanges_.empty()) {
    deadline_ = Instant::max();  // the handlers' waits have deadlines of their own
  } else {
    deadline_ = phase_since_ + options.idle_timeout;
  }
  if (deadline_ >= armed_) return;
  armed_ = deadline_;
  core_->loop.timers().arm(timer_, armed_, [this] { deadline_passed(); });
}

void Connection::deadline_passed() {
  armed_ = Instant::max();
  if (now() < deadline_) return set_deadline();
  const bool slow = out_.empty() && (phase_ == Phase::Body || (phase_ == Phase::Head && searched_ > 0));
  if (!slow) return close();
  refuse(Error(Errc::SlowClient, "the request took too long to arrive"));
  flush();
}

}  // namespace haechi::net
