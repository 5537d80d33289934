# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What everybody makes of planted faults: does it say anything, and does it show the value?"""

from __future__ import annotations

import pathlib

from benchmarks.env import contenders
from benchmarks.env.work import Rule, lay_out
from disclosure import traces

_URL: Rule = {"type": "url", "required": True}
_SECRET: Rule = {"secret": True, "required": True}
_CANARY, _OTHER = traces.TEXT, traces.OTHER

# name: the env file, and the rules
CASES: dict[str, tuple[str, dict[str, Rule]]] = {
    "missing": (f"B={_CANARY}\n", {"A": {"required": True}, "B": {}}),
    "empty": (f"A=\nB={_CANARY}\n", {"A": {"required": True}, "B": {}}),
    "type": (f"A={_CANARY}\n", {"A": {"type": "int", "required": True}}),
    "pattern": (f"A={_CANARY}\n", {"A": {"pattern": "^sk-", **_SECRET}}),
    "too_short": (f"A={_CANARY}\n", {"A": {"min_length": 32, **_SECRET}}),
    "not_chosen": (f"A={_CANARY}\n", {"A": {"choices": ["staging", "production"], "required": True}}),
    "no_url": (f"A={_CANARY}\n", {"A": _URL}),
    "dollar_in_password": (f"A={_CANARY}$zx9{_OTHER}\n", {"A": _SECRET}),
    "hash_in_password": (f"A={_CANARY} #{_OTHER}\n", {"A": _SECRET}),
    "comment_is_value": (f"A=#{_CANARY}\n", {"A": _SECRET}),
    "text_after_quote": (f'A="{_CANARY}"{_OTHER}=9\n', {"A": _SECRET}),
    "refused_by_compose": (f"A={_CANARY}\nB C=1\n", {"A": _SECRET}),
    "set_twice": (f"A={_CANARY}\nA={_OTHER}\n", {"A": _SECRET}),
    "misspelt": (f"REDIS_HOTS={_CANARY}\n", {"REDIS_HOST": {}}),
    "placeholder": (f"A=CHANGE_THIS_{_CANARY}\n", {"A": _SECRET}),
    "repeated_secret": (f"A={_CANARY * 2}\n", {"A": _SECRET}),
    "one_secret_twice": (f"A={_CANARY}\nB={_CANARY}\n", {"A": _SECRET, "B": _SECRET}),
    "unescaped_in_url": (f"A=redis://u:{_CANARY}@{_OTHER}@redis/0\n", {"A": _URL}),
    "database_url_without_database": (f"A=postgresql://u:{_CANARY}@db\n", {"A": _URL}),
    "open_to_all": (f"A={_CANARY}\n", {"A": _SECRET}),
}


def show(folder: pathlib.Path, all_of_them: dict[str, contenders.Contender]) -> None:
    """Prints for each case who found it, who was silent, and who showed a part of the value."""
    counts = dict.fromkeys(all_of_them, 0)
    for name, (text, rules) in CASES.items():
        work = lay_out(folder / name, text, rules, 1)
        if name == "open_to_all":
            (work.folder / ".env").chmod(0o644)
        verdicts = {}
        for contender, each in all_of_them.items():
            sample = contenders.measure(each, work)
            counts[contender] += bool(sample.wrong)
            verdicts[contender] = ("found" if sample.wrong else "silent") + "+shown" * bool(traces.of(sample.told))
        print(f"case env_{name} " + " ".join(f"{who}={what}" for who, what in verdicts.items()), flush=True)
    print(f"case env_found_of_{len(CASES)} " + " ".join(f"{who}={count}" for who, count in counts.items()), flush=True)
