#include "net/http.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "base/text.hpp"

namespace haechi::net {

std::string_view to_string(Method m) {
  switch (m) {
    case Method::Get: return "GET";
    case Method::Head: return "HEAD";
    case Method::Put: return "PUT";
    case Method::Post: return "POST";
    case Method::Delete: return "DELETE";
    case Method::Patch: return "PATCH";
    case Method::Options: return "OPTIONS";
    case Method::Other: break;
  }
  return "OTHER";
}

std::string_view Request::header(std::string_view name) const {
  for (const auto& [key, value] : headers) {
    if (key.size() == name.size() && iequals_ascii(key, name)) return value;
  }
  return {};
}

namespace {

/// Calls `f(value)` with each still encoded value of `name` until it returns false.
template <class F>
void each_query_value(std::string_view query, std::string_view name, F f) {
  while (!query.empty()) {
    const auto end = std::min(query.find('&'), query.size());
    const std::string_view pair = query.substr(0, end);
    query.remove_prefix(std::min(end + 1, query.size()));
    const auto equals = std::min(pair.find('='), pair.size());
    const std::string_view key = pair.substr(0, equals);
    const std::string_view value = equals < pair.size() ? pair.substr(equals + 1) : std::string_view{};
    bool same = key == name;
    // Names are nearly never escaped; decode only those that are.
    if (!same && key.find_first_of("%+") != std::string_view::npos) {
      const auto decoded = percent_decode(key, true);
      same = decoded && *decoded == name;
    }
    if (same && !f(value)) return;
  }
}

std::optional<std::string> decode_query_value(std::string_view raw) {
  auto text = percent_decode(raw, true);
  if (!text || !is_valid_utf8(*text) || text->find('\0') != text->npos) return std::nullopt;
  return text;
}

}  // namespace

std::optional<std::string> Request::param(std::string_view query_name) const {
  std::optional<std::string> out;
  each_query_value(query, query_name, [&](std::string_view raw) {
    out = decode_query_value(raw);
    return false;
  });
  return out;
}

std::vector<std::string> Request::params_all(std::string_view query_name) const {
  std::vector<std::string> out;
  each_query_value(query, query_name, [&](std::string_view raw) {
    if (auto text = decode_query_value(raw)) out.push_back(*std::move(text));
    return true;
  });
  return out;
}

std::optional<std::int64_t> Request::param_int(std::string_view query_name) const {
  const auto text = param(query_name);
  return text ? parse_int(*text) : std::nullopt;
}

Result<std::shared_ptr<const File>> File::open(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    return fail(errno == ENOENT ? haechi::Errc::NotFound : haechi::Errc::Io,
                path + ": " + std::generic_category().message(errno));
  }
  struct stat info{};
  if (::fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
    ::close(fd);
    return fail(haechi::Errc::Io, path + ": not a regular file");
  }
  return std::make_shared<const File>(fd, static_cast<std::uint64_t>(info.st_size));
}

File::~File() { ::close(fd_); }

}  // namespace haechi::net
