"""What the documentation says of the settings is what the program has."""

import re
import subprocess

from harness import BINARY, ROOT, check


def test_every_setting_is_documented_with_its_default(server):
    example = subprocess.run([BINARY, "config"], capture_output=True, text=True, timeout=60).stdout
    page = (ROOT / "docs/configuration.md").read_text()
    section, keys = "", {}
    for line in example.splitlines():
        if m := re.match(r"(?:# )?\[+([a-z_.]+)\]+$", line):
            section = m[1] + "."
        elif m := re.match(r"(# )?([a-z0-9_]+) = (.+)$", line):
            keys[section + m[2]] = "none" if m[1] else f"`{m[3]}`"
    rows = {m[1]: m[2] for m in re.finditer(r"^\| `([a-z0-9_.]+)` \| (.+?) \|", page, re.M)}
    check(len(keys) > 40, f"{example[:200]}")
    check(rows == keys, f"docs/configuration.md and `haechi config` differ: {sorted(set(keys.items()) ^ set(rows.items()))}")
