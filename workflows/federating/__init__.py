"""What the commands of federated training share."""
