#!/usr/bin/env python3
"""Checks that the arrows of the house point down.

* What a file of src/MODULE includes belongs to MODULE or to the DEPS that CMakeLists.txt names for it.
* DEPS themselves never point up, and form no circle.
* A service reaches into another service only by its public header (MODULE.hpp, module.hpp, types.hpp, fwd.hpp, ids.hpp).
* No source file has more than 900 lines; headers begin with #pragma once; a .cpp includes its own header first.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LINES_MAX = 900
FLOORS = [["base"], ["store", "cluster", "net"], ["journal"], ["identity", "blob", "care"],
          ["messenger", "pay", "shop", "ride", "scooter", "map", "portal", "pass"], ["app", "drill"]]
FLOOR = {name: n for n, names in enumerate(FLOORS) for name in names}
SERVICES = set(FLOORS[4])
PUBLIC = re.compile(r"^(\w+)/(\1|module|types|fwd|ids)\.hpp$")


def modules(text):
    return {m[1]: m[2].split() for m in re.finditer(r"^haechi_module\(\s*(\w+)\s+DEPS\s*([^)]*)\)", text, re.M)}


def check_deps(deps):
    for name, needs in deps.items():
        if name not in FLOOR:
            yield f"CMakeLists.txt: module {name} has no floor in tools/house_arrows.py"
            continue
        for other in needs:
            if other not in deps:
                yield f"CMakeLists.txt: {name} needs {other}, which is no module"
            elif FLOOR.get(other, 99) > FLOOR[name]:
                yield f"CMakeLists.txt: {name} (floor {FLOOR[name]}) needs {other} above it (floor {FLOOR[other]})"
    order = list(deps)  # a module stands after all it needs, so there is no circle
    for name, needs in deps.items():
        for other in needs:
            if other in order and order.index(other) >= order.index(name):
                yield f"CMakeLists.txt: {name} stands before {other}, which it needs"


def check_file(path, deps):
    where = path.relative_to(ROOT)
    module = path.relative_to(ROOT / "src").parts[0]
    lines = path.read_text(errors="replace").splitlines()
    if len(lines) > LINES_MAX:
        yield f"{where}: {len(lines)} lines; more than {LINES_MAX} are several ideas"
    if path.suffix == ".hpp" and "#pragma once" not in lines[:40]:
        yield f"{where}: a header begins with #pragma once"
    includes = [(n, m[1]) for n, line in enumerate(lines, 1) if (m := re.match(r'\s*#\s*include\s+"([^"]+)"', line))]
    own = path.with_suffix(".hpp")
    if path.suffix == ".cpp" and own.exists() and includes:
        first = next((line for line in lines if line.lstrip().startswith("#include")), "")
        if f'"{own.relative_to(ROOT / "src")}"' not in first:
            yield f"{where}: includes its own header first"
    allowed = {module, *deps.get(module, [])}
    for n, include in includes:
        target = include.split("/")[0]
        if (ROOT / "src" / target).is_dir() and "/" in include:
            if target not in allowed:
                yield f"{where}:{n}: {module} includes {include}, but CMakeLists.txt gives it only {', '.join(sorted(allowed - {module})) or 'nothing'}"
            elif target != module and target in SERVICES and module in SERVICES and not PUBLIC.match(include):
                yield f"{where}:{n}: {include} is inside another service"
        elif target == "bench" and module != "app":
            yield f"{where}:{n}: only app knows the load generator"
        elif ".." in include.split("/"):
            yield f"{where}:{n}: includes go from src/, not by .."


def main():
    deps = modules((ROOT / "CMakeLists.txt").read_text())
    if not deps:
        print("CMakeLists.txt: no haechi_module() found")
        return 1
    problems = list(check_deps(deps))
    files = 0
    for path in sorted((ROOT / "src").rglob("*")):
        if path.suffix in (".cpp", ".hpp"):
            files += 1
            problems += check_file(path, deps)
    for folder in ("bench", "tests"):
        for path in (ROOT / folder).rglob("*.[ch]pp"):
            if "node_modules" not in path.parts and len(path.read_text().splitlines()) > LINES_MAX:
                problems.append(f"{path.relative_to(ROOT)}: more than {LINES_MAX} lines")
    print("\n".join(problems) if problems else f"{files} files in {len(deps)} modules keep to the house's arrows")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
