//! Items 56 to 75 and rule C: compressed messages.
