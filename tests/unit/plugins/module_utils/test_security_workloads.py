# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The rules for services and containers: each fault is planted in a good service, and in a good container."""

from __future__ import annotations

import pytest
from security_subjects import DIGEST, SECRET, container, project

from ansible_collections.tria.production.plugins.module_utils._errors import ProductionError
from ansible_collections.tria.production.plugins.module_utils._security import compose, containers, exposure, hardening
from ansible_collections.tria.production.plugins.module_utils._security import isolation, rules

SHARED = {**isolation.CHECKS, **hardening.CHECKS, **exposure.CHECKS}


def seen(observations, status):
    return {(one.rule.name, one.subject): one.message for one in observations if one.status == status}


def of_project(resolved, status="fail", written=None, images=None):
    services = compose.workloads(resolved, images or {})
    return seen(compose.observe(compose.Definition(resolved, written), services, (443,)), status)


def written(**services):
    """Compose files without a secret, but for what these services say."""
    return {"services": {**{name: {} for name in ("app", "db", "cache")}, **services}}


def of_containers(*found, status="fail", services=None, image_ids=None):
    ids = {DIGEST: "sha256:1"} if image_ids is None else image_ids
    return seen(containers.observe(list(found), ids, services, (443,), 3), status)


def test_a_good_project_and_a_good_container_violate_nothing():
    resolved = project()
    for status in ("fail", "error", "skip"):
        assert of_project(resolved, status, written=written()) == {}
    services = {one.service: one for one in compose.workloads(resolved, {})}
    for status in ("fail", "error", "skip"):
        assert of_containers(container(), status=status, services=services) == {}


SERVICE_FAULTS = [
    ("docker_socket", {"volumes": [{"type": "bind", "source": "/var/run/docker.sock", "target": "/s"}]}),
    ("docker_socket", {"volumes": [{"type": "bind", "source": "/run/containerd/containerd.sock", "target": "/s"}]}),
    ("docker_socket", {"volumes": [{"type": "bind", "source": "/var/run/", "target": "/s", "read_only": True}]}),
    ("privileged", {"privileged": True}),
    ("devices", {"devices": [{"source": "/dev/sda", "target": "/dev/sda", "permissions": "rwm"}]}),
    ("devices", {"devices": ["/dev/kvm:/dev/kvm"]}),
    ("devices", {"device_cgroup_rules": ["b *:* rwm"]}),
    ("host_capabilities", {"cap_add": ["SYS_ADMIN"]}),
    ("host_capabilities", {"cap_add": ["CAP_SYS_PTRACE"]}),
    ("host_paths", {"volumes": [{"type": "bind", "source": "/", "target": "/host", "read_only": True}]}),
    ("host_paths", {"volumes": [{"type": "bind", "source": "/etc/cron.d", "target": "/c"}]}),
    ("host_paths", {"volumes": [{"type": "bind", "source": "/etc/shadow", "target": "/s", "read_only": True}]}),
    ("host_paths", {"volumes": [{"type": "volume", "source": "disguised", "target": "/c"}]}),
    ("host_paths", {"volumes": [{"type": "bind", "source": "/var/lib/containerd", "target": "/c"}]}),
    ("host_paths", {"volumes": [{"type": "bind", "source": "/dev/shm", "target": "/dev/shm"}]}),
    ("host_paths", {"volumes": [{"type": "bind", "source": "/run/systemd", "target": "/s", "read_only": True}]}),
    ("host_paths", {"volumes": [{"type": "bind", "source": "/run/dbus/system_bus_socket", "target": "/s"}]}),
    ("host_paths", {"volumes": [{"type": "bind", "source": "/home/me/.ssh", "target": "/k", "read_only": True}]}),
    ("host_namespaces", {"network_mode": "host"}),
    ("host_namespaces", {"pid": "host"}),
    ("host_namespaces", {"ipc": "host"}),
    ("host_namespaces", {"uts": "host"}),
    ("host_namespaces", {"userns_mode": "host"}),
    ("confinement", {"security_opt": ["no-new-privileges:true", "seccomp:unconfined"]}),
    ("confinement", {"security_opt": ["no-new-privileges:true", "apparmor=unconfined"]}),
    ("shared_propagation",
     {"volumes": [{"type": "bind", "source": "/srv/data", "target": "/d", "bind": {"propagation": "rshared"}}]}),
    ("root_user", {"user": "0:0"}),
    ("root_user", {"user": "root"}),
    ("no_new_privileges", {"security_opt": []}),
    ("no_new_privileges", {"security_opt": ["no-new-privileges:false"]}),
    ("cap_drop", {"cap_drop": ["NET_RAW"]}),
    ("limits", {"mem_limit": None}),
    ("limits", {"cpus": 0}),
    ("limits", {"pids_limit": -1}),
    ("image_pinned", {"image": "registry.example.org:5000/app"}),
    ("image_pinned", {"image": "app:latest"}),
    ("healthcheck", {"healthcheck": {"disable": True}}),
    ("healthcheck", {"healthcheck": {"test": ["NONE"]}}),
    ("healthcheck", {"healthcheck": {"test": ["CMD-SHELL", "exit 0"]}}),
    ("healthcheck", {"healthcheck": {"test": ["CMD", "check"], "interval": "10m0s"}}),
    ("restart_policy", {"restart": None}),
    ("restart_policy", {"deploy": {"restart_policy": {"condition": "none"}}}),
    ("log_rotation", {"logging": {"driver": "json-file"}}),
    ("log_rotation", {"logging": {"driver": "none"}}),
    ("read_only", {"read_only": False}),
    ("tmpfs_options", {"tmpfs": ["/tmp:rw,exec,size=16m"]}),
    ("published_ports", {"ports": [{"target": 8000, "published": "8000"}]}),
    ("published_ports", {"ports": [{"target": 8000}]}),
    ("published_ports", {"ports": [{"target": 8000, "published": "8000-8005", "host_ip": "192.0.2.1"}]}),
    ("weak_secret", {"environment": {"SECRET_KEY": "CHANGE_ME_PLEASE_CHANGE_ME_123"}}),
    ("weak_secret", {"environment": {"SECRET_KEY": "Zk3x9"}}),
    ("weak_secret", {"environment": {"SECRET_KEY": SECRET, "JWT_SECRET_KEY": SECRET}}),
    ("weak_secret", {"environment": {"DATABASE_URL": "postgresql://app:postgres@db/shop"}}),
    ("weak_secret", {"environment": {"DATABASE_URL": f"postgresql://app:{SECRET}@db/shop", "API_KEY": SECRET}}),
    ("exposed_secret", {"command": ["app", f"--token={SECRET}"], "environment": {"API_TOKEN": SECRET}}),
    ("debug", {"environment": {"FLASK_DEBUG": "1"}}),
    ("debug", {"environment": {"NODE_ENV": "development"}}),
    ("debug", {"command": ["uvicorn", "app", "--reload"]}),
    ("superuser_role", {"environment": {"DATABASE_URL": f"postgresql+asyncpg://owner:{SECRET}@db/shop"}}),
    ("superuser_role", {"environment": {"PGHOST": "db", "PGUSER": "owner"}}),
]


@pytest.mark.parametrize("rule, fault", SERVICE_FAULTS, ids=[rule for rule, _fault in SERVICE_FAULTS])
def test_a_fault_in_a_service(rule, fault):
    resolved = project(**fault)
    found = of_project(resolved)
    assert (rule, "app") in found and {name for name, _subject in found} <= {rule, "docker_socket", "host_paths"}
    assert SECRET not in repr(found) and of_project(resolved, "error") == {}


def test_every_shared_rule_has_its_fault():
    planted = {rule for rule, _fault in SERVICE_FAULTS} | {"published_data", "database_auth"}
    assert planted == set(SHARED)


@pytest.mark.parametrize(
    "service, change",
    [
        ("db", {"environment": {"POSTGRES_PASSWORD": SECRET, "POSTGRES_HOST_AUTH_METHOD": "trust"}}),
        ("db", {"environment": {"POSTGRES_PASSWORD": SECRET, "POSTGRES_INITDB_ARGS": "--auth-local=trust"}}),
        ("db", {"environment": {}}),
        ("cache", {"command": ["redis-server", "--appendonly", "yes"]}),
        ("cache", {"command": ["redis-server", "--requirepass", '""']}),
        ("cache", {"environment": {"ALLOW_EMPTY_PASSWORD": "yes"}}),
        ("cache", {"image": "mariadb:11", "environment": {"MARIADB_ALLOW_EMPTY_ROOT_PASSWORD": "1"}}),
    ],
)
def test_a_database_that_asks_for_no_password(service, change):
    resolved = project()
    resolved["services"][service].update(change)
    assert ("database_auth", service) in of_project(resolved)


def test_a_database_that_is_published():
    for service, port, target in (("db", "15432", 5432), ("cache", "443", 6379)):
        resolved = project()
        resolved["services"][service]["ports"] = [{"target": target, "published": port, "host_ip": "0.0.0.0"}]
        assert of_project(resolved) == {("published_data", service): f"publishes port {port} on 0.0.0.0"}
        resolved["services"][service]["ports"][0]["host_ip"] = "127.0.0.1"
        assert of_project(resolved) == {}


def test_what_is_good_though_it_looks_like_a_fault():
    good = [
        {"volumes": [{"type": "bind", "source": "/etc/localtime", "target": "/etc/localtime", "read_only": True}]},
        {"volumes": [{"type": "bind", "source": "/srv/shop/uploads", "target": "/uploads"}]},
        {"devices": ["/dev/null:/dev/null"]},
        {"cap_add": ["NET_BIND_SERVICE"]},
        {"ports": [{"target": 8443, "published": "443"}, {"target": 8000, "published": "8000", "host_ip": "::1"}]},
        {"mem_limit": None, "cpus": None, "pids_limit": None,
         "deploy": {"resources": {"limits": {"memory": "52428800", "cpus": 0.5, "pids": 10}}}},
        {"image": "registry.example.org:5000/team/app:1.4"},
        {"environment": {"DEBUG": "false", "NODE_ENV": "production", "MAX_TOKENS": "5", "SMTP_PASSWORD": ""}},
        {"environment": {"REDIS_PASSWORD": SECRET, "REDISCLI_AUTH": SECRET}},
        {"environment": {"PWD": "/app", "TLS_PRIVATE_KEY": "/etc/ssl/private/app.pem", "GPG_KEY": "A035C8"}},
        {"environment": {"POSTGRES_PASSWORD": SECRET, "DATABASE_URL": f"postgresql://app:{SECRET}@db/shop"}},
        {"command": ["sh", "-c", 'exec app --debugger-off "$$TOKEN"']},
    ]
    for change in good:
        assert of_project(project(**change)) == {}, change


def test_what_is_not_known_is_skipped():
    resolved = project(user=None, healthcheck=None, logging=None)
    assert of_project(resolved) == {}
    skipped = of_project(resolved, "skip")
    assert {"root_user", "healthcheck", "log_rotation", "literal_secret"} <= {name for name, _subject in skipped}
    image = {"User": "", "Healthcheck": {"Test": ["CMD", "true"], "Interval": 10**9}}
    found = of_project(resolved, images={DIGEST: image})
    assert set(found) == {("root_user", "app"), ("healthcheck", "app")}
    good_image = {"User": "1000", "Healthcheck": {"Test": ["CMD", "probe"]}}
    assert of_project(resolved, images={DIGEST: good_image}) == {}
    built = project(build={"context": "."}, image="shop/app:latest")
    assert ("image_pinned", "app") in of_project(built, "skip")
    conf = project()
    conf["services"]["cache"]["command"] = ["redis-server", "/etc/redis.conf"]
    assert ("database_auth", "cache") in of_project(conf, "skip")


def test_one_shots_need_no_health_check_and_no_restart():
    resolved = project(restart="no", healthcheck=None, environment={"PGHOST": "db", "PGUSER": "owner"})
    assert of_project(resolved) == {}


@pytest.mark.parametrize(
    "app",
    [
        {"environment": {"API_TOKEN": SECRET}},
        {"environment": [f"API_TOKEN={SECRET}"]},
        {"environment": {"API_TOKEN": "${API_TOKEN:-" + SECRET + "}"}},
        {"environment": {"DATABASE_URL": f"postgresql://app:{SECRET}@db/shop"}},
        {"environment": {"DATABASE_URL": "postgresql://app:${PW:-" + SECRET + "}@db/shop"}},
        {"build": {"context": ".", "args": {"NPM_TOKEN": SECRET}}},
        {"command": f"app redis://:{SECRET}@cache/0"},
        {"command": ["redis-server", "--requirepass", SECRET]},
        {"entrypoint": f"app --db-password={SECRET}"},
    ],
)
def test_a_secret_in_the_compose_file(app):
    found = of_project(project(), written=written(app=app))
    assert set(found) == {("literal_secret", "app")} and SECRET not in repr(found)


def test_references_are_no_secrets():
    references = {
        "API_TOKEN": "${API_TOKEN:?}", "SECRET_KEY": "$SECRET_KEY", "XERO_CLIENT_SECRET": "${XERO_CLIENT_SECRET:-}",
        "DATABASE_URL": "postgresql://app:${PASSWORD}@db/shop", "TOKEN_FILE": "/run/secrets/token", "USE_TOKEN": "true",
    }
    command = "sh -c 'exec redis-server --requirepass \"$$PW\" --token-file /run/t --password ${PW:?}'"
    assert of_project(project(), written=written(app={"environment": references, "command": command})) == {}
    printed = "printf 'requirepass %s' \"$$PW\" | redis-server -"
    assert of_project(project(), written=written(app={"command": printed})) == {}


CONTAINER_FAULTS = [
    ("docker_socket", {"Mounts": [{"Type": "bind", "Source": "/run/docker.sock", "Destination": "/s", "RW": True}]}),
    ("privileged", {"HostConfig": {"Privileged": True}}),
    ("devices", {"HostConfig": {"Devices": [{"PathOnHost": "/dev/sda"}]}}),
    ("devices", {"HostConfig": {"DeviceCgroupRules": ["c 1:11 r"]}}),
    ("host_capabilities", {"HostConfig": {"CapAdd": ["CAP_SYS_MODULE"]}}),
    ("host_paths", {"Mounts": [{"Type": "bind", "Source": "/root", "Destination": "/r", "RW": False}]}),
    ("host_namespaces", {"HostConfig": {"NetworkMode": "host"}}),
    ("confinement", {"HostConfig": {"SecurityOpt": ["no-new-privileges:true", "seccomp=unconfined"]}}),
    ("root_user", {"Config": {"User": ""}}),
    ("no_new_privileges", {"HostConfig": {"SecurityOpt": None}}),
    ("cap_drop", {"HostConfig": {"CapDrop": None}}),
    ("limits", {"HostConfig": {"Memory": 0}}),
    ("healthcheck", {"Config": {"Healthcheck": None}}),
    ("restart_policy", {"HostConfig": {"RestartPolicy": {"Name": "no"}}}),
    ("log_rotation", {"HostConfig": {"LogConfig": {"Type": "json-file", "Config": {}}}}),
    ("read_only", {"HostConfig": {"ReadonlyRootfs": False}}),
    ("tmpfs_options", {"HostConfig": {"Tmpfs": {"/tmp": "exec,dev"}}}),
    ("published_ports", {"NetworkSettings": {"Ports": {"8000/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8000"}]}}}),
    ("published_data", {"NetworkSettings": {"Ports": {"5432/tcp": [{"HostIp": "::", "HostPort": "5432"}]}}}),
    ("weak_secret", {"Config": {"Env": ["SECRET_KEY=changeme"]}}),
    ("debug", {"Config": {"Env": ["DEBUG=True"]}}),
    ("oom_killed", {"State": {"OOMKilled": True}}),
    ("restart_count", {"RestartCount": 4}),
    ("unhealthy", {"State": {"Health": {"Status": "unhealthy"}}}),
    ("image_drift", {"Image": "sha256:0"}),
]


@pytest.mark.parametrize("rule, fault", CONTAINER_FAULTS, ids=[rule for rule, _fault in CONTAINER_FAULTS])
def test_a_fault_in_a_container(rule, fault):
    assert set(of_containers(container(**fault))) == {(rule, "shop-app-1")}
    assert of_containers(container(**fault), status="error") == {}


@pytest.mark.parametrize("change, rule", [({"Privileged": True}, "privileged"), ({"PidMode": "host"}, "host_namespaces")])
def test_labels_that_the_engine_switches_off_itself(change, rule):
    options = ["no-new-privileges:true", "label=disable"]
    assert set(of_containers(container(HostConfig={**change, "SecurityOpt": options}))) == {(rule, "shop-app-1")}
    assert set(of_containers(container(HostConfig={"SecurityOpt": options}))) == {("confinement", "shop-app-1")}


def test_a_container_that_is_not_as_declared():
    services = {one.service: one for one in compose.workloads(project(image="app:1.5"), {})}
    assert set(of_containers(container(), services=services)) == {("image_drift", "shop-app-1")}
    del services["app"]
    assert set(of_containers(container(), services=services)) == {("undeclared", "shop-app-1")}


def test_what_a_container_does_not_tell_is_skipped():
    starting = container(State={"Health": {"Status": "starting"}})
    skipped = of_containers(starting, status="skip", image_ids={})
    assert set(skipped) == {("unhealthy", "shop-app-1"), ("image_drift", "shop-app-1"), ("undeclared", "shop-app-1")}


def process(tmp_path, monkeypatch, uid, no_new_privileges, container_id):
    folder = tmp_path / "77"
    folder.mkdir()
    (folder / "cgroup").write_text(f"0::/system.slice/docker-{container_id}.scope\n", encoding="utf-8")
    (folder / "status").write_text(f"Uid:\t0\t{uid}\t0\t0\nNoNewPrivs:\t{no_new_privileges}\n", encoding="utf-8")
    monkeypatch.setattr(containers, "PROC", str(tmp_path))


def test_the_main_process_tells_more_than_the_configuration(tmp_path, monkeypatch):
    process(tmp_path, monkeypatch, 0, 0, "f00d")
    running = container(State={"Pid": 77})
    assert {name for name, _subject in of_containers(running)} == {"root_user", "no_new_privileges"}
    assert containers.main_process({**running, "Id": "other"}) is None  # that number is another process's


def test_a_process_that_dropped_its_privileges(tmp_path, monkeypatch):
    process(tmp_path, monkeypatch, 999, 1, "f00d")
    running = container(State={"Pid": 77}, Config={"User": ""}, HostConfig={"SecurityOpt": None})
    assert of_containers(running) == {}


def test_what_is_no_resolved_configuration():
    for broken in ({"volumes": ["data:/data"]}, {"ports": ["80:80"]}, {"environment": ["A=1"]}):
        with pytest.raises(ProductionError, match="app: is not in resolved form"):
            of_project(project(**broken))


def test_severities_and_numbers_are_well_formed():
    assert len(rules.BY_ID) == len(rules.RULES) == sum(map(len, rules.GROUPS.values()))
    for rule in rules.RULES.values():
        assert rule.severity in rules.SEVERITIES and rule.wrong.endswith(".") and rule.title and rule.remedy
    assert rules.find("SEC101") == rules.find("docker_socket") and rules.find("SEC999") is None
