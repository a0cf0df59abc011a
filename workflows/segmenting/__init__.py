"""What the segmentation commands share: their models, their data, their scores, their folders."""
