# SPDX-License-Identifier: GPL-2.0-or-later
"""What the integration tests stand on: hosts in namespaces, the daemon, its clients, and stand-in guests."""
