"""Which addresses may be asked, and which certificate authorities are trusted."""
