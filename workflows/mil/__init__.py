"""What the MIL commands share: their bags, their labels, their scores, and the folder of a run."""
