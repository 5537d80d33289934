# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The bucket that all hosts of the application share: the tests' S3 receiver on port 9000."""

from __future__ import annotations

import os
import signal

from receivers import Bucket, Receiver, signed_for_s3

with Receiver(Bucket("/tria-uploads", signed_for_s3(os.environ["S3_SECRET_ACCESS_KEY"]), "PUT"), ("0.0.0.0", 9000)):
    signal.pause()
