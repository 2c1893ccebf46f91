"""The duty of one notice in three days: a minimum that every unit owes its people, not a limit."""
