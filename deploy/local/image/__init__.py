"""The image, built from the Containerfile itself: by buildah, without an engine and without a registry."""
