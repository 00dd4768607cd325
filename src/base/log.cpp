#include "base/log.hpp"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <atomic>

#include "base/text.hpp"

namespace haechi::log {
namespace {

std::atomic<Level> current_level{Level::Info};
constexpr std::size_t kValueBytesMax = 2000;

spdlog::logger& sink() {
  static const auto logger = [] {
    auto l = spdlog::stderr_logger_mt("haechi");
    l->set_pattern("%v");
    l->set_level(spdlog::level::trace);
    return l;
  }();
  return *logger;
}

std::string_view name(Level l) {
  switch (l) {
    case Level::Debug: return "debug";
    case Level::Info: return "info";
    case Level::Warn: return "warn";
    case Level::Error: return "error";
    case Level::Off: break;
  }
  return "off";
}

}  // namespace

void set_level(Level l) { current_level = l; }
Level level() { return current_level; }

void write(Level l, std::string_view message, Fields fields) {
  std::string line = fmt::format(R"({{"ts":"{}","level":"{}","msg":)", utc_now_text(), name(l));
  append_json_string(line, message);
  for (const auto& f : fields) {
    line += ',';
    append_json_string(line, f.key);
    line += ':';
    if (f.quoted) {
      append_json_string(line, std::string_view(f.text).substr(0, kValueBytesMax));
    } else {
      line += f.text;
    }
  }
  line += '}';
  sink().log(spdlog::level::info, line);
}

}  // namespace haechi::log
