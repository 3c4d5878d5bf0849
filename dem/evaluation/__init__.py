"""Stage 3's second half: perplexity, answers to prompts, metrics of texts, and the reports of them."""
