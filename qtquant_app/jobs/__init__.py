"""Long work off the GUI thread: a Job drives one engine generator; Latest keeps only the newest of a kind."""
