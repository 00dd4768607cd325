#include "bench/matrix.hpp"

#include <fmt/format.h>
#include <string.h>

#include <charconv>
#include <stdexcept>

namespace haechi::bench {
namespace {

constexpr std::string_view kTextPadding = "the quick brown fox jumps over the lazy dog, and nobody minds.";

void put_hex(char* at, std::uint64_t value, int digits) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  for (int i = digits - 1; i >= 0; --i) {
    at[i] = kDigits[value & 15];
    value >>= 4;
  }
}

template <class T>
T get_hex(std::string_view text) {
  T value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value, 16);
  return value;
}

std::int64_t retry_after(const Response& response) {
  std::int64_t ms = 100;
  constexpr std::string_view kKey = "\"retry_after_ms\":";
  if (const auto at = response.body.find(kKey); at != std::string_view::npos) {
    std::from_chars(response.body.data() + at + kKey.size(), response.body.data() + response.body.size(), ms);
  }
  return std::clamp<std::int64_t>(ms, 10, 60'000) * kMillisecond;
}

class Batch final : public Handler {
 public:
  Batch(Context& context, std::size_t count, const std::function<std::string(std::size_t)>& make,
        const std::function<bool(std::size_t, const Response&)>& done, std::size_t connections)
      : count_(count), make_(make), done_(done), current_(connections) {
    for (std::size_t i = 0; i < connections; ++i) {
      connections_.push_back(std::make_unique<Connection>(context.engine, context.server, *this, i));
      next(*connections_.back());
    }
  }
  std::size_t finished() const { return finished_; }

 private:
  void next(Connection& connection) {
    if (next_ >= count_) return;
    current_[connection.tag()] = next_++;
    connection.send(make_(current_[connection.tag()]));
  }
  void on_response(Connection& connection, const Response& response) override {
    const auto i = current_[connection.tag()];
    if (response.status == 429 || response.status == 503) return connection.repeat_after(retry_after(response));
    if (response.status == 0) throw std::runtime_error("the server does not answer");
    if (!done_(i, response)) return connection.send(make_(i));
    ++finished_;
    next(connection);
  }

  std::size_t count_;
  const std::function<std::string(std::size_t)>& make_;
  const std::function<bool(std::size_t, const Response&)>& done_;
  std::size_t next_ = 0;
  std::size_t finished_ = 0;
  std::vector<std::size_t> current_;
  std::vector<std::unique_ptr<Connection>> connections_;
};

}  // namespace

std::string percent_encode(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
                       c == '_' || c == '.' || c == '~';
    if (plain) {
      out += c;
    } else {
      out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return out;
}

std::optional<std::string_view> find_string(std::string_view json, std::string_view key) {
  const std::string quoted = fmt::format("\"{}\"", key);
  for (std::size_t from = 0;;) {
    const void* hit = ::memmem(json.data() + from, json.size() - from, quoted.data(), quoted.size());
    if (!hit) return std::nullopt;
    auto at = static_cast<std::size_t>(static_cast<const char*>(hit) - json.data()) + quoted.size();
    from = at;
    while (at < json.size() && (json[at] == ' ' || json[at] == ':')) ++at;
    if (at >= json.size() || json[at] != '"') continue;
    const auto start = ++at;
    while (at < json.size() && json[at] != '"') at += json[at] == '\\' ? 2 : 1;
    if (at >= json.size()) return std::nullopt;
    return json.substr(start, at - start);
  }
}

std::string request(const Endpoint& server, std::string_view method, std::string_view path, std::string_view token,
                    std::string_view body, std::string_view content_type) {
  auto out = fmt::format("{} {}{} HTTP/1.1\r\nHost: {}\r\n", method, server.path, path, server.host);
  if (!token.empty()) out += fmt::format("Authorization: Bearer {}\r\n", token);
  if (method != "GET") out += fmt::format("Content-Type: {}\r\nContent-Length: {}\r\n", content_type, body.size());
  out += "\r\n";
  out += body;
  return out;
}

void run_batch(Context& context, const std::string& label, std::size_t count,
               const std::function<std::string(std::size_t)>& make,
               const std::function<bool(std::size_t, const Response&)>& done, std::size_t connections) {
  if (count == 0) return;
  if (connections == 0) connections = context.options.setup_connections;
  Batch batch(context, count, make, done, std::min(connections, count));
  context.engine.on_second = [&](std::int64_t) {
    context.progress.update(fmt::format("  set-up: {} {}/{}", label, batch.finished(), count));
  };
  auto progressed = now_ns();
  std::size_t before = 0;
  while (batch.finished() < count) {
    context.engine.run_until(now_ns() + kSecond, [&] { return batch.finished() >= count; });
    if (batch.finished() != before) {
      before = batch.finished();
      progressed = now_ns();
    } else if (now_ns() - progressed > 120 * kSecond) {
      throw std::runtime_error(fmt::format("{}: no answer for two minutes", label));
    }
  }
  context.engine.on_second = {};
}

std::vector<std::string> create_rooms(Context& context, std::span<const User> owners) {
  std::vector<std::string> rooms(owners.size());
  run_batch(
      context, "rooms", owners.size(),
      [&](std::size_t i) {
        return request(context.server, "POST", "/_matrix/client/v3/createRoom", owners[i].token,
                       fmt::format(R"({{"preset":"public_chat","name":"bench {} {}"}})", context.run, i));
      },
      [&](std::size_t i, const Response& response) {
        const auto id = find_string(response.body, "room_id");
        if (response.status != 200 || !id) {
          throw std::runtime_error(fmt::format("createRoom answered {}: {}", response.status, response.body));
        }
        rooms[i] = *id;
        return true;
      });
  return rooms;
}

void join_rooms(Context& context, const std::vector<Join>& joins) {
  run_batch(
      context, "joins", joins.size(),
      [&](std::size_t i) {
        return request(context.server, "POST",
                       fmt::format("/_matrix/client/v3/rooms/{}/join", percent_encode(*joins[i].room)),
                       joins[i].user->token, "{}");
      },
      [&](std::size_t, const Response& response) {
        if (response.status != 200)
          throw std::runtime_error(fmt::format("join answered {}: {}", response.status, response.body));
        return true;
      });
}

SendTemplate::SendTemplate(const Context& context, const User& user, std::string_view room) {
  // 141 bytes of body, as a chat message has.
  const auto body =
      fmt::format(R"({{"body":"hb:{}:{:08x}:{:016x}; {}","msgtype":"m.text"}})", context.run, 0, 0, kTextPadding);
  const auto path =
      fmt::format("/_matrix/client/v3/rooms/{}/send/m.room.message/hb{}{:08x}", percent_encode(room), context.run, 0);
  text_ = request(context.server, "PUT", path, user.token, body);
  txn_at_ = text_.find(" HTTP/1.1\r\n") - 8;
  mark_at_ = text_.find("\"hb:") + 4 + context.run.size() + 1;
}

std::string_view SendTemplate::fill(std::uint32_t sequence, std::int64_t intended_ns) {
  put_hex(text_.data() + txn_at_, sequence, 8);
  put_hex(text_.data() + mark_at_, sequence, 8);
  put_hex(text_.data() + mark_at_ + 9, static_cast<std::uint64_t>(intended_ns), 16);
  return text_;
}

bool is_ack(const Response& response) {
  return response.status == 200 && response.body.find("\"event_id\"") != std::string_view::npos;
}

std::string sync_filter(std::size_t timeline_limit) {
  return percent_encode(fmt::format(
      R"({{"presence":{{"types":[]}},"account_data":{{"types":[]}},"room":{{"timeline":{{"limit":{}}},"state":{{"lazy_load_members":true}},)"
      R"("ephemeral":{{"types":[]}},"account_data":{{"types":[]}}}}}})",
      timeline_limit));
}

Pollers::Pollers(Context& context, std::span<const User> readers)
    : context_(context), users_(readers), readers_(readers.size()), mark_("hb:" + context.run + ":") {}

void Pollers::prepare() {
  // A filter that is uploaded is parsed once and costs each poll a few bytes. Filter ids
  // belong to one account, so a server may number them from 0 for each.
  constexpr std::string_view kFilter =
      R"({"presence":{"types":[]},"account_data":{"types":[]},"room":{"timeline":{"limit":100},)"
      R"("state":{"lazy_load_members":true},"ephemeral":{"types":[]},"account_data":{"types":[]}}})";
  head_ = fmt::format("GET {}/_matrix/client/v3/sync?timeout=30000&since=", context_.server.path);
  run_batch(
      context_, "filters", readers_.size(),
      [&](std::size_t i) {
        return request(context_.server, "POST",
                       fmt::format("/_matrix/client/v3/user/{}/filter", percent_encode(users_[i].id)), users_[i].token,
                       kFilter);
      },
      [&](std::size_t i, const Response& response) {
        const auto id = find_string(response.body, "filter_id");
        readers_[i].tail = fmt::format("&filter={} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\n\r\n",
                                       response.status == 200 && id ? percent_encode(*id) : sync_filter(100),
                                       context_.server.host, users_[i].token);
        return true;
      });
  const auto first = sync_filter(1);
  run_batch(
      context_, "first syncs", readers_.size(),
      [&](std::size_t i) {
        return request(context_.server, "GET", fmt::format("/_matrix/client/v3/sync?timeout=0&filter={}", first),
                       users_[i].token);
      },
      [&](std::size_t i, const Response& response) {
        const auto next = find_string(response.body, "next_batch");
        if (response.status != 200 || !next) {
          throw std::runtime_error(fmt::format("sync answered {}: {}", response.status, response.body.substr(0, 300)));
        }
        readers_[i].since = percent_encode(*next);
        return true;
      });
}

void Pollers::open(std::size_t from, std::size_t to) {
  for (std::size_t i = from; i < to; ++i) {
    readers_[i].connection = std::make_unique<Connection>(context_.engine, context_.server, *this, i);
    poll(i, readers_[i].since);
    readers_[i].since = {};
    if (i % 256 == 255) {
      context_.progress.update(fmt::format("  set-up: long polls {}/{}", i + 1, readers_.size()));
      // A listen queue is short: let the server accept before the next ones come.
      context_.engine.run_until(now_ns() + 10 * kMillisecond);
    }
  }
  std::uint64_t before = ~std::uint64_t{0};
  for (int i = 0; i < 50 && before != responses; ++i) {
    before = responses;
    context_.engine.run_until(now_ns() + 200 * kMillisecond);
  }
}

void Pollers::poll(std::size_t reader, std::string_view since) {
  scratch_.assign(head_);
  scratch_.append(since);
  scratch_.append(readers_[reader].tail);
  readers_[reader].connection->send(scratch_);
}

void Pollers::on_response(Connection& connection, const Response& response) {
  const auto now = now_ns();
  const auto who = connection.tag();
  auto& reader = readers_[who];
  ++responses;
  bytes += response.body_bytes;
  const auto next = response.status == 200 ? find_string(response.body, "next_batch") : std::nullopt;
  if (!next) {
    ++errors;
    return connection.repeat_after(retry_after(response));
  }
  // Deliveries first: the next poll reuses the memory that the answer stands in.
  const auto body = response.body;
  for (std::size_t from = 0;;) {
    const void* hit = ::memmem(body.data() + from, body.size() - from, mark_.data(), mark_.size());
    if (!hit) break;
    const auto at = static_cast<std::size_t>(static_cast<const char*>(hit) - body.data()) + mark_.size();
    from = at;
    if (at + 25 > body.size()) break;
    const auto sequence = get_hex<std::uint32_t>(body.substr(at, 8));
    const auto intended = get_hex<std::int64_t>(body.substr(at + 9, 16));
    if (sequence <= reader.last) {
      ++repeated;
      continue;
    }
    reader.last = sequence;
    if (on_delivery) on_delivery({who, sequence, intended, now});
  }
  bool plain = true;
  for (const char c : *next)
    plain = plain && (c == '_' || c == '-' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z'));
  if (plain) {
    poll(who, *next);
  } else {
    poll(who, percent_encode(*next));
  }
}

}  // namespace haechi::bench
