"""Weight files of a source that is elsewhere, fetched while a run works: one in work, the next on its way, the others not here."""
