"""Embedded shapes: procedural objects with part labels, clean or as a depth camera sees them.

A class is an assembly of solids (`solids`), written down in a module among its like (`furniture`,
`vessels`, `vehicles`, ...); `classes` lists the sets of classes. `compositions` makes objects of no
class. `surface` samples points on the outside, `scene` adds a background and crops, `scan`
imitates a depth camera, and `clouds` composes them. The data set is
`point_ft_jax.data.datasets.shapes`.
"""
