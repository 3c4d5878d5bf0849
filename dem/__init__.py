"""DEM: one LoRA per domain, its difference to the base, and one merged model (Ram et al. 2024, arXiv 2406.15570)."""

__version__ = "0.1.0"
