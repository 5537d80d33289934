# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How far a broken-in process comes. Each check yields what is wrong with one workload. Private to the collection."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.tria.production.plugins.module_utils._security.observation import Check, Inapplicable, Unseen
from ansible_collections.tria.production.plugins.module_utils._security.workload import Workload

SLOWEST_HEALTH_S = 300.0  # until a service that hangs is known to
_FLOATING = ("latest", "stable", "main", "master", "edge", "nightly", "dev", "rolling")
_DIGEST = re.compile(r"@sha256:[0-9a-f]{64}\Z|\Asha256:[0-9a-f]{64}\Z")
_EMPTY_TESTS = re.compile(r"\A(?:/bin/)?(?:true|:|exit(?: 0)?|exit 0|echo\b[^|&;]*)\Z")
_ENGINE_HEALTH = {"interval": 30.0, "timeout": 30.0, "retries": 3}
_BOUNDED_DRIVERS = ("local", "journald", "syslog", "fluentd", "gelf", "splunk", "awslogs", "gcplogs", "etwlogs", "loki")


def root_user(workload: Workload) -> t.Iterator[str]:
    if workload.process is not None:
        if workload.process.uid == 0:
            yield "its main process runs as root"
    elif workload.known_user().partition(":")[0] in ("", "0", "root"):
        yield "runs as root"


def no_new_privileges(workload: Workload) -> t.Iterator[str]:
    if workload.process is not None:
        if not workload.process.no_new_privileges:
            yield "its main process can gain privileges"
        return
    options = [option.replace(":", "=", 1) for option in workload.security_opt]
    if "no-new-privileges" not in options and "no-new-privileges=true" not in options:
        yield "does not set no-new-privileges"


def cap_drop(workload: Workload) -> t.Iterator[str]:
    if "ALL" not in workload.cap_drop:
        yield "does not drop all capabilities"


def limits(workload: Workload) -> t.Iterator[str]:
    for kind in workload.unlimited:
        yield f"has no {kind} limit"


def image_pinned(workload: Workload) -> t.Iterator[str]:
    image = workload.image
    if _DIGEST.search(image):
        return
    tag = image.rpartition("/")[2].partition(":")[2]
    if tag and tag not in _FLOATING:
        return
    if workload.built_here:
        raise Unseen("is built here: its tag is given by the release")
    yield f"image {image or '(none)'} " + (f"has the moving tag {tag}" if tag else "has no tag")


def healthcheck(workload: Workload) -> t.Iterator[str]:
    check = workload.healthcheck
    if workload.one_shot:
        raise Inapplicable("is meant to end")
    if not workload.health_known:
        raise Unseen("the image may bring a health check, and is not known here; the containers tell")
    if check is None:
        yield "has no health check"
        return
    command = " ".join(check.test[1:]) if check.test[0] in ("CMD", "CMD-SHELL") else " ".join(check.test)
    if _EMPTY_TESTS.match(command.strip()):
        yield "has a health check that always succeeds"
    interval = _ENGINE_HEALTH["interval"] if check.interval is None else check.interval
    timeout = _ENGINE_HEALTH["timeout"] if check.timeout is None else check.timeout
    slowest = (interval + timeout) * (check.retries or _ENGINE_HEALTH["retries"])
    if slowest > SLOWEST_HEALTH_S:
        yield f"has a health check that finds a failure after {slowest:g} s only"


def restart_policy(workload: Workload) -> t.Iterator[str]:
    if workload.one_shot:
        raise Inapplicable("is meant to end")
    if workload.restart == "no":
        yield "is not restarted"


def log_rotation(workload: Workload) -> t.Iterator[str]:
    driver = workload.log_driver
    if driver is None:
        raise Unseen("the Engine's default driver decides; the containers tell")
    if driver == "none":
        yield "keeps no log"
    elif driver == "json-file":
        if not workload.log_options.get("max-size") or workload.log_options["max-size"] == "-1":
            yield "has no max-size for its log"
    elif driver not in _BOUNDED_DRIVERS:
        raise Unseen(f"nothing is known of the log driver {driver}")


def read_only(workload: Workload) -> t.Iterator[str]:
    if not workload.read_only:
        yield "has a writable root file system"


def tmpfs_options(workload: Workload) -> t.Iterator[str]:
    for target, options in workload.tmpfs.items():
        # the Engine adds noexec, nosuid and nodev to whatever does not say otherwise
        given = sorted({"exec", "suid", "dev"}.intersection(options.split(",")))
        if given:
            yield f"tmpfs {target} has {', '.join(given)}"


CHECKS: dict[str, Check] = {
    check.__name__: check
    for check in (
        root_user, no_new_privileges, cap_drop, limits, image_pinned, healthcheck, restart_policy, log_rotation,
        read_only, tmpfs_options,
    )
}
