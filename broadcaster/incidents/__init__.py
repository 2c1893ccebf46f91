"""What citizens send back: taken in, understood, tied to its alert and place, and worked."""
