// The generator alone, for machines that run no server.
#include "bench/bench.hpp"

int main(int argc, char** argv) { return haechi::bench::main(argc, argv); }
