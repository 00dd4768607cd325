#pragma once
// The files of deploy/, filled in: what a drill runs is what operators install.

#include <map>
#include <span>
#include <string>
#include <string_view>

#include "base/result.hpp"

namespace haechi::drill {

struct DeployFile {
  std::string_view name, text;
};

/// As they were when this program was built.
std::span<const DeployFile> deploy_files();

using Values = std::map<std::string, std::string, std::less<>>;

/// Replaces every @NAME@ (capitals, digits, underscores). Errc::Invalid names one that has no value.
Result<std::string> fill_in(std::string_view text, const Values& values);

/// fill_in() of a file of deploy/.
Result<std::string> fill_in_file(std::string_view name, const Values& values);

/// "KEY=value" or "key = value" lines, as EnvironmentFile and sysctl.d have them; comments and empty lines left out.
std::map<std::string, std::string> parse_environment(std::string_view text);

}  // namespace haechi::drill
