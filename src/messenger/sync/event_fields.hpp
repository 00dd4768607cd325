#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace haechi::messenger {

/// The event with nothing but these fields ("type", "content.body"); dots that belong to a
/// key are written "\.". https://spec.matrix.org/v1.19/client-server-api/#filtering
std::string only_fields(std::string_view event, const std::vector<std::string>& fields);

}  // namespace haechi::messenger
