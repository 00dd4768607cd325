#pragma once
#include <string>

#include "bench/results.hpp"

namespace haechi::bench {

std::string render_table(const Results& results);
std::string render_json(const Results& results);
/// A page for docs/: machine, figures beside their ceilings, and the targets, met or not.
std::string render_markdown(const Results& results);

}  // namespace haechi::bench
