#include "cluster/site.hpp"
