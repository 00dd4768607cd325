#include "app/node_document.hpp"

#include <sodium.h>

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <fstream>
#include <thread>

#include "app/config_keys.hpp"
#include "app/vault.hpp"
#include "base/json.hpp"
#include "base/text.hpp"

namespace haechi::app {
namespace {

constexpr auto kTick = std::chrono::milliseconds(250);
constexpr int kTicksPerMeasure = 8;

double process_cpu_s() {
  timespec t{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
}

/// The first line of /proc/stat: user nice system idle iowait irq softirq steal ...
std::pair<std::uint64_t, std::uint64_t> machine_ticks() {
  std::ifstream in("/proc/stat");
  std::string name;
  in >> name;
  std::uint64_t total = 0, idle = 0, value = 0;
  for (int i = 0; i < 8 && in >> value; ++i) {
    total += value;
    if (i == 3 || i == 4) idle += value;
  }
  return {total - idle, total};
}

std::string fingerprint(std::string_view text, std::string_view key) {
  std::uint8_t out[crypto_generichash_BYTES];
  const auto bytes = [](std::string_view s) { return reinterpret_cast<const unsigned char*>(s.data()); };
  crypto_generichash(out, sizeof out, bytes(text), text.size(), key.empty() ? nullptr : bytes(key), key.size());
  return hex_encode(std::span(out, 8));
}

/// What belongs to one node or one site alone.
bool own_affair(std::string_view path) {
  static constexpr std::string_view kOwn[] = {"site", "node", "listen", "data", "store.hosts"};
  return std::ranges::find(kOwn, path) != std::end(kOwn) || path.ends_with("_file") || path.starts_with("tls.") ||
         path.starts_with("log.");
}

}  // namespace

unsigned Vitals::cores() { return std::max(1u, std::thread::hardware_concurrency()); }

void Vitals::start() {
  measured_ = loop_.now();
  cpu_s_ = process_cpu_s();
  std::tie(busy_, total_) = machine_ticks();
  tick();
}

void Vitals::tick() {
  const auto now = loop_.now();
  if (due_ != Instant{}) {
    worst_ms_ = std::max(worst_ms_, std::chrono::duration<double, std::milli>(now - due_).count());
  }
  if (++ticks_ >= kTicksPerMeasure) {
    ticks_ = 0;
    lag_ms_ = std::exchange(worst_ms_, 0.0);
    const double seconds = std::chrono::duration<double>(now - std::exchange(measured_, now)).count();
    const double cpu_s = process_cpu_s();
    if (seconds > 0) process_ = (cpu_s - std::exchange(cpu_s_, cpu_s)) / seconds;
    const auto [busy, total] = machine_ticks();
    if (total > total_) machine_busy_ = static_cast<double>(busy - busy_) / static_cast<double>(total - total_);
    busy_ = busy;
    total_ = total;
  }
  due_ = now + kTick;
  loop_.timers().arm(timer_, due_, [this] { tick(); });
}

std::string settings_fingerprint(const Config& config) {
  std::string text;
  for (const auto& key : config_keys()) {
    if (!own_affair(key.path)) text += key.path + "=" + key.show(config) + "\n";
  }
  for (const auto& s : config.sites) {
    text += s.name + " " + s.postgresql + " " + s.patroni + " " + s.etcd;
    for (const auto& node : s.nodes) text += " " + node;
    text += "\n";
  }
  return fingerprint(text, {});
}

std::string vault_fingerprint(const Config& config) {
  const auto key = VaultKey::create(config.vault.key);
  return key ? key->fingerprint() : std::string();
}

std::string secrets_fingerprint(const Config& config) {
  if (config.vault.key.empty()) return {};
  std::string text;
  for (const auto* secret : {&config.registration.shared_secret, &config.turn.shared_secret, &config.store.password,
                             &config.blobs.s3_secret_key}) {
    append_json_string(text, *secret);
  }
  return fingerprint(text, config.vault.key);
}

std::string node_document(const Config& config, const NodeState& state, const Vitals& vitals) {
  const auto place = [&] {
    switch (config.blobs.place) {
      case BlobPlace::Database: return "database";
      case BlobPlace::S3: return "s3";
      case BlobPlace::Local:
      case BlobPlace::Unset: break;
    }
    return "local";
  };
  return to_text(json::object{
      {"node", config.node.empty() ? config.address + ":" + std::to_string(state.port) : config.node},
      {"id", state.id},
      {"site", config.site},
      {"server_name", config.server_name},
      {"version", HAECHI_VERSION},
      {"ready", state.ready},
      {"why", state.why},
      {"site_state", state.site_state},
      {"position", state.position},
      {"connections", state.connections},
      {"queued", state.queued},
      {"started_ms", state.started_ms},
      {"now_ms", state.now_ms},
      {"loop_lag_ms", vitals.loop_lag_ms()},
      {"process_cores", vitals.process_cores()},
      {"machine_busy", vitals.machine_busy()},
      {"cores", Vitals::cores()},
      {"engine", config.shared_store() ? "postgresql" : "sqlite"},
      {"blobs", place()},
      {"settings", settings_fingerprint(config)},
      {"vault", vault_fingerprint(config)},
      {"secrets", secrets_fingerprint(config)},
  });
}

}  // namespace haechi::app
