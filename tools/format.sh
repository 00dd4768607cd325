#!/usr/bin/env bash
# Formats the C++ sources; with --check only says which differ.
exec "$(dirname "${BASH_SOURCE[0]}")/../dev" format "$@"
