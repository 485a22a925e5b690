"""The feedback modes: how a critic's answers become a verdict."""
