"""Anomalies in the frames of a ring, each with its threshold, its evidence and its block.

frames --> AnomalyWatch --> detectors --Sighting--> Announcements --SystemHealth--> a ring of their own
           (a Strategy)     chain, flow, pools       begun, ended or once; never twice
"""

from consumers.anomalies.config import AnomalyThresholds
from consumers.anomalies.published import PublishedAnomalies, published_in
from consumers.anomalies.watch import AnomalyWatch

__all__ = ["AnomalyThresholds", "AnomalyWatch", "PublishedAnomalies", "published_in"]
