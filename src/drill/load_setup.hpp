#pragma once
// Before the first run and after each: accounts and rooms, and the reading of everything at the end.

#include "drill/load_traffic.hpp"

namespace haechi::drill {

/// People at home in every site, each with its order of nodes.
void hire(Stage& stage, std::size_t sites, int clients, bool only_senders);
/// Registers them, makes the rooms, lets them join.
Task<Result<>> move_in(Stage& stage);

/// Reads all that the history holds back through every site that has a node that is ready: rooms from
/// `from` (a sync token) on, media, account data; and sends some acknowledged messages once more.
/// Returns the names of sites that had no such node.
Task<std::vector<std::string>> read_everything(Stage& stage, std::string from);

}  // namespace haechi::drill
