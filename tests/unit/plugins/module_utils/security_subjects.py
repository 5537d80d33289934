# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A project and a container with nothing wrong, for the tests that plant one fault at a time."""

from __future__ import annotations

import copy

SECRET = "9f3Kq0vTz2LmXw7RbY5c"
OTHER_SECRET = "h7Tq2ZpW8sVd4NxKc1Jr"
DIGEST = "registry.example.org/shop/app@sha256:" + "0123456789abcdef" * 4

_GOOD = {
    "image": DIGEST,
    "user": "10001:10001",
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges:true"],
    "read_only": True,
    "restart": "unless-stopped",
    "mem_limit": "134217728",
    "cpus": 0.5,
    "pids_limit": 64,
    "logging": {"driver": "json-file", "options": {"max-size": "10m", "max-file": "3"}},
    "tmpfs": ["/tmp:rw,noexec,nosuid,nodev,size=16m"],
    "healthcheck": {"test": ["CMD", "probe"], "interval": "10s", "timeout": "5s", "retries": 3},
    "environment": {"DATABASE_URL": f"postgresql://app:{SECRET}@db:5432/shop"},
}


def project(**changes):
    """A resolved configuration; `changes` are made to its service `app`, None takes a key away."""
    services = {name: copy.deepcopy(_GOOD) for name in ("app", "db", "cache")}
    owner = {"POSTGRES_USER": "owner", "POSTGRES_PASSWORD": OTHER_SECRET}
    services["db"].update(image="postgres:15.8", environment=owner)
    services["cache"].update(
        image="redis:7.2", command=["sh", "-c", 'exec redis-server --requirepass "$$REDISCLI_AUTH"'],
        environment={"REDISCLI_AUTH": SECRET[::-1]},
    )
    services["app"].update(changes)
    services["app"] = {key: value for key, value in services["app"].items() if value is not None}
    disguised = {"driver_opts": {"type": "none", "o": "bind", "device": "/etc"}}
    return {"name": "shop", "services": services, "volumes": {"disguised": disguised, "data": {"name": "shop_data"}}}


def container(**changes):
    """A running container as the Engine's API describes it; `changes` go one level deep."""
    good = {
        "Id": "f00d",
        "Name": "/shop-app-1",
        "Image": "sha256:1",
        "RestartCount": 0,
        "State": {"Status": "running", "Running": True, "Pid": 0, "ExitCode": 0, "OOMKilled": False,
                  "Health": {"Status": "healthy"}},
        "Config": {
            "Image": DIGEST,
            "User": "10001:10001",
            "Env": ["PATH=/usr/bin", f"API_TOKEN={SECRET}"],
            "Entrypoint": None,
            "Cmd": ["app"],
            "Healthcheck": {"Test": ["CMD", "probe"], "Interval": 10**10, "Timeout": 5 * 10**9, "Retries": 3},
            "Labels": {"com.docker.compose.project": "shop", "com.docker.compose.service": "app"},
        },
        "HostConfig": {
            "Privileged": False, "CapAdd": None, "CapDrop": ["ALL"], "Devices": [], "NetworkMode": "shop_front",
            "PidMode": "", "IpcMode": "private", "UTSMode": "", "UsernsMode": "",
            "SecurityOpt": ["no-new-privileges:true"], "Memory": 2**27, "NanoCpus": 5 * 10**8, "PidsLimit": 64,
            "RestartPolicy": {"Name": "unless-stopped"}, "ReadonlyRootfs": True, "Tmpfs": {"/tmp": "rw,noexec"},
            "LogConfig": {"Type": "json-file", "Config": {"max-size": "10m"}},
        },
        "Mounts": [{"Type": "volume", "Name": "shop_data", "Source": "/var/lib/docker/volumes/shop_data/_data",
                    "Destination": "/data", "RW": True}],
        "NetworkSettings": {"Ports": {"8000/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8000"}], "9000/tcp": None}},
    }
    for key, value in changes.items():
        good[key] = {**good[key], **value} if isinstance(value, dict) else value
    return good
