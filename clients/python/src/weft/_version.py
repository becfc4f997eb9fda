# SPDX-License-Identifier: GPL-2.0-or-later
"""The version of this library, and of the API that it was written for.

weftd tells its own in each answer. The number before the point is that of the paths; the one behind it counts what was added, which
older and newer sides of the same first number do without.
"""

from __future__ import annotations

import re
from typing import Optional

from .errors import ProtocolError, VersionMismatch

VERSION = "0.1.0"
API_VERSION = "1.1"
AGENT = f"weft-python/{VERSION}"

HEADER = "weft-api-version"
_BEFORE_IT_WAS_TOLD = "1.0"


def compare(told: Optional[str]) -> Optional[str]:
    """TOLD is what an answer's header says. Returns it if that weftd is older than this library, so that it may lack something."""
    told = told or _BEFORE_IT_WAS_TOLD
    if not re.fullmatch(r"[0-9]{1,9}\.[0-9]{1,9}", told):
        raise ProtocolError(f"the answer tells a malformed version of the API: {told!r}")
    (major, minor), (own_major, own_minor) = (map(int, version.split(".")) for version in (told, API_VERSION))
    if major != own_major:
        raise VersionMismatch(f"weftd speaks version {told} of its API, this library {API_VERSION}")
    return told if minor < own_minor else None
