# SPDX-License-Identifier: GPL-2.0-or-later
"""Where measurements go."""


class Results:
    """{group: {who: {what: [a value a round]}}}, and what could not be measured."""

    def __init__(self):
        self.values = {}
        self.failures = []

    def add(self, group, who, what, value):
        self.values.setdefault(group, {}).setdefault(who, {}).setdefault(what, []).append(value)

    def fail(self, group, who, what, error):
        self.failures.append(f"{group}, {who}, {what}: {str(error).splitlines()[0]}")
