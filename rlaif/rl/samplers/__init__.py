"""What draws rollouts: the model in this process, vLLM, or vLLM servers."""
