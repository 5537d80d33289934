# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An image of a few programs of this machine: without a registry, in no time."""

from __future__ import annotations

import io
import re
import subprocess
import tarfile


def import_programs(engine, name, *programs):
    """Import the programs with their libraries as `<name>:1`."""
    libraries = subprocess.run(["ldd", *programs], check=True, capture_output=True, text=True).stdout
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", dereference=True) as tar:
        for path in sorted({*programs, *re.findall(r"(/\S*\.so\S*) \(", libraries)}):
            tar.add(path)
    engine.import_image_from_data(archive.getvalue(), repository=name, tag="1")
