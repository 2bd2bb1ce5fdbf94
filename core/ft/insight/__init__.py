"""What kept features tell about images: labels that may be wrong, copies, strangers, and where each image lies."""
