"""The officials' console: one view module per screen."""
