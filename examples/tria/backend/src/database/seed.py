# Copyright: tria.production contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The catalog that a new installation starts with."""

from __future__ import annotations

from decimal import Decimal

from sqlalchemy import Connection
from sqlalchemy.dialects.postgresql import insert

from database.tables import catalog

PRODUCTS = [
    ("CUP-BAM-350", "Bamboo cup 350 ml", "Reusable cup of bamboo fibre with a silicone lid", "cups", "8.90"),
    ("CUP-PAP-250", "Paper cup 250 ml, 50 pcs", "Compostable single-wall paper cups", "cups", "6.40"),
    ("CUP-PAP-350", "Paper cup 350 ml, 50 pcs", "Compostable double-wall paper cups", "cups", "9.20"),
    ("BOX-KRA-750", "Kraft lunch box 750 ml, 50 pcs", "Leak-proof take-away boxes of kraft paper", "boxes", "14.50"),
    ("BOX-KRA-1000", "Kraft lunch box 1000 ml, 50 pcs", "Leak-proof take-away boxes of kraft paper", "boxes", "17.80"),
    ("BOX-PIZ-32", "Pizza box 32 cm, 100 pcs", "Corrugated board with vents", "boxes", "32.00"),
    ("BOX-PIZ-25", "Pizza box 25 cm, 100 pcs", "Corrugated board with vents", "boxes", "26.00"),
    ("BAG-KRA-M", "Kraft carrier bag M, 100 pcs", "Twisted paper handles, 22 x 28 cm", "bags", "19.90"),
    ("BAG-KRA-L", "Kraft carrier bag L, 100 pcs", "Twisted paper handles, 32 x 41 cm", "bags", "27.50"),
    ("CUT-WOO-SET", "Wooden cutlery set, 100 pcs", "Knife, fork, spoon and napkin of birch", "cutlery", "12.30"),
    ("NAP-REC-1000", "Recycled napkins, 1000 pcs", "One-ply napkins of recycled paper", "napkins", "9.60"),
    ("STR-PAP-250", "Paper straws, 250 pcs", "Food-safe straws, 6 mm", "straws", "5.10"),
]


def seed_catalog(connection: Connection) -> int:
    """Add the products that are not there yet; what an operator changed stays. Returns how many were added."""
    rows = [
        {"sku": sku, "name": name, "description": text, "category": category, "unit_price": Decimal(price)}
        for sku, name, text, category, price in PRODUCTS
    ]
    statement = insert(catalog).values(rows).on_conflict_do_nothing(index_elements=["sku"]).returning(catalog.c.sku)
    return len(connection.execute(statement).all())
