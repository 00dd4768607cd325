#include "app/node_file.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>

#include "base/json.hpp"

namespace haechi::app {
namespace {
std::string path_of(const std::string& data) { return data + "/node.json"; }
}  // namespace

Result<> write_node_file(const std::string& data, const NodeFile& file) {
  const auto path = path_of(data);
  const auto text =
      to_text(json::object{{"address", file.address}, {"port", file.port}, {"tls", file.tls}, {"token", file.token}});
  ::unlink(path.c_str());
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0) return fail(Errc::Io, path + ": " + std::strerror(errno));
  const bool written = ::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  ::close(fd);
  if (!written) return fail(Errc::Io, path + " cannot be written");
  return {};
}

Result<NodeFile> read_node_file(const std::string& data) {
  std::ifstream in(path_of(data));
  if (!in) return fail(Errc::NotFound, "no node runs on " + data);
  std::ostringstream text;
  text << in.rdbuf();
  TRY(const auto o, parse_json_object(text.str()));
  return NodeFile{.address = std::string(get_string(o, "address").value_or("")),
                  .port = static_cast<std::uint16_t>(get_int(o, "port").value_or(0)),
                  .tls = get_flag(o, "tls"),
                  .token = std::string(get_string(o, "token").value_or(""))};
}

void remove_node_file(const std::string& data) { ::unlink(path_of(data).c_str()); }

}  // namespace haechi::app
