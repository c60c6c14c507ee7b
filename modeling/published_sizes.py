"""Table 1 of Turc et al. 2019: parameters and speed of the students as the paper prints them."""

from __future__ import annotations

from typing import NamedTuple


class PublishedSize(NamedTuple):
    """A cell of both halves of the table.

    Attributes:
      millions: Of parameters, the heads of pre-training included; two of the 24 are cut off, not
        rounded.
      speedup: Times as fast as Large on a TPU v2, "computed on Cloud TPUs with batch size 1 and
        sequence length 512".
    """

    millions: float
    speedup: float


# Layers/width, by depth and then by width.
PUBLISHED_SIZES = {
    f"{depth}/{width}": PublishedSize(*cell)
    for depth, row in {
        2: {128: (4.4, 65.24), 256: (9.7, 31.25), 512: (22.8, 14.44), 768: (39.2, 7.46)},
        4: {128: (4.8, 32.37), 256: (11.3, 15.96), 512: (29.1, 7.27), 768: (53.4, 3.75)},
        6: {128: (5.2, 21.87), 256: (12.8, 10.67), 512: (35.4, 4.85), 768: (67.5, 2.50)},
        8: {128: (5.6, 16.42), 256: (14.4, 8.01), 512: (41.7, 3.64), 768: (81.7, 1.88)},
        10: {128: (6.0, 13.05), 256: (16.0, 6.37), 512: (48.0, 2.90), 768: (95.9, 1.50)},
        12: {128: (6.4, 11.02), 256: (17.6, 5.35), 512: (54.3, 2.43), 768: (110.1, 1.25)},
    }.items()
    for width, cell in row.items()
}
