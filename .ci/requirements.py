# SPDX-License-Identifier: Apache-2.0
"""Prints what extras of the installed package need, one requirement a line, without the package itself."""

from __future__ import annotations

import re
import sys
from importlib.metadata import requires

for requirement in requires("cnncore") or []:
    name, _, condition = requirement.partition(";")
    extra = re.search(r"extra == ['\"](\w+)['\"]", condition)
    if extra and extra.group(1) in sys.argv[1:] and not name.startswith("cnncore"):
        print(name.strip())
