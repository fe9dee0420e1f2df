//! Items 44 to 50: text.
