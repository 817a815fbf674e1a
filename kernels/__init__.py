"""Point operations that every model here starts with, behind one call each."""

from kernels.chamfer import chamfer_distance
from kernels.dispatch import with_backend
from kernels.fps import NEAR_ORIGIN, farthest_point_sample
from kernels.grouping import Groups, gather_points, group_points
from kernels.knn import knn

__all__ = [
    'NEAR_ORIGIN',
    'Groups',
    'chamfer_distance',
    'farthest_point_sample',
    'gather_points',
    'group_points',
    'knn',
    'with_backend',
]
