#!/usr/bin/env python3
"""Every Python file of the project must at least be Python."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
bad = 0
for path in [p for folder in ("tests", "tools", "bench") for p in (ROOT / folder).rglob("*.py") if "node_modules" not in p.parts]:
    try:
        compile(path.read_text(), str(path), "exec")
    except SyntaxError as e:
        print(f"{path.relative_to(ROOT)}:{e.lineno}: {e.msg}")
        bad += 1
sys.exit(1 if bad else 0)
