#pragma once
// Structured logs: one JSON object a line on standard error. Message bodies,
// passwords and tokens never go in; values are escaped and cut at 2,000 bytes.

#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

namespace haechi::log {

enum class Level { Debug, Info, Warn, Error, Off };

struct Field {
  std::string_view key;
  std::string text;
  bool quoted = true;

  Field(std::string_view k, std::string_view v) : key(k), text(v) {}
  Field(std::string_view k, const std::string& v) : key(k), text(v) {}
  Field(std::string_view k, const char* v) : key(k), text(v) {}
  Field(std::string_view k, bool v) : key(k), text(v ? "true" : "false"), quoted(false) {}
  template <std::integral I>
  Field(std::string_view k, I v) : key(k), text(std::to_string(v)), quoted(false) {}
  Field(std::string_view k, double v) : key(k), text(std::to_string(v)), quoted(false) {}
};

using Fields = std::initializer_list<Field>;

void set_level(Level level);
Level level();
void write(Level level, std::string_view message, Fields fields);

inline void debug(std::string_view m, Fields f = {}) {
  if (level() <= Level::Debug) write(Level::Debug, m, f);
}
inline void info(std::string_view m, Fields f = {}) {
  if (level() <= Level::Info) write(Level::Info, m, f);
}
inline void warn(std::string_view m, Fields f = {}) {
  if (level() <= Level::Warn) write(Level::Warn, m, f);
}
inline void error(std::string_view m, Fields f = {}) {
  if (level() <= Level::Error) write(Level::Error, m, f);
}

}  // namespace haechi::log
