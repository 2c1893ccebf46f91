"""The lab's phones and mailboxes as their owners see them; there only when a lab is."""
