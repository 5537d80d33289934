# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every rule there is, and how `docs/security-rules.md` presents it. Private to the collection."""

from __future__ import annotations

import dataclasses

CRITICAL, HIGH, MEDIUM, LOW = SEVERITIES = ("critical", "high", "medium", "low")
CIS_VERSION = "1.6.0"

COMPOSE, CONTAINERS, HOST, FRONT = AREAS = ("compose", "containers", "host", "front")


@dataclasses.dataclass(frozen=True)
class Rule:
    """`id` and `name` are stable: waivers and readers of reports rely on them. `cis` is in the CIS Docker Benchmark."""

    id: str
    name: str
    severity: str
    cis: str
    title: str
    wrong: str
    remedy: str

    @property
    def critical(self) -> bool:
        """Whether a violation must stop a deploy."""
        return self.severity in (CRITICAL, HIGH)


GROUPS: dict[str, tuple[Rule, ...]] = {
    "What a container may do to its host (compose, containers)": (
        Rule("SEC101", "docker_socket", CRITICAL, "5.32", "No engine socket in containers",
             "A container engine's socket is mounted: whoever gets into the container is root on the host.",
             "Remove the mount; where a tool needs it, put a socket proxy with few, read-only endpoints between."),
        Rule("SEC102", "privileged", CRITICAL, "5.5", "No privileged containers",
             "privileged: true takes away all isolation from the host.",
             "Remove privileged, and add the one capability or device that is needed."),
        Rule("SEC103", "devices", CRITICAL, "5.18", "No host devices",
             "A device of the host is handed in (other than null, zero, full, random, urandom and tty), or may be "
             "made.",
             "Remove the device; one that is needed (a GPU) is waived with its reason."),
        Rule("SEC104", "host_capabilities", CRITICAL, "5.4", "No capabilities that reach the host",
             "A capability is added with which a process gets at the host: its kernel, memory, files or network.",
             "Remove it from cap_add."),
        Rule("SEC105", "host_paths", CRITICAL, "5.6", "No sensitive host paths",
             "The host's root, a path of its system, a socket of its services or somebody's keys are mounted.",
             "Mount a folder of the application's own, or a named volume."),
        Rule("SEC106", "host_namespaces", HIGH, "5.10, 5.16, 5.17, 5.21, 5.31", "No host namespaces",
             "The host's network, process, IPC, UTS or user namespace is shared.",
             "Remove network_mode, pid, ipc, uts and userns_mode: host; publish ports instead."),
        Rule("SEC107", "confinement", HIGH, "5.2, 5.3, 5.22", "seccomp, AppArmor and SELinux on",
             "security_opt switches off a confinement that is there by default.",
             "Remove the option; for a call that is refused, use a seccomp profile of your own."),
        Rule("SEC108", "shared_propagation", MEDIUM, "5.20", "No shared mount propagation",
             "What is mounted inside the container appears on the host.",
             "Use the propagation private or slave."),
    ),
    "How far a broken-in process comes (compose, containers)": (
        Rule("SEC111", "root_user", MEDIUM, "4.1", "Processes are not root",
             "The effective user of the main process is root.",
             "Set user: to a number of its own, in the Compose file or in the image."),
        Rule("SEC112", "no_new_privileges", MEDIUM, "5.26", "No new privileges",
             "A set-user-ID program can give a process more privileges.",
             'Set security_opt: ["no-new-privileges:true"].'),
        Rule("SEC113", "cap_drop", MEDIUM, "5.4", "Capabilities dropped",
             "The default capabilities are kept.",
             "Set cap_drop: [ALL], and add back only what is needed."),
        Rule("SEC114", "limits", MEDIUM, "5.11, 5.12, 5.29", "Resource limits",
             "Memory, processors or the number of processes are not limited: one container can starve the host.",
             "Set mem_limit, cpus and pids_limit (or deploy.resources.limits)."),
        Rule("SEC115", "image_pinned", MEDIUM, "5.28", "Images pinned",
             "The image has no tag, or one that moves: what runs next is anybody's guess.",
             "Name a version's tag, or better a digest."),
        Rule("SEC116", "healthcheck", MEDIUM, "4.6, 5.27", "Health checks",
             "There is no health check, or one that cannot find anything.",
             "Set a healthcheck that asks the service itself, with an answer within minutes."),
        Rule("SEC117", "restart_policy", MEDIUM, "", "Restart policies",
             "A service that ends is not started again.",
             "Set restart: unless-stopped; for one that is meant to end, say restart: \"no\"."),
        Rule("SEC118", "log_rotation", MEDIUM, "", "Log rotation",
             "Log files grow until the disk is full, or are not kept at all.",
             "Set logging.options max-size and max-file, or the driver local."),
        Rule("SEC119", "read_only", LOW, "5.13", "Read-only root file systems",
             "A process can change its own program files.",
             "Set read_only: true, with tmpfs or volumes for what is written."),
        Rule("SEC120", "tmpfs_options", LOW, "", "tmpfs without exec",
             "A tmpfs gives up noexec, nosuid or nodev.",
             "Remove exec, suid and dev from its options."),
    ),
    "What is open to others (compose, containers)": (
        Rule("SEC131", "published_data", CRITICAL, "5.14", "Databases not published",
             "A database or cache is published beyond this machine.",
             "Remove its ports, or publish them on 127.0.0.1."),
        Rule("SEC132", "published_ports", MEDIUM, "5.9, 5.14", "Published ports",
             "A port other than those of public_ports is published on more than loopback.",
             "Publish it on 127.0.0.1, or name it in public_ports when everybody is meant to reach it."),
        Rule("SEC133", "literal_secret", HIGH, "", "No secrets in the Compose file",
             "The Compose file itself holds a secret, or a URL with a password.",
             "Write ${NAME:?} and keep the value in the env file (0600), or use Compose's secrets."),
        Rule("SEC134", "weak_secret", CRITICAL, "", "Strong secrets",
             "A secret is a placeholder, too short to withstand guessing, or serves for two purposes.",
             "Generate one for each purpose: openssl rand -hex 32"),
        Rule("SEC135", "exposed_secret", HIGH, "4.10", "No secrets in arguments",
             "The value of a secret is in a command, health check, label or build argument: in every process list, or "
             "in the image's history.",
             "Hand it over by environment or file, and read it inside the container."),
        Rule("SEC136", "debug", CRITICAL, "", "Debugging off",
             "The application runs with its debugger or reloader: error pages show code, or run it.",
             "Switch it off for everything that others can reach."),
        Rule("SEC137", "database_auth", CRITICAL, "", "Databases ask for passwords",
             "PostgreSQL trusts whoever connects, MySQL has an empty password, or Redis asks for none.",
             "Set POSTGRES_PASSWORD without trust; requirepass for Redis."),
        Rule("SEC138", "superuser_role", CRITICAL, "", "Application is no superuser",
             "The application logs in to PostgreSQL as the role that initdb made, which may read files and run "
             "programs.",
             "Give the application a role of its own: CREATE ROLE app LOGIN, with rights on its own schema."),
    ),
    "What runs (containers)": (
        Rule("SEC201", "image_drift", MEDIUM, "", "Images as declared",
             "The container runs another image than the one that its reference, or the Compose file, names now.",
             "Deploy again."),
        Rule("SEC202", "undeclared", MEDIUM, "", "Containers as declared",
             "A container of the project belongs to no service of its Compose file.",
             "Remove it: docker compose up --remove-orphans"),
        Rule("SEC203", "oom_killed", MEDIUM, "5.11", "No kills for want of memory",
             "The kernel has killed the container's process for want of memory.",
             "Raise its memory limit, or find the leak."),
        Rule("SEC204", "restart_count", MEDIUM, "5.15", "No restarts",
             "The container was restarted more than max_restarts times.",
             "Read why it ends: docker logs"),
        Rule("SEC205", "unhealthy", MEDIUM, "5.27", "Containers healthy",
             "The container's own health check fails.",
             "Read what it says: docker inspect --format '{{json .State.Health}}'"),
    ),
    "The host": (
        Rule("SEC301", "docker_api", CRITICAL, "2.7", "Docker API not on open TCP",
             "dockerd listens on TCP without verified client certificates: whoever reaches it is root.",
             "Remove tcp:// from hosts (use ssh:// contexts), or set tlsverify with tlscacert, tlscert and tlskey."),
        Rule("SEC302", "docker_socket_mode", HIGH, "3.15, 3.16", "Mode of the Docker socket",
             "The socket's mode, owner or group lets other users than root and the group docker in.",
             "chown root:docker and chmod 0660 the socket."),
        Rule("SEC303", "secret_files", HIGH, "", "Secret files",
             "A file with secrets can be read by others, belongs to another user, is a link, or is tracked by git.",
             "chmod 0600 and chown it; git rm --cached it, and replace the secrets that were in it."),
        Rule("SEC304", "disk", HIGH, "", "Disks",
             "A file system that the stack writes to is short of space or inodes, or mounted read-only.",
             "Free or add space: docker system df and du --inodes -xd2 show where it went."),
        Rule("SEC305", "clock", MEDIUM, "", "Clock synchronised",
             "Nothing steers the clock: tokens and certificates are judged by a wrong time.",
             "Install and start systemd-timesyncd or chrony."),
        Rule("SEC306", "sshd", MEDIUM, "", "SSH logins",
             "sshd lets root log in by password, or anybody by password.",
             "Set PermitRootLogin prohibit-password (or no) and PasswordAuthentication no; sshd -t, then reload it."),
        Rule("SEC307", "security_updates", MEDIUM, "", "Security updates",
             "The distribution has security updates that are not installed.",
             "apt-get update and upgrade; unattended-upgrades does it by itself."),
        Rule("SEC308", "firewall", HIGH, "", "Firewall covers published ports",
             "Docker publishes a port that is not in public_ports, ahead of ufw's and firewalld's rules (moby#22054).",
             "Publish it on 127.0.0.1, or drop it in the chain DOCKER-USER."),
        Rule("SEC309", "backup_age", HIGH, "", "Fresh backup",
             "The newest complete and verified backup is missing or too old.",
             "Make one with tria.production.pg_backup, and see why the schedule did not."),
    ),
    "The HTTP front": (
        Rule("SEC401", "tls", HIGH, "", "TLS",
             "The front is reached without TLS, accepts versions before 1.2, or has no valid certificate.",
             "Serve TLS 1.2 and 1.3 only, with a certificate for this name and its chain."),
        Rule("SEC402", "https_redirect", HIGH, "", "HTTP leads to HTTPS",
             "Plain HTTP is answered with something else than a redirect to HTTPS.",
             "Answer 301 or 308 with the https URL, on port 80."),
        Rule("SEC403", "hsts", HIGH, "", "HSTS",
             "Strict-Transport-Security is missing, or shorter than half a year.",
             "Strict-Transport-Security: max-age=31536000, on every answer over HTTPS."),
        Rule("SEC404", "csp", HIGH, "", "Content security policy",
             "Content-Security-Policy is missing, or lets scripts come from anywhere.",
             "Content-Security-Policy: default-src 'none'; frame-ancestors 'none' for an API; what pages need."),
        Rule("SEC405", "nosniff", HIGH, "", "Content types not guessed",
             "X-Content-Type-Options: nosniff is missing.",
             "Send it with every answer, errors too (nginx: add_header … always)."),
        Rule("SEC406", "framing", HIGH, "", "No framing",
             "Neither X-Frame-Options nor frame-ancestors keeps other sites from framing the page.",
             "X-Frame-Options: DENY, or frame-ancestors in the content security policy."),
        Rule("SEC407", "cookies", HIGH, "", "Cookie flags",
             "A cookie lacks HttpOnly, SameSite, or over HTTPS Secure.",
             "Set all three; a CSRF cookie that scripts read may do without HttpOnly."),
        Rule("SEC408", "cors", HIGH, "", "CORS",
             "A hostile origin, or null, is allowed to read answers.",
             "List the origins that are yours; never reflect Origin, never allow null."),
        Rule("SEC409", "hidden_paths", HIGH, "", "Hidden paths",
             "A path that should not be there answers with content.",
             "Do not serve it: return 404 in the edge, and keep it out of the image."),
        Rule("SEC410", "stack_traces", HIGH, "", "No stack traces",
             "An error answer shows a stack trace or a debugger.",
             "Switch debugging off; answer errors with a fixed text and an ID."),
        Rule("SEC411", "protected_paths", HIGH, "", "Protected paths",
             "A path of protected_paths answers without credentials.",
             "Require a login for it: 401 or 403."),
        Rule("SEC412", "server_banner", LOW, "", "Versions not told",
             "Server or X-Powered-By tells the version of the software.",
             "nginx: server_tokens off; remove X-Powered-By."),
    ),
}

RULES: dict[str, Rule] = {rule.name: rule for group in GROUPS.values() for rule in group}
BY_ID: dict[str, Rule] = {rule.id: rule for rule in RULES.values()}


def find(name: str) -> Rule | None:
    """The rule of this ID or name."""
    return BY_ID.get(name) or RULES.get(name)


def markdown() -> str:
    """The text of `docs/security-rules.md`."""
    lines = [
        "# Rules of `tria.production.security_check`",
        "",
        "Generated from the rule definitions (`plugins/module_utils/_security/rules.py`); a test keeps it current.",
        "A violation of a critical or high rule is a `fail`, of a medium or low one a `warn`.",
        "What could not be looked at is `skip` with the reason, or `error`, never `pass`.",
        "A result names its rule by ID and by name. Either serves in",
        "`waivers: [{rule: SEC119, subject: backend, reason: it writes beside its program}]`.",
        f"CIS numbers are those of the CIS Docker Benchmark {CIS_VERSION}, whose recommendations a rule follows in",
        "whole or in part. 5.15 asks for `on-failure:5`, lest a service is restarted for ever; here services come",
        "up again after a reboot too (SEC117), and what is restarted again and again is found (SEC204).",
        "",
        "`compose-lint` (of PyPI) looks at Compose files alone, as they are written.",
        "A test holds both against the same planted faults: what it grades critical or high is found here too, with",
        "two exceptions. Capabilities with which a container only starves others (SYS_NICE, IPC_LOCK, LEASE) and",
        "folders below /etc that are mounted read-only are no finding here. It asks for digests where SEC115 is",
        "content with the tag of a version: a release of this collection names its images by their content.",
    ]
    for title, group in GROUPS.items():
        lines += ["", f"## {title}", "", "| rule | severity | CIS | what is wrong | remedy |", "|---|---|---|---|---|"]
        for rule in group:
            cells = (f"{rule.id} `{rule.name}`", rule.severity, rule.cis or "–", rule.wrong, rule.remedy)
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"
