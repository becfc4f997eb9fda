#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Makes ./configure. Needs autoconf, automake and pkg-config.
set -e
cd "$(dirname "$0")"
exec autoreconf --install --force --warnings=all
