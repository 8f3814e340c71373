"""Namespace of the Strawberry types made from the declarations; lazy references resolve here. Filled at boot."""
