# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Options of every module that backs up a PostgreSQL database, or restores one."""

from __future__ import annotations


class ModuleDocFragment:
    """Fragment C(tria.production.postgresql)."""

    DOCUMENTATION = r"""
requirements:
  - docker >= 5.0 (Python library) and the C(docker) client, for O(container)
  - C(sh), C(tee), C(sha256sum), C(wc) in the container
  - C(psql) and C(pg_restore), in the container or on the host
  - zstandard >= 0.15 (Python library), for dumps that are compressed with zstd
  - C(age) and C(age-keygen) >= 1.0, for backups that are encrypted
author:
  - tria.production contributors (@tria-production)
options:
  dest:
    description:
      - Folder of the backups. It is made, with mode 0700, when it does not exist. Files in it get mode 0600.
      - One run at a time may write to it.
    type: path
    required: true
  dbname:
    description:
      - Name of the database.
    type: str
    required: true
  container:
    description:
      - The container of the server, on this host's Docker Engine. Without it the host's own client is used.
    type: dict
    suboptions:
      project:
        description:
          - Name of the Compose project.
        type: str
      service:
        description:
          - Name of the service of the Compose project.
        type: str
        default: postgres
      name:
        description:
          - Name of a container, for one that does not belong to a Compose project.
        type: str
      scratch:
        description:
          - Folder in the container that has room for a dump in directory format, which is made there and copied to the
            host, or copied there to be restored. What is written there is always removed.
        type: path
        default: /tmp
  login_host:
    description:
      - Host of the server, or the folder of its socket, as seen from where the tools run. The default is the local
        socket.
    type: str
  login_port:
    description:
      - Port of the server.
    type: int
  login_user:
    description:
      - User to connect as. For a backup it must be allowed to read every table.
    type: str
  login_password:
    description:
      - Password of O(login_user).
    type: str
  jobs:
    description:
      - How many connections dump or restore in directory format. The default is the number of processors of the
        host, but not more than 4.
    type: int
  keep_before:
    description:
      - For how many days a database that a restore has replaced stays, as C(<dbname>_before_<time>). Older ones
        are dropped by the next backup or restore; never the newest one, and none that somebody is connected to.
      - Those of a database whose name has more than 40 bytes stay until somebody drops them; their names are cut, and
        could be those of another one.
    type: int
    default: 7
  timeout:
    description:
      - Seconds that everything together may take.
    type: float
    default: 3600
"""
