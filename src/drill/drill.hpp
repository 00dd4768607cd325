#pragma once
// A drill from beginning to end: bring up, strike, wait until whole, judge, clean up.

#include <cstdint>
#include <string>

#include "drill/faults.hpp"

namespace haechi::drill {

struct Options {
  int runs = 1;
  Wishes wishes;
  std::uint64_t seed = 0;  ///< 0: drawn and printed
  int clients = 48;
  double rate = 500;          ///< a platform that is to lose a site has room to spare; 0: as much as it takes
  bool only_senders = false;  ///< nobody receives, uploads or writes anything else: for throughput
  double link_delay_ms = 0;   ///< round trip between sites
  double warm_up_s = 4;       ///< of load before the fault strikes
  std::string json, report, history;
  std::string folder;          ///< parent of the drill's own folder; empty: a disk is found
  bool keep = false;           ///< bring up and leave it running until Ctrl-C; no load, no fault
  bool loopback = false;       ///< no namespaces even where they are possible
  bool keep_logs = false;      ///< leave the folder with the logs when it ends
  bool database_only = false;  ///< with keep: no Haechi nodes
};

/// The exit code: 0 promises kept, 1 a promise was broken, 2 it could not be drilled, 130 interrupted.
/// Must be called while the process has one thread.
int run(const Options& options);

}  // namespace haechi::drill
