"""Who is a false negative: every detector behind one interface."""
