"""A language model behind the OpenAI-compatible server of llama.cpp: the launcher, and nothing else."""
