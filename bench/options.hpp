#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace haechi::bench {

enum class ChatNext { Ack, Delivery };

struct Options {
  std::string server = "http://127.0.0.1:8008";
  std::vector<std::string> workloads;  ///< "all" is every one of them
  double duration_s = 10;
  double warmup_s = 2;
  double rate = 5000;  ///< messages/s of the open loop of `chat`
  std::size_t senders = 64;
  std::size_t rooms = 100;
  std::size_t pairs = 1000;  ///< of the open loop of `chat`
  std::size_t group_rooms = 20;
  std::size_t group_members = 100;
  double group_rate = 1;  ///< messages/s and room
  std::size_t open_members = 3000;
  double open_rate = 2;
  std::size_t sync_rooms = 500;
  std::size_t sync_accounts = 5;
  std::size_t sync_messages = 20;  ///< in each room
  std::size_t clients = 18000;
  std::size_t idle_wakes = 200;
  double idle_s = 5;
  std::size_t media_parallel = 16;
  std::string media_reference;
  bool media_legacy = false;
  ChatNext chat_next = ChatNext::Delivery;
  std::size_t setup_connections = 16;
  std::uint64_t seed = 1;
  bool quick = false;

  std::string user;
  std::string password;
  std::string users_file;
  std::string shared_secret;
  std::string tokens_file;
  std::vector<int> server_pids;

  std::string data_dir = ".";  ///< where the disk ceilings write
  bool ceilings = false;
  std::string json_file;
  std::string report_file;
  std::string commit;

  bool wants(std::string_view workload) const {
    for (const auto& w : workloads) {
      if (w == workload || w == "all") return true;
    }
    return false;
  }
};

}  // namespace haechi::bench
