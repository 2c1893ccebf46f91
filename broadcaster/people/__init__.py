"""Officials and citizens: who may do what, who lives where, and how each is reached."""
