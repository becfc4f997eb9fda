# SPDX-License-Identifier: GPL-2.0-or-later
"""The store of measurements."""


class Results:
    """{group: {subject: {figure: [a value a round]}}}, and the failed measurements."""

    def __init__(self):
        self.values = {}
        self.failures = []

    def add(self, group, who, what, value):
        self.values.setdefault(group, {}).setdefault(who, {}).setdefault(what, []).append(value)

    def fail(self, group, who, what, error):
        self.failures.append(f"{group}, {who}, {what}: {str(error).splitlines()[0]}")
