"""Numbers of papers, to stand beside ours. Other data: they are not to be compared."""

LABEL_EFFICIENCY: dict[str, dict[float, tuple[float, float]]] = {
    "supervised": {
        0.05: (1.595, 67.10),
        0.25: (0.5947, 83.15),
        0.5: (0.5538, 88.70),
        1.0: (0.3376, 88.96),
    },
    "rotnet": {0.05: (0.7344, 64.11), 0.25: (0.3881, 84.51), 0.5: (0.3864, 85.76)},
    "rotnet-jitter": {0.05: (0.776, 79.32), 0.25: (0.3466, 86.64), 0.5: (0.2897, 89.40)},
    "simclr": {0.05: (0.5545, 75.59), 0.25: (0.3569, 84.80), 0.5: (0.2767, 88.79)},
    "simclr+organ": {0.05: (0.4881, 80.65), 0.25: (0.2785, 88.96), 0.5: (0.2229, 91.50)},
}
"""Test loss and accuracy in %, of Y.-J. Kim, M.-G. Cho (METHODS 7.3), breast biopsies, three
classes. Digits of the last row are doubtful in print: 5 % loss .4881 or .4001, 25 % loss .2785 or
.2765, 50 % accuracy 91.5 or 91.0."""
