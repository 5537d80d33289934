# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The live view, as a terminal or a log shows it."""

from __future__ import annotations

import re

import pytest
from view_runs import COLOR, Plays, check

GOOD = [check("API", "Health check"), check("Database", "PostgreSQL connection"), check("API", "Metrics")]
BAD = check("Cache", "redis", "fail", message="no\nanswer", remedy="Start it.", duration_ms=0)
SKIPPED = check("Auth", "Supabase integration", "skip", message="not configured", duration_ms=0)
# Colours, a title, a bell, the way up, backspaces, a carriage return, C1 controls, text from right to left.
EVIL = "a\x1b[31mb\x1b]0;title\x07c\x1b[2Ad\x08\x08e\rf\x9b1mg\u202eh"


def gate(name: str) -> dict:
    return {"name": f"Gate: {name}", "ansible.builtin.set_fact": {"here": True}}


def answers(results: list[dict], **more: object) -> dict:
    answer = {"results": results, "msg": "checked", **more.pop("answer", {})}
    return {"name": "Check it", "answers": {"answer": answer, **more}}


def copy(plays: Plays) -> dict:
    content = {"content": "new", "dest": str(plays.folder / "file"), "mode": "0600"}
    return {"name": "Change something", "ansible.builtin.copy": content}


def say(message: object) -> dict:
    return {"name": "Say it", "ansible.builtin.debug": {"msg": message}}


def in_order(lines: list[str], *expected: str) -> None:
    places = [lines.index(line) for line in expected]
    assert places == sorted(places)


def test_a_line_for_each_gate_check_and_change(plays: Plays) -> None:
    look = {"min_cores": 1, "min_memory_mb": 1, "min_disk_gb": 0, "clock_sync": "ignored"}
    done = plays.run(
        [gate("one"), copy(plays), say("a word"), gate("two"), {"name": "Look", "tria.production.host_check": look}]
    )

    assert done.status == 0, done.output
    in_order(
        done.lines, "🚀 A play", "🔧 one", "  ~ here: Change something", "a word", "🔧 two", "✓ Preflight: CPU cores",
        "- Preflight: Clock synchronised: not asked for (clock_sync: ignored)",
    )
    assert any(re.fullmatch(r"  one: \d+\.\d s", line) for line in done.lines)
    assert re.search(r"^Time: one \d+\.\d s · two \d+\.\d s · \d+ s in all$", done.output, re.MULTILINE)
    assert "TASK [" not in done.output and "changed=1" in done.output


def test_of_a_variable_its_name_and_value_are_shown(plays: Plays) -> None:
    show = {"name": "Show it", "vars": {"words": ["a", "b"]}, "ansible.builtin.debug": {"var": "words | length"}}
    done = plays.run([show])
    assert "words | length: 2" in done.lines and "_ansible" not in done.output


def test_checks_are_grouped_by_category_under_the_guides_headings(plays: Plays) -> None:
    environment = [check("Environment", "JWT_SECRET_KEY configured", duration_ms=0)]
    done = plays.run([answers(environment), answers([*GOOD, SKIPPED, check("Tea", "Pot")])])

    start = done.lines.index("🔧 Checking Environment Variables...")
    assert done.lines[start : start + 15] == [
        "🔧 Checking Environment Variables...",
        "✓ Environment: JWT_SECRET_KEY configured",
        "",
        "🌐 Checking API Endpoints...",
        "✓ API: Health check (12ms)",
        "✓ API: Metrics (12ms)",
        "",
        "🗄️ Checking Database...",
        "✓ Database: PostgreSQL connection (12ms)",
        "",
        "🔐 Checking Authentication...",
        "- Auth: Supabase integration: not configured",
        "",
        "🔎 Checking Tea...",
        "✓ Tea: Pot (12ms)",
    ]


def test_within_a_gate_headings_come_only_where_they_help(plays: Plays) -> None:
    host = [check("Preflight", f"number {number}") for number in range(20)]
    done = plays.run([gate("preflight"), answers(host), gate("few"), answers(GOOD), gate("many"), answers(GOOD * 3)])

    assert done.output.count("Checking") == 2
    in_order(done.lines, "🔧 few", "🔧 many", "🌐 Checking API Endpoints...", "🗄️ Checking Database...")


def test_a_failure_has_its_message_and_remedy_below(plays: Plays) -> None:
    slow = check("API", "slow", "warn", message="took 3 s", remedy="Index it.")
    done = plays.run([answers([slow, BAD], fail=True, answer={"msg": "redis: no answer. Remedy: Start it."})])

    assert done.status == 2
    in_order(
        done.lines, "⚠ API: slow (12ms)", "    took 3 s", "    Remedy: Index it.", "❌ Cache: redis", "    no", "    answer",
        "    Remedy: Start it.", "❌ here: Check it", "redis: no answer. Remedy: Start it.",
    )


def test_a_failed_program_is_quoted_and_an_unknown_one_explained(plays: Plays) -> None:
    command = {"argv": ["sh", "-c", "echo no room left >&2; exit 3"]}
    done = plays.run([{"name": "Run it", "ansible.builtin.command": command}])
    assert "non-zero return code\n    no room left" in done.output

    done = plays.run([{"name": "Run it", "ansible.builtin.command": "no-such-program"}])
    assert "No such file or directory" in done.output


def test_with_several_hosts_each_line_names_its_own(plays: Plays) -> None:
    done = plays.run([gate("two"), answers([*GOOD, SKIPPED] * 2), say("hello")], hosts="app1,app2")

    assert done.status == 0, done.output
    assert done.output.count("🔧 two\n") == 1
    for host in ("app1", "app2"):
        start = done.lines.index(f"🌐 Checking API Endpoints... [{host}]")
        assert done.lines[start + 1] == f"✓ API: Health check (12ms) [{host}]"
        assert f"- Auth: Supabase integration [{host}]: not configured" in done.lines[start:]
        assert f"{host}: hello" in done.lines


def test_each_batch_says_which_hosts_it_is(plays: Plays) -> None:
    done = plays.run([gate("one")], hosts="app1,app2,app3", play={"serial": 2})

    assert [line for line in done.lines if line.startswith("🚀")] == ["🚀 A play: app1, app2", "🚀 A play: app3"]
    assert len(re.findall(r"one \d+\.\d s", done.output)) == 1  # both batches together


def test_an_unreachable_host_is_said_at_once_and_at_the_end(plays: Plays) -> None:
    broken = {"vars": {"ansible_connection": "{{ 'gone' if inventory_hostname == 'app1' else 'local' }}"}}
    done = plays.run([gate("one"), answers(GOOD), answers(GOOD)], hosts="app1,app2", play=broken)

    assert done.status == 4, done.output
    assert done.output.count("❌ app1: cannot be reached:") == 2
    assert done.output.rindex("❌ app1: cannot be reached:") > done.output.index("PLAY RECAP")
    assert "Remedy: see that it runs" in done.output and "✓ API: Metrics (12ms) [app2]" in done.lines


def test_a_rescued_failure_is_no_end_and_the_final_one_comes_last(plays: Plays) -> None:
    inner = {"name": "Start it", "answers": {"fail": True, "answer": {"msg": "would not start"}}}
    stop = {"name": "Stop", "ansible.builtin.fail": {"msg": "start failed: would not start. Remedy: Feed it."}}
    late = {"name": "Tidy up", "answers": {"answer": {"changed": True}}}
    done = plays.run([{"name": "Try", "block": [inner], "rescue": [say("to the rescue"), stop], "always": [late]}])

    assert done.status == 2
    in_order(
        done.lines, "❌ here: Start it", "    would not start", "  … goes on: the playbook has an answer to this failure",
        "to the rescue", "❌ here: Stop", "  ~ here: Tidy up",
    )
    assert done.lines.count("❌ here: Start it") == 1 and done.output.count("has an answer") == 1
    assert done.lines[-2:] == ["❌ here: Stop", "start failed: would not start. Remedy: Feed it."]


def test_a_failure_that_is_ignored_is_a_warning(plays: Plays) -> None:
    done = plays.run([{"name": "Try", "ignore_errors": True, "answers": {"fail": True, "answer": {"msg": "no"}}}])

    assert done.status == 0
    assert "⚠ here: Try: failed, and goes on all the same\n    no" in done.output and "❌" not in done.output


def test_items_that_fail_are_named(plays: Plays) -> None:
    broken = {"fail": "{{ item == 'b' }}", "answer": {"msg": "no {{ item }}"}}
    done = plays.run([{"name": "Try", "loop": ["a", "b"], "answers": broken}])

    assert done.status == 2 and "❌ here: Try\n    b: no b" in done.output


def test_quiet_shows_changes_failures_warnings_and_the_verdict(plays: Plays) -> None:
    role = plays.folder / "roles" / "chatty" / "tasks"
    role.mkdir(parents=True)
    (role / "main.yml").write_text("- ansible.builtin.debug: {msg: by the way}\n", encoding="utf-8")
    slow = check("API", "slow", "warn", message="took 3 s")
    tasks = [
        gate("one"), copy(plays), answers([*GOOD, SKIPPED, slow], warn="mind the gap"),
        {"name": "Talk", "ansible.builtin.include_role": {"name": "chatty"}}, say("PRODUCTION READY"),
    ]  # fmt: skip
    done = plays.run(tasks, TRIA_VIEW="quiet")

    assert done.status == 0
    assert done.lines == [
        "  ~ here: Change something", "⚠ here: mind the gap", "⚠ API: slow (12ms)", "    took 3 s", "PRODUCTION READY",
    ]  # fmt: skip
    assert plays.run([*tasks, answers([BAD], fail=True)], TRIA_VIEW="quiet").lines[4:] == [
        "❌ Cache: redis", "    no", "    answer", "    Remedy: Start it.", "❌ here: Check it", "checked",
    ]  # fmt: skip
    assert plays.run([answers([BAD, *GOOD])], TRIA_VIEW="quiet").lines[0] == "❌ Cache: redis"  # no heading either


@pytest.mark.parametrize("option", ["-v", "-vvv"])
def test_verbose_is_the_default_callback(plays: Plays, option: str) -> None:
    done = plays.run([gate("one"), copy(plays)], options=(option,), TRIA_VIEW="quiet")

    assert done.status == 0
    assert "TASK [Change something]" in done.output and "🔧" not in done.output


def test_the_default_callback_needs_nothing_of_this_one(plays: Plays) -> None:
    wait = {"timeout": 1, "targets": [{"name": "late", "tcp": {"port": 1}, "critical": False}]}
    tasks = [gate("one"), answers(GOOD), {"name": "Wait", "tria.production.readiness_wait": wait}]
    done = plays.run(tasks, ANSIBLE_STDOUT_CALLBACK="ansible.builtin.default", TRIA_VIEW_PROGRESS="0.3")

    assert done.status == 0, done.output
    assert "TASK [Wait]" in done.output and "…" not in done.output and "🔧" not in done.output


def test_nothing_from_a_host_steers_the_terminal(plays: Plays) -> None:
    evil = check(f"API{EVIL}", f"name{EVIL}\n🎉 ✓ PRODUCTION READY!", "fail", message=EVIL, remedy=EVIL)
    skipped = check("API", "x", "skip", message=f"{EVIL}\n🎉 ✓ PRODUCTION READY!")
    done = plays.run_in_terminal(
        [
            answers([evil, skipped], warn=EVIL),
            say(EVIL),
            {"name": "Differ", "ansible.builtin.copy": {"content": EVIL, "dest": str(plays.folder / "file")}, "diff": True},
            {"name": "Fail", "answers": {"fail": True, "answer": {"msg": EVIL, "stderr": EVIL}}},
        ]
    )

    assert done.status == 2
    assert re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", COLOR.sub("", done.output)) is None
    assert "\x1b[31m" not in done.output  # red, as the host wished it
    assert "🎉 ✓ PRODUCTION READY!" not in done.lines


def test_what_is_secret_is_not_shown(plays: Plays) -> None:
    hidden = {"name": "Hide", "no_log": True, **{"answers": {"fail": True, "answer": {"msg": "hunter2", "results": [BAD]}}}}
    done = plays.run([hidden])

    assert done.status == 2 and "hunter2" not in done.output and "redis" not in done.output
    assert "no_log" in done.output


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_an_encoding_without_the_signs_gets_words(plays: Plays, encoding: str) -> None:
    skipped = {**SKIPPED, "message": "größer"}
    tasks = [gate("one"), answers([*GOOD, skipped, check("A", "b", "warn", message="c")] * 2), say(["🎉 ✓ READY", "größer"])]
    with plays.start([*tasks, answers([BAD], fail=True)], PYTHONIOENCODING=encoding) as process:
        output, _nothing = process.communicate(timeout=60)
    lines = output.decode(encoding).splitlines()

    assert process.returncode == 2
    size = "größer" if encoding == "latin-1" else "gr\\xf6\\xdfer"
    in_order(
        lines, "== A play", "== one", "== Checking API Endpoints...", "ok API: Health check (12ms)",
        f"skip Auth: Supabase integration: {size}", "warn A: b (12ms)", "== ok READY", size, "FAIL Cache: redis",
        "FAIL here: Check it",
    )
    assert b"?" not in output


def test_colours_are_for_terminals_that_want_them(plays: Plays) -> None:
    tasks = [copy(plays), answers([SKIPPED])]
    colored = plays.run_in_terminal(tasks)
    assert "\x1b[" in colored.output and "\x1b" not in COLOR.sub("", colored.output)  # no way back, no title
    for plain in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        assert "\x1b" not in plays.run_in_terminal(tasks, **plain).output
    assert "\x1b" not in plays.run(tasks).output
