"""Everything a surface may use, built once by the composition root."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from server.services.active import ActiveJobs
from server.services.adapters import Adapters
from server.services.chains import Chains
from server.services.circuits import Circuits
from server.services.connections import Connections
from server.services.gallery import Gallery
from server.services.generation import Generation
from server.services.health import Health
from server.services.keys import Keys
from server.services.models import Models
from server.services.residency import Residency
from server.services.sources import Sources
from server.services.streams import Streams
from server.services.tally import Tally
from server.services.uploads import Uploads
from server.services.usage import Usage
from server.services.workers import Workers


@dataclass(frozen=True, slots=True)
class Services:
    """The use cases, and the few settings that the HTTP form itself needs."""

    generation: Generation
    streams: Streams
    gallery: Gallery
    uploads: Uploads
    sources: Sources
    adapters: Adapters
    chains: Chains
    circuits: Circuits
    connections: Connections
    keys: Keys
    usage: Usage
    models: Models
    workers: Workers
    residency: Residency
    health: Health
    active: ActiveJobs
    tally: Tally
    allowed_hosts: Sequence[str]
    version: str
