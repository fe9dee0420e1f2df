//! Items 25 to 43 and rules A, B and G: frames, fragments and masks.
