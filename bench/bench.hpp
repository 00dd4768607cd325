#pragma once

namespace haechi::bench {

/// `haechi bench ...`: a load generator that speaks plain Matrix over HTTP/1.1.
/// argv[0] is the command's name for the help text. Returns the exit status.
int main(int argc, char** argv);

}  // namespace haechi::bench
