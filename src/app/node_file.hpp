#pragma once
#include <cstdint>
#include <string>

#include "base/result.hpp"

namespace haechi::app {

/// DATA/node.json: how the command line reaches the node that holds the data
/// folder. Readable by the owner only; the token is new at each start.
struct NodeFile {
  std::string address;
  std::uint16_t port = 0;
  bool tls = false;
  std::string token;
};
Result<> write_node_file(const std::string& data, const NodeFile& file);
/// Errc::NotFound when no node runs on this folder.
Result<NodeFile> read_node_file(const std::string& data);
void remove_node_file(const std::string& data);

}  // namespace haechi::app
