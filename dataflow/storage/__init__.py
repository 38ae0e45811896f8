"""Where results are kept: folders and object stores behind one protocol, packs, serializers."""
