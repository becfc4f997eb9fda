# SPDX-License-Identifier: GPL-2.0-or-later
"""The integration tests' harness: hosts in namespaces, the daemon, its clients, and stand-in guests."""
