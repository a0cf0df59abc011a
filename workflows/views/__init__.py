"""Tables for people, made from the documents that workflows give back. Nothing here prints."""
