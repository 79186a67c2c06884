"""The phases of a run; each is called by the pipeline and none knows another."""
