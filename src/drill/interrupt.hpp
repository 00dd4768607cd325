#pragma once
// Ctrl-C, a closed terminal or a kind kill end a drill in order. A second Ctrl-C ends it at once:
// the kernel then takes the sites down.

#include <chrono>

#include "base/result.hpp"

namespace haechi::drill {

/// From now on the signals are only noted.
void note_interrupts();
bool interrupted();
/// Errc::Cancelled as soon as interrupted.
Result<> pause_for(std::chrono::milliseconds time);

}  // namespace haechi::drill
