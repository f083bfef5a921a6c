"""Signed messages under the name by which this room knows them."""

from __future__ import annotations

from edge_app.system.signed import SCHEMA as SCHEMA
from edge_app.system.signed import Signed as Signed
from edge_app.system.signed import Verify as Verify
from edge_app.system.signed import is_from as is_from
from edge_app.system.signed import read_signed as read_signed
from edge_app.system.signed import signed_text as signed_text
from edge_app.system.signed import write_signed as write_signed
