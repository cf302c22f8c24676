"""The address under which other projects read a published SyncNet."""

from __future__ import annotations

from s2v_core.networks.syncnet import read_published

__all__ = ["read_published"]
