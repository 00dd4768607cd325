#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <random>
#include <stdexcept>

#include "bench/workloads.hpp"

namespace haechi::bench {
namespace {

constexpr double kBytesMax = 3e9;  // per phase: a fast server must not fill the disk
constexpr std::size_t kFilesMax = 64;

struct Size {
  std::string_view name;
  std::size_t bytes;
};
constexpr Size kSizes[]{{"100kB", 100'000}, {"5MB", 5'000'000}};

/// Each connection sends the next request as soon as it has its answer.
class Transfers final : public Handler {
 public:
  using Make = std::function<std::string(std::size_t connection, std::uint64_t number)>;

  Transfers(Context& context, const Endpoint& endpoint, std::size_t parallel, std::size_t bytes, Make make)
      : bytes_(bytes), make_(std::move(make)) {
    for (std::size_t i = 0; i < parallel; ++i) {
      connections_.push_back(std::make_unique<Connection>(context.engine, endpoint, *this, i));
    }
  }

  /// For uploads: a body of its own for each connection, made unique for every request.
  std::vector<std::string> bodies;
  std::function<void(const Response&)> on_done;
  std::uint64_t failed = 0;
  int last_status = 200;

  void measure(Context& context, WorkloadResult& result, const std::string& key, const std::string& what,
               double seconds) {
    const auto pids = std::span<const int>(context.options.server_pids);
    const auto start = now_ns();
    end_ = start + static_cast<std::int64_t>(seconds * 1e9);
    context.engine.on_second = [&](std::int64_t) {
      context.progress.update(fmt::format("  {}: {} files", what, done_));
    };
    const auto from = Usage::sample(pids);
    for (auto& c : connections_) next(*c);
    context.engine.run_until(end_ + 30 * kSecond, [&] { return in_flight_ == 0; });
    const Interval interval(from, Usage::sample(pids), !pids.empty());
    context.engine.on_second = {};
    // The last files end after the time is up: they and the time that they take both count.
    const double moved = static_cast<double>(done_) * static_cast<double>(bytes_);
    result.add(key + ".rate", moved / interval.wall_s / 1e9, "GB/s",
               fmt::format("{}, {} in parallel", what, connections_.size()));
    result.add(key + ".latency", latencies_, what + ", one file");
    if (interval.has_server && moved > 0 && !key.ends_with("reference")) {
      result.add(key + ".server_cpu", interval.server_cpu_s / (moved / 1e9), "s/GB", "server CPU per GB");
    }
    if (failed) result.note(fmt::format("{}: {} requests failed, the last with status {}", key, failed, last_status));
  }

 private:
  void next(Connection& connection) {
    if (now_ns() >= end_ || static_cast<double>(number_) * static_cast<double>(bytes_) >= kBytesMax || failed > 100)
      return;
    ++in_flight_;
    const auto i = connection.tag();
    const auto head = make_(i, number_);
    ++number_;
    if (bodies.empty()) {
      connection.send(head, {}, BodyMode::CountOnly);
    } else {
      std::memcpy(bodies[i].data(), &number_, sizeof number_);
      connection.send(head, bodies[i]);
    }
  }
  void on_response(Connection& connection, const Response& response) override {
    --in_flight_;
    const bool good =
        response.status >= 200 && response.status < 300 && (!bodies.empty() || response.body_bytes == bytes_);
    if (good) {
      ++done_;
      latencies_.add(now_ns() - connection.sent_at());
      if (on_done) on_done(response);
    } else {
      ++failed;
      last_status = response.status;
    }
    next(connection);
  }

  std::size_t bytes_;
  Make make_;
  std::int64_t end_ = 0;
  std::uint64_t number_ = 0, done_ = 0;
  std::size_t in_flight_ = 0;
  Histogram latencies_;
  std::vector<std::unique_ptr<Connection>> connections_;
};

std::string upload_head(const Endpoint& server, std::string_view method, std::string_view path, std::string_view token,
                        std::size_t bytes) {
  auto head =
      fmt::format("{} {}{} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/octet-stream\r\nContent-Length: {}\r\n",
                  method, server.path, path, server.host, bytes);
  if (!token.empty()) head += fmt::format("Authorization: Bearer {}\r\n", token);
  return head + "\r\n";
}

std::vector<std::string> random_bodies(std::size_t count, std::size_t bytes, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::string one(bytes, '\0');
  for (std::size_t i = 0; i + 8 <= bytes; i += 8) {
    const auto word = random();
    std::memcpy(one.data() + i, &word, sizeof word);
  }
  std::vector<std::string> out(count, one);
  for (std::size_t i = 0; i < count; ++i) std::memcpy(out[i].data() + 8, &i, sizeof i);
  return out;
}

void against_reference(Context& context, WorkloadResult& result, const Size& size, double seconds) {
  const auto reference = Endpoint::parse(context.options.media_reference);
  const auto parallel = context.options.media_parallel;
  const std::string key = fmt::format("media.{}", size.name);
  {
    Transfers up(context, reference, parallel, size.bytes, [&](std::size_t connection, std::uint64_t) {
      return upload_head(reference, "PUT", fmt::format("/upload/{}-{}.bin", size.name, connection), {}, size.bytes);
    });
    up.bodies = random_bodies(parallel, size.bytes, context.options.seed);
    up.measure(context, result, key + ".up.reference",
               fmt::format("{} files up to the reference server (PUT)", size.name), seconds);
  }
  Transfers down(context, reference, parallel, size.bytes, [&](std::size_t, std::uint64_t) {
    return request(reference, "GET", fmt::format("/{}.bin", size.name), {});
  });
  down.measure(context, result, key + ".down.reference",
               fmt::format("{} files down from the reference server", size.name), seconds);
}

void add_ratio(WorkloadResult& result, const std::string& key) {
  double ours = 0, theirs = 0;
  for (const auto& f : result.figures) {
    if (f.key == key + ".rate") ours = f.value;
    if (f.key == key + ".reference.rate") theirs = f.value;
  }
  if (theirs > 0)
    result.add(key + ".ratio", 100 * ours / theirs, "%",
               "of what the reference server does with the same files in the same run");
}

void run_size(Context& context, WorkloadResult& result, const User& user, const Size& size) {
  const auto& o = context.options;
  const double seconds = std::min(o.duration_s, 5.0);
  const std::string key = fmt::format("media.{}", size.name);
  std::vector<std::string> stored;
  {
    const auto head =
        upload_head(context.server, "POST", "/_matrix/media/v3/upload?filename=bench.bin", user.token, size.bytes);
    Transfers up(context, context.server, o.media_parallel, size.bytes,
                 [&](std::size_t, std::uint64_t) { return head; });
    up.bodies = random_bodies(o.media_parallel, size.bytes, o.seed);
    up.on_done = [&](const Response& response) {
      const auto uri = find_string(response.body, "content_uri");
      if (uri && uri->starts_with("mxc:") && stored.size() < kFilesMax) {
        // Some JSON writers escape the slashes of mxc://server/id.
        std::string plain(*uri);
        std::erase(plain, '\\');
        stored.push_back(plain.substr(6));
      }
    };
    up.measure(context, result, key + ".up", fmt::format("{} files up, acknowledged", size.name), seconds);
  }
  if (stored.empty()) throw std::runtime_error("no upload was accepted");

  const std::string_view base = o.media_legacy ? "/_matrix/media/v3/download/" : "/_matrix/client/v1/media/download/";
  std::vector<std::string> heads;
  for (const auto& s : stored) heads.push_back(request(context.server, "GET", std::string(base) + s, user.token));
  // What comes back must be what went up; only the first 16 bytes differ from file to file.
  run_batch(
      context, "checking a file", 1, [&](std::size_t) { return heads.front(); },
      [&](std::size_t, const Response& response) {
        const auto sent = random_bodies(1, size.bytes, o.seed).front();
        if (response.status != 200 || response.body.size() != sent.size() ||
            response.body.substr(16) != std::string_view(sent).substr(16)) {
          throw std::runtime_error(
              fmt::format("a download answered {} with {} bytes, not the file", response.status, response.body_bytes));
        }
        return true;
      });
  Transfers down(context, context.server, o.media_parallel, size.bytes,
                 [&](std::size_t, std::uint64_t number) { return heads[number % heads.size()]; });
  down.measure(context, result, key + ".down", fmt::format("{} files down", size.name), seconds);

  if (!o.media_reference.empty()) {
    against_reference(context, result, size, seconds);
    add_ratio(result, key + ".up");
    add_ratio(result, key + ".down");
  }
}

}  // namespace

void run_media(Context& context, WorkloadResult& result) {
  result.shape = fmt::format(
      "files of 100 kB and 5 MB, {} connections, closed loop; uploads all differ, downloads go round up to {} files",
      context.options.media_parallel, kFilesMax);
  const auto who = users(context, 1);
  for (const auto& size : kSizes) run_size(context, result, who.front(), size);
}

}  // namespace haechi::bench
