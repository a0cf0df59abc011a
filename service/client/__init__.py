"""A client of the service in Python; it needs nothing of the service itself, only its address."""

from service.client.client import Client
from service.client.embeddings import SlideEmbeddings
from service.client.errors import ClientError, ProblemError
from service.client.values import Areas, Job, Me, Neighbour, Progress, Slide, SlideMap

__all__ = (
    "Areas",
    "Client",
    "ClientError",
    "Job",
    "Me",
    "Neighbour",
    "ProblemError",
    "Progress",
    "Slide",
    "SlideEmbeddings",
    "SlideMap",
)
